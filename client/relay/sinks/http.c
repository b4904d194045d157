/*
 * http.c
 *		POST of lines of JSON to a URL: the door for whatever else.
 *
 * Requests are signed as https://www.standardwebhooks.com has it: the header
 * webhook-signature is "v1," and the HMAC-SHA256, in base64, of id, timestamp
 * and body with dots between them. The id is made of the events and of where
 * they come from: the same events have the same id.
 */
#include "sinks/requests.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_PREFIX "whsec_"

typedef struct HttpSink
{
	Requests	requests;
	char	   *source;
	Buffer		key;			/* empty: requests are not signed */
} HttpSink;

static const char *const option_names[] = {REQUEST_OPTIONS, "hmac-key", NULL};

/* The URL is what --sink says, with or without another scheme before it */
static const char *
url_of(const SinkSettings *settings)
{
	return strncmp(settings->target, "//", 2) == 0 ? settings->name : settings->target;
}

static bool
names_password(const char *target)
{
	Buffer		url = {0};
	bool		found;

	buffer_printf(&url, "%s%s", strncmp(target, "//", 2) == 0 ? "http:" : "", target);
	found = http_url_names_password(url.data);
	buffer_free(&url);
	return found;
}

/* What is behind whsec_ is base64, any other key itself; false if it is none */
static bool
decode_key(const char *text, Buffer *key)
{
	size_t		length = strlen(text);
	unsigned char *bytes;
	int			count;

	if (strncmp(text, KEY_PREFIX, strlen(KEY_PREFIX)) != 0)
	{
		buffer_append(key, text, length);
		return length > 0;
	}
	text += strlen(KEY_PREFIX);
	length -= strlen(KEY_PREFIX);
	bytes = allocate(length + 1);
	count = EVP_DecodeBlock(bytes, (const unsigned char *) text, (int) length);

	/* It counts the padding as bytes. */
	for (size_t end = length; count > 0 && end > 0 && text[end - 1] == '='; end--)
		count--;
	if (count > 0)
		buffer_append(key, (const char *) bytes, (size_t) count);
	free(bytes);
	return count > 0;
}

static bool
check_sink(const SinkSettings *settings, Buffer *problem)
{
	const char *key = pairs_value(&settings->options, "hmac-key");
	Buffer		decoded = {0};

	if (strncmp(settings->name, "https:", 6) == 0 && strncmp(url_of(settings), "https:", 6) != 0)
		buffer_text(problem, "that is no URL of https");
	else if (http_url_check(url_of(settings), problem) && requests_options_check(settings, option_names, problem) &&
			 key != NULL && !decode_key(key, &decoded))
		buffer_text(problem, "hmac-key is a text, or whsec_ and base64");
	buffer_free(&decoded);
	return problem->length == 0;
}

static void
append_event(Requests *requests, const Event *event)
{
	format_event(&requests->body, event, requests->settings->format);
}

/* The same for the same events, and for others another */
static void
batch_id(const HttpSink *sink, Event *const *events, int count, Buffer *id)
{
	Buffer		heads = {0};
	unsigned char digest[EVP_MAX_MD_SIZE];

	buffer_text(&heads, sink->source);
	for (int i = 0; i < count; i++)
		event_head(&heads, events[i]);
	if (EVP_Digest(heads.data, heads.length, digest, NULL, EVP_sha256(), NULL) != 1)
		out_of_memory();
	for (int i = 0; i < 16; i++)
		buffer_printf(id, "%02x", digest[i]);
	buffer_free(&heads);
}

static void
sign(const HttpSink *sink, const char *id, const char *timestamp, Buffer *signature)
{
	Buffer		content = {0};
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length;
	unsigned char text[2 * EVP_MAX_MD_SIZE];

	buffer_printf(&content, "%s.%s.", id, timestamp);
	buffer_append(&content, sink->requests.body.data, sink->requests.body.length);
	if (HMAC(EVP_sha256(), sink->key.data, (int) sink->key.length,
			 (const unsigned char *) content.data, content.length, digest, &length) == NULL)
		out_of_memory();
	EVP_EncodeBlock(text, digest, (int) length);
	buffer_printf(signature, "v1,%s", text);
	buffer_free(&content);
}

static struct curl_slist *
signed_headers(Requests *requests, Event *const *events, int count)
{
	const HttpSink *sink = (const HttpSink *) requests;
	struct curl_slist *headers = NULL;
	Buffer		id = {0};
	Buffer		timestamp = {0};
	Buffer		signature = {0};

	batch_id(sink, events, count, &id);
	buffer_printf(&timestamp, "%lld", (long long) time(NULL));
	http_header(&headers, "Content-Type", "application/x-ndjson");
	http_header(&headers, "webhook-id", id.data);
	http_header(&headers, "webhook-timestamp", timestamp.data);
	if (sink->key.length > 0)
	{
		sign(sink, id.data, timestamp.data, &signature);
		http_header(&headers, "webhook-signature", signature.data);
	}
	buffer_free(&id);
	buffer_free(&timestamp);
	buffer_free(&signature);
	return headers;
}

static bool
status_blames_events(const Requests *requests)
{
	long		status = requests->client.status;

	return status == 400 || status == 413 || status == 422;
}

static const RequestKind post = {
	.append = append_event,
	.headers = signed_headers,
	.blames_events = status_blames_events,
};

static void
close_sink(Sink *opened)
{
	HttpSink   *sink = (HttpSink *) opened;

	requests_close(&sink->requests);
	buffer_free(&sink->key);
	free(sink->source);
	free(sink);
}

static Sink *
open_sink(const SinkSettings *settings, const char *source, Buffer *problem)
{
	HttpSink   *sink = allocate(sizeof(HttpSink));
	const char *key = pairs_value(&settings->options, "hmac-key");

	(void) problem;
	sink->requests.sink.kind = &sink_http;
	sink->source = copy_string(source);
	if (key != NULL)
		decode_key(key, &sink->key);
	requests_open(&sink->requests, &post, url_of(settings), settings);
	return &sink->requests.sink;
}

static bool
write_events(Sink *opened, Event *events, int count, Buffer *problem)
{
	HttpSink   *sink = (HttpSink *) opened;
	Event	  **pointers = allocate((size_t) count * sizeof(Event *));
	bool		written;

	for (int i = 0; i < count; i++)
		pointers[i] = &events[i];
	written = requests_send(&sink->requests, pointers, count, problem);
	free(pointers);
	return written;
}

const SinkKind sink_http = {
	.scheme = "http",
	.syntax = "http://HOST/PATH            POST of lines of JSON to a URL",
	.takes_format = true,
	.takes_options = true,
	.check = check_sink,
	.names_password = names_password,
	.open = open_sink,
	.reach = requests_reach,
	.write = write_events,
	.close = close_sink,
};

const SinkKind sink_https = {
	.scheme = "https",
	.syntax = "https://HOST/PATH           the same, encrypted",
	.takes_format = true,
	.takes_options = true,
	.check = check_sink,
	.names_password = names_password,
	.open = open_sink,
	.reach = requests_reach,
	.write = write_events,
	.close = close_sink,
};
