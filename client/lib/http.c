/*
 * http.c
 *		A small client for HTTP, on libcurl.
 */
#include "lib/http.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/program.h"

#define CONNECT_SECONDS 10L

/* So long we wait for the server before we look after the rest. */
#define WAIT_MS 2

/* No Retry-After asks for more. */
#define LONGEST_RETRY_SECONDS INT64_C(86400)

/* What is longer is no answer to our requests, unless somebody asks for much. */
#define ANSWER_LIMIT (16 * 1024 * 1024)

/* So much of an answer stands in a message about it. */
#define ANSWER_SHOWN 1000

/* One part of a URL, for curl_free(); NULL if it has none */
static char *
url_part(const char *url, CURLUPart part)
{
	CURLU	   *handle = curl_url();
	char	   *text = NULL;

	if (handle == NULL)
		out_of_memory();
	if (curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK)
		curl_url_get(handle, part, &text, 0);
	curl_url_cleanup(handle);
	return text;
}

/* Is that a URL for POST? */
bool
http_url_check(const char *url, Buffer *problem)
{
	char	   *fragment = url_part(url, CURLUPART_FRAGMENT);
	char	   *host = url_part(url, CURLUPART_HOST);

	if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || host == NULL)
		buffer_text(problem, "that is no URL of http or https");
	else if (fragment != NULL)
		buffer_text(problem, "the URL has a fragment");
	curl_free(fragment);
	curl_free(host);
	return problem->length == 0;
}

bool
http_url_names_password(const char *url)
{
	char	   *password = url_part(url, CURLUPART_PASSWORD);
	bool		found = password != NULL;

	curl_free(password);
	return found;
}

/* Take a part of the answer; anything but its size ends the transfer */
static size_t
take_answer(char *bytes, size_t size, size_t count, void *taker)
{
	HttpClient *client = taker;

	if (client->answer.length + size * count > client->answer_limit)
		return 0;
	buffer_append(&client->answer, bytes, size * count);
	return size * count;
}

/* Give a part of the body */
static size_t
give_body(char *bytes, size_t size, size_t count, void *giver)
{
	HttpClient *client = giver;
	size_t		rest = client->body->length - client->given;
	size_t		part = size * count < rest ? size * count : rest;

	memcpy(bytes, client->body->data + client->given, part);
	client->given += part;
	return part;
}

/* The body is wanted again, from its beginning; that it was begun is kept in mind */
static int
rewind_body(void *giver, curl_off_t offset, int origin)
{
	HttpClient *client = giver;

	(void) origin;
	client->rewound = client->rewound || client->given > 0;
	client->given = (size_t) offset;
	return CURL_SEEKFUNC_OK;
}

/* Prepare to post to a URL; the connection is made by the first request */
void
http_open(HttpClient *client, const char *url, const HttpSettings *settings,
		  bool (*waits) (void *owner, Wait *wait), void *owner)
{
	Buffer		agent = {0};
	CURL	   *curl = client->curl = curl_easy_init();

	client->waits = waits;
	client->owner = owner;
	client->answer_limit = ANSWER_LIMIT;
	client->multi = curl_multi_init();
	if (curl == NULL || client->multi == NULL)
		out_of_memory();
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->curl_problem);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
	curl_easy_setopt(curl, CURLOPT_READDATA, client);
	curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, rewind_body);
	curl_easy_setopt(curl, CURLOPT_SEEKDATA, client);
	buffer_printf(&agent, "%s/%s", program_name, ESGF_STAC_VERSION);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, agent.data);
	buffer_free(&agent);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, settings->timeout);
	if (settings->username != NULL)
	{
		curl_easy_setopt(curl, CURLOPT_USERNAME, settings->username);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, settings->password);
	}
	if (settings->ca_file != NULL)
		curl_easy_setopt(curl, CURLOPT_CAINFO, settings->ca_file);
}

void
http_close(HttpClient *client)
{
	curl_easy_cleanup(client->curl);
	curl_multi_cleanup(client->multi);
	buffer_free(&client->compressed);
	buffer_free(&client->answer);
}

/* Compress quickly: the network is seldom slower than more effort */
static void
compress_body(Buffer *compressed, const Buffer *body)
{
	z_stream	stream = {0};
	char		chunk[16384];
	int			status = Z_OK;

	buffer_clear(compressed);
	if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + 16, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		out_of_memory();
	stream.next_in = (Bytef *) body->data;
	stream.avail_in = (uInt) body->length;
	while (status == Z_OK)
	{
		stream.next_out = (Bytef *) chunk;
		stream.avail_out = sizeof(chunk);
		status = deflate(&stream, Z_FINISH);
		buffer_append(compressed, chunk, sizeof(chunk) - stream.avail_out);
	}
	deflateEnd(&stream);
}

/* What kept us from an answer */
static void
tell_problem(const HttpClient *client, CURLcode code, Buffer *problem)
{
	if (code == CURLE_WRITE_ERROR)
		buffer_text(problem, "the answer is too long");
	else if (code == CURLE_ABORTED_BY_CALLBACK)
		buffer_text(problem, "there was no answer yet when we had to stop");
	else
		buffer_text(problem, client->curl_problem[0] != '\0' ? client->curl_problem : curl_easy_strerror(code));
}

/* Perform a request; the program has other things to do meanwhile */
static CURLcode
perform(HttpClient *client, CURL *curl)
{
	Wait		wait = wait_begin(NULL);
	int			running = 1;
	int			queued;
	bool		wanted = true;
	CURLcode	code = CURLE_ABORTED_BY_CALLBACK;
	const CURLMsg *message;

	curl_multi_add_handle(client->multi, curl);
	while (wanted && curl_multi_perform(client->multi, &running) == CURLM_OK && running > 0)
	{
		curl_multi_poll(client->multi, NULL, 0, WAIT_MS, NULL);
		wanted = client->waits(client->owner, &wait);
	}
	message = curl_multi_info_read(client->multi, &queued);
	if (message != NULL)
		code = message->data.result;
	curl_multi_remove_handle(client->multi, curl);
	return code;
}

/* What a Retry-After asks for; a date may have passed, and a number be any */
static int64_t
retry_after_ms(curl_off_t seconds)
{
	return seconds < 0 ? 0 : seconds < LONGEST_RETRY_SECONDS ? seconds * 1000 : LONGEST_RETRY_SECONDS * 1000;
}

/*
 * Did the connection break after some of the body was sent? On a connection that
 * was kept, libcurl tries once more by itself, perhaps in vain.
 */
static bool
broke_on_body(const HttpClient *client, CURLcode code)
{
	return (client->given > 0 || client->rewound) &&
		(code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
		 code == CURLE_PARTIAL_FILE || code == CURLE_COULDNT_CONNECT);
}

/* Connect, with TLS where the URL says so, and ask nothing */
bool
http_reach(HttpClient *client, Buffer *problem)
{
	CURL	   *curl = curl_easy_duphandle(client->curl);
	CURLcode	code;

	if (curl == NULL)
		out_of_memory();
	client->curl_problem[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
	code = perform(client, curl);
	curl_easy_cleanup(curl);
	if (code != CURLE_OK)
		tell_problem(client, code, problem);
	return code == CURLE_OK;
}

/* Post a body and take the answer; false and a problem if there is none */
bool
http_post(HttpClient *client, const Buffer *body, struct curl_slist *headers, Buffer *problem)
{
	CURL	   *curl = client->curl;
	curl_off_t	retry_after = 0;
	CURLcode	code;

	if (client->gzip)
	{
		compress_body(&client->compressed, body);
		body = &client->compressed;
	}
	buffer_clear(&client->answer);
	client->curl_problem[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	client->body = body;
	client->given = 0;
	client->rewound = false;
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) body->length);
	code = perform(client, curl);
	client->broke = broke_on_body(client, code);
	if (code != CURLE_OK)
	{
		tell_problem(client, code, problem);
		return false;
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &client->status);
	curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after);
	client->retry_after = retry_after_ms(retry_after);
	return true;
}

/* Ask something of another URL, and take the answer; false and a problem if there is none */
bool
http_ask(HttpClient *client, const char *method, const char *url, const Buffer *body, struct curl_slist *headers,
		 Buffer *problem)
{
	curl_easy_setopt(client->curl, CURLOPT_URL, url);
	curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
	return http_post(client, body, headers, problem);
}

/* Add a header to a list that curl_slist_free_all() frees */
void
http_header(struct curl_slist **headers, const char *name, const char *value)
{
	Buffer		line = {0};

	buffer_printf(&line, "%s: %s", name, value);
	*headers = curl_slist_append(*headers, line.data);
	if (*headers == NULL)
		out_of_memory();
	buffer_free(&line);
}

bool
http_status_good(long status)
{
	return status >= 200 && status < 300;
}

/* Will the same request perhaps do, later? */
bool
http_status_busy(long status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* Append the last answer for a person: its beginning, as plain ASCII */
void
http_answer(const HttpClient *client, Buffer *text)
{
	size_t		shown = client->answer.length < ANSWER_SHOWN ? client->answer.length : ANSWER_SHOWN;

	buffer_printf(text, "answered %ld", client->status);
	if (client->status / 100 == 3)
		buffer_text(text, " (redirects are not followed)");
	if (client->status == 401 || client->status == 403)
		buffer_text(text, " (is the login right, and may it write?)");
	if (shown > 0)
		buffer_text(text, ": ");
	for (size_t i = 0; i < shown; i++)
	{
		char		byte = client->answer.data[i];

		if (byte < ' ' || byte > '~')
			byte = byte >= 0 ? ' ' : '?';
		buffer_append(text, &byte, 1);
	}
}
