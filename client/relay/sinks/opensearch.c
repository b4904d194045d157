/*
 * opensearch.c
 *		An index of OpenSearch or Elasticsearch, by _bulk requests.
 *
 * An item is a document whose external version is the item's: an index refuses
 * a version lower than the one it has, so repetitions change nothing, and that
 * refusal is as good as done. A deletion is a versioned deletion. Events of
 * collections are left out.
 */
#include "sinks/opensearch.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "formats/template.h"
#include "sinks/reader.h"
#include "sinks/requests.h"

/* All that we want to know of each line. */
#define BULK "_bulk?filter_path=errors,items.*.status,items.*.error"

#define DEFAULT_ID "{item_id}"

/* No index and no alias has such a name. */
#define NAME_EXCLUDES "\\*?\"<>| ,#:/"
#define NAME_EXCLUDES_FIRST "_-+"
#define NAME_LIMIT 255

typedef struct OpensearchSink
{
	Requests	requests;
	OpensearchNames names;
	Buffer		name;
} OpensearchSink;

static const char *const option_names[] = {REQUEST_OPTIONS, "api-key", "gzip", NULL};

/* URL/INDEX: the index's name begins behind the last slash */
static bool
split_target(const char *target, Buffer *url, const char **index)
{
	const char *host = strstr(target, "://");
	const char *slash = host != NULL ? strrchr(host + 3, '/') : NULL;

	if (slash == NULL || slash[1] == '\0' || strchr(target, '?') != NULL)
		return false;
	*index = slash + 1;
	buffer_append(url, target, (size_t) (*index - target));
	return true;
}

/* Append the URL before the index's name, and learn the names */
void
opensearch_names(const SinkSettings *settings, Buffer *url, OpensearchNames *names)
{
	if (!split_target(settings->target, url, &names->index))
		abort();				/* opensearch_check() has seen it */
	names->document_id = settings->document_id != NULL ? settings->document_id : DEFAULT_ID;
}

/* What is wrong with options that only an index has; NULL if nothing is */
static const char *
check_options(const SinkSettings *settings)
{
	const char *gzip = pairs_value(&settings->options, "gzip");
	const char *id = settings->document_id != NULL ? settings->document_id : DEFAULT_ID;

	if (gzip != NULL && strcmp(gzip, "on") != 0 && strcmp(gzip, "off") != 0)
		return "gzip is on or off";
	if (pairs_value(&settings->options, "api-key") != NULL && pairs_value(&settings->options, "username") != NULL)
		return "api-key and username exclude each other";
	if (strstr(id, "{item_id}") == NULL || !event_template_valid(id, true))
		return "--document-id has {item_id} in it, and {collection} if wanted";
	return NULL;
}

static bool
opensearch_check(const SinkSettings *settings, Buffer *problem)
{
	Buffer		url = {0};
	const char *index;

	if (!split_target(settings->target, &url, &index))
		buffer_text(problem, "no /INDEX behind the URL");
	else if (strpbrk(index, NAME_EXCLUDES) != NULL || !event_template_valid(index, false))
		buffer_text(problem, "that cannot be an index");
	else if (http_url_check(url.data, problem) && requests_options_check(settings, option_names, problem) &&
			 check_options(settings) != NULL)
		buffer_text(problem, check_options(settings));
	buffer_free(&url);
	return problem->length == 0;
}

/* Could that be the name of an index or alias? Servers differ in "<date>" */
bool
opensearch_is_index(const char *name)
{
	return strpbrk(name, NAME_EXCLUDES) == NULL && strchr(NAME_EXCLUDES_FIRST, name[0]) == NULL &&
		strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strlen(name) <= NAME_LIMIT;
}

/* The name that a template has for an event, until the next one */
static const char *
expand(OpensearchSink *sink, const char *template, const Event *event)
{
	buffer_clear(&sink->name);
	event_template_expand(&sink->name, template, event);
	return sink->name.data;
}

/* Two lines, or for a deletion one */
static void
append_event(Requests *requests, const Event *event)
{
	OpensearchSink *sink = (OpensearchSink *) requests;
	Buffer	   *body = &requests->body;

	buffer_text(body, event->document != NULL ? "{\"index\":{\"_index\":" : "{\"delete\":{\"_index\":");
	append_string(body, expand(sink, sink->names.index, event));
	buffer_text(body, ",\"_id\":");
	append_string(body, expand(sink, sink->names.document_id, event));
	buffer_printf(body, ",\"version\":%" PRId64 ",\"version_type\":\"external_gte\"}}\n", event->version);
	if (event->document != NULL)
		format_event(body, event, FORMAT_DOCUMENT);
}

/* Add what a login by key needs; one by name is libcurl's matter */
void
opensearch_login(const SinkSettings *settings, struct curl_slist **headers)
{
	const char *api_key = pairs_value(&settings->options, "api-key");
	Buffer		value = {0};

	if (api_key == NULL)
		return;
	buffer_printf(&value, "ApiKey %s", api_key);
	http_header(headers, "Authorization", value.data);
	buffer_free(&value);
}

static struct curl_slist *
bulk_headers(Requests *requests, Event *const *events, int count)
{
	struct curl_slist *headers = NULL;

	(void) events;
	(void) count;
	http_header(&headers, "Content-Type", "application/x-ndjson");
	if (requests->client.gzip)
		http_header(&headers, "Content-Encoding", "gzip");
	opensearch_login(requests->settings, &headers);
	return headers;
}

/* The answer as JSON, for json_decref(); NULL if it is none */
static json_t *
parse_answer(const Requests *requests)
{
	return json_loadb(requests->client.answer.data, requests->client.answer.length, JSON_ALLOW_NUL, NULL);
}

/* Too large; or an id too long, and the like, in the index's own words */
static bool
bulk_blames_events(const Requests *requests)
{
	json_t	   *answer;
	bool		blamed;

	if (requests->client.status != 400)
		return requests->client.status == 413;
	answer = parse_answer(requests);
	blamed = json_is_object(json_object_get(answer, "error"));
	json_decref(answer);
	return blamed;
}

/* The text of a member; "" if it has none */
static const char *
text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text != NULL ? text : "";
}

/* Does an error tell of the index's state, and not of a document? */
static bool
tells_of_index(int status, const json_t *error)
{
	static const struct
	{
		const char *type;
		const char *reason;		/* how it begins */
	}			errors[] = {
		{"invalid_index_name_exception", ""},
		{"index_closed_exception", ""},
		{"illegal_argument_exception", "no write index is defined"},
	};

	if (status == 401 || status == 403 || status == 404)
		return true;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(text_of(error, "type"), errors[i].type) == 0 &&
			strncmp(text_of(error, "reason"), errors[i].reason, strlen(errors[i].reason)) == 0)
			return true;
	return false;
}

/* What the status of one line means for its event, unless it tells of the index */
static Outcome
outcome_of(const Event *event, int status, const json_t *error)
{
	if (http_status_good(status) || status == 409)
		return EVENT_DONE;		/* 409: it has a later version */
	if (status == 404 && event->document == NULL && !json_is_object(error))
		return EVENT_DONE;		/* what is to be deleted is not there */
	if (status == 400)
		return EVENT_REFUSED;
	return http_status_busy(status) ? EVENT_BUSY : EVENT_RETRY;
}

/* The version that an index says it has, where it refuses a lower one; 0: it does not say */
static int64_t
found_version(const json_t *error)
{
	static const char phrase[] = "current version [";
	const char *place = strstr(text_of(error, "reason"), phrase);

	return place != NULL ? strtoll(place + strlen(phrase), NULL, 10) : 0;
}

/* Tell what an error says; without one, only the status is known */
static void
tell_error(int status, const json_t *error, Buffer *text)
{
	const char *cause = text_of(json_object_get(error, "caused_by"), "reason");

	if (!json_is_object(error))
	{
		buffer_printf(text, "answered %d without an error", status);
		return;
	}
	buffer_printf(text, "%s: %s", text_of(error, "type"), text_of(error, "reason"));
	if (cause[0] != '\0')
		buffer_printf(text, ": %s", cause);
}

/* Take the outcome of one event; false and a problem if the sink is down */
static bool
take_outcome(OpensearchSink *sink, Event *event, int status, const json_t *error, Buffer *problem)
{
	Outcome		outcome = outcome_of(event, status, error);
	Buffer		text = {0};
	bool		down;

	if (status == 409)
		event->found_version = found_version(error);
	if (outcome == EVENT_DONE)
		return true;
	down = tells_of_index(status, error);
	tell_error(status, error, &text);
	if (down)
		buffer_printf(problem, "index or alias \"%s\" cannot be written: %s", expand(sink, sink->names.index, event), text.data);
	else
		event_refuse(event, outcome, text.data);
	buffer_free(&text);
	return !down;
}

/* Take the outcomes of all events: their lines have the same order, and a status each */
static bool
take_outcomes(Requests *requests, Event *const *events, int count, Buffer *problem)
{
	json_t	   *answer = parse_answer(requests);
	const json_t *lines = json_object_get(answer, "items");
	bool		good = json_is_array(lines) && json_array_size(lines) == (size_t) count;
	bool		down = false;

	for (int i = 0; good && !down && i < count; i++)
	{
		/* Its only member is called index or delete. */
		const json_t *line = json_object_iter_value(json_object_iter(json_array_get(lines, (size_t) i)));
		const json_t *status = json_object_get(line, "status");

		good = json_is_integer(status);
		if (json_integer_value(status) == 429)
			requests_suspect(events[i], count);
		down = good && !take_outcome((OpensearchSink *) requests, events[i], (int) json_integer_value(status),
									 json_object_get(line, "error"), problem);
	}
	if (!good)
	{
		buffer_text(problem, "that is no answer to _bulk: ");
		http_answer(&requests->client, problem);
	}
	json_decref(answer);
	return good && !down;
}

static const RequestKind bulk = {
	.probes = true,
	.append = append_event,
	.headers = bulk_headers,
	.blames_events = bulk_blames_events,
	.outcomes = take_outcomes,
};

static void
opensearch_close(Sink *opened)
{
	OpensearchSink *sink = (OpensearchSink *) opened;

	requests_close(&sink->requests);
	buffer_free(&sink->name);
	free(sink);
}

static Sink *
opensearch_open(const SinkSettings *settings, const char *source, Buffer *problem)
{
	OpensearchSink *sink = allocate(sizeof(OpensearchSink));
	const char *gzip = pairs_value(&settings->options, "gzip");
	Buffer		url = {0};

	(void) source;
	(void) problem;
	sink->requests.sink.kind = &sink_opensearch;
	opensearch_names(settings, &url, &sink->names);
	buffer_text(&url, BULK);
	requests_open(&sink->requests, &bulk, url.data, settings);
	sink->requests.client.gzip = gzip != NULL && strcmp(gzip, "on") == 0;
	buffer_free(&url);
	return &sink->requests.sink;
}

static bool
keep_waiting(void *owner, Wait *wait)
{
	(void) owner;
	(void) wait;
	return !stop_requested;
}

/* Does the server let us in? What more a login may, only writing would tell */
static bool
opensearch_try(const SinkSettings *settings, bool beside, Buffer *problem)
{
	HttpClient	client = {0};
	HttpSettings http;
	OpensearchNames names;
	Buffer		url = {0};
	Buffer		nothing = {0};
	struct curl_slist *headers = NULL;
	bool		good;

	(void) beside;
	requests_http_settings(settings, &http);
	opensearch_names(settings, &url, &names);
	http_open(&client, url.data, &http, keep_waiting, NULL);
	buffer_text(&nothing, "");
	opensearch_login(settings, &headers);
	good = http_ask(&client, "GET", url.data, &nothing, headers, problem);
	if (good && client.status == 401)
	{
		buffer_text(problem, "the login is refused: ");
		http_answer(&client, problem);
		good = false;
	}
	curl_slist_free_all(headers);
	http_close(&client);
	buffer_free(&nothing);
	buffer_free(&url);
	return good;
}

static bool
opensearch_write(Sink *opened, Event *events, int count, Buffer *problem)
{
	OpensearchSink *sink = (OpensearchSink *) opened;
	Event	  **items = allocate((size_t) count * sizeof(Event *));
	int			item_count = 0;
	bool		written;

	for (int i = 0; i < count; i++)
	{
		if (events[i].item_id == NULL)
			continue;
		if (opensearch_is_index(expand(sink, sink->names.index, &events[i])))
			items[item_count++] = &events[i];
		else
			event_refuse(&events[i], EVENT_REFUSED, "neither an index nor an alias can have the name of its collection");
	}
	written = requests_send(&sink->requests, items, item_count, problem);
	free(items);
	return written;
}

const SinkKind sink_opensearch = {
	.scheme = "opensearch",
	.syntax = "opensearch:URL/INDEX        the newest version of every item, in an index of OpenSearch or Elasticsearch",
	.takes_document_id = true,
	.takes_options = true,
	.check = opensearch_check,
	.names_password = http_url_names_password,
	.open = opensearch_open,
	.try = opensearch_try,
	.place = "/",
	.reach = requests_reach,
	.write = opensearch_write,
	.reader = &opensearch_reader,
	.close = opensearch_close,
};
