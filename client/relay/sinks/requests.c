/*
 * requests.c
 *		Sends events in HTTP requests, as many in each as its bytes allow.
 *
 * A request that fails for what is in it is sent again with half as many
 * events, until one stands alone and is refused; then twice as many again. A
 * server that is busy gets nothing more: what has not been sent is busy too, so
 * that the versions of an item stay in order.
 *
 * suspect		an event that was in a request on which the connection broke, or
 *				that was answered 429 alone, or twice
 * probe		the deletion of an item that never was, before each attempt with a
 *				suspect, which is sent alone: if the server takes the one and then
 *				fails on the other, that is the other's fault, and an attempt
 */
#include "sinks/requests.h"

#include <stdlib.h>

#define BODY_LIMIT (10 * 1024 * 1024)

#define DEFAULT_SECONDS 60L
#define LONGEST_SECONDS 86400L

/* The timeout in seconds; 0 if it is none */
static long
timeout_seconds(const SinkSettings *settings)
{
	const char *value = pairs_value(&settings->options, "timeout");
	char	   *end;
	long		seconds;

	if (value == NULL)
		return DEFAULT_SECONDS;
	seconds = strtol(value, &end, 10);
	return *end == '\0' && seconds >= 1 && seconds <= LONGEST_SECONDS ? seconds : 0;
}

/* Are all options known, a list that NULL ends, and do ours make sense? */
bool
requests_options_check(const SinkSettings *settings, const char *const *names, Buffer *problem)
{
	if (!sink_options_known(settings, names, problem))
		return false;
	if ((pairs_value(&settings->options, "username") == NULL) != (pairs_value(&settings->options, "password") == NULL))
		buffer_text(problem, "username and password go together");
	else if (timeout_seconds(settings) == 0)
		buffer_text(problem, "timeout is no number of seconds");
	return problem->length == 0;
}

/* Called while a server is waited for: it is merely slow */
static bool
waits(void *owner, Wait *wait)
{
	Requests   *requests = owner;

	return sink_waits(&requests->sink, wait, NULL);
}

/* What the sink's options say of its requests */
void
requests_http_settings(const SinkSettings *settings, HttpSettings *http)
{
	*http = (HttpSettings)
	{
		.username = pairs_value(&settings->options, "username"),
			.password = pairs_value(&settings->options, "password"),
			.ca_file = pairs_value(&settings->options, "ca-file"),
			.timeout = timeout_seconds(settings),
	};
}

void
requests_open(Requests *requests, const RequestKind *kind, const char *url, const SinkSettings *settings)
{
	HttpSettings http;

	requests_http_settings(settings, &http);

	requests->kind = kind;
	requests->settings = settings;
	requests->body_limit = BODY_LIMIT;
	http_open(&requests->client, url, &http, waits, requests);
}

void
requests_close(Requests *requests)
{
	http_close(&requests->client);
	buffer_free(&requests->body);
}

/* Is the server there? (A Requests begins with its sink.) */
bool
requests_reach(Sink *sink, Buffer *problem)
{
	return http_reach(&((Requests *) sink)->client, problem);
}

/* Fill the body with as many of the events as it may hold, at least one */
static int
fill_body(Requests *requests, Event *const *events, int count)
{
	Buffer	   *body = &requests->body;
	int			filled = 0;

	buffer_clear(body);
	while (filled < count)
	{
		size_t		before = body->length;

		requests->kind->append(requests, events[filled]);
		if (filled > 0 && body->length > requests->body_limit)
		{
			buffer_cut(body, before);
			break;
		}
		filled++;
	}
	return filled;
}

/* Post the body; false and a problem if no answer came */
static bool
post_body(Requests *requests, Event *const *events, int count, Buffer *problem)
{
	struct curl_slist *headers = requests->kind->headers(requests, events, count);
	bool		answered;

	/* libcurl would wait a second for leave to send what is large. */
	http_header(&headers, "Expect", "");
	answered = http_post(&requests->client, &requests->body, headers, problem);
	curl_slist_free_all(headers);
	return answered;
}

/* Give some events the same outcome, with the last answer as the problem */
static void
refuse_all(const Requests *requests, Outcome outcome, Event *const *events, int count)
{
	Buffer		problem = {0};

	http_answer(&requests->client, &problem);
	for (int i = 0; i < count; i++)
		event_refuse(events[i], outcome, problem.data);
	buffer_free(&problem);
}

#define SUSPECT 2
#define TOO_MANY_REQUESTS 429

static bool
is_suspect(const Requests *requests, const Event *event)
{
	return requests->kind->probes && event->suspicion >= SUSPECT;
}

/* An event was in a request, of so many, that the server had too much of */
void
requests_suspect(Event *event, int company)
{
	event->suspicion += company > 1 ? 1 : SUSPECT;
}

/* What an answer makes of a request. */
typedef enum Answer
{
	ANSWER_GOOD,
	ANSWER_BUSY,
	ANSWER_BLAMES_EVENTS,
	ANSWER_DOWN,
} Answer;

static Answer
judge_answer(const Requests *requests)
{
	if (http_status_good(requests->client.status))
		return ANSWER_GOOD;
	if (http_status_busy(requests->client.status))
		return ANSWER_BUSY;
	return requests->kind->blames_events(requests) ? ANSWER_BLAMES_EVENTS : ANSWER_DOWN;
}

/*
 * Is the server well enough to try it with a suspect? False and a problem if it
 * is down, else the outcome of the probe.
 */
static bool
probe(Requests *requests, const Event *suspect, Outcome *outcome, Buffer *problem)
{
	Event		absent = {.collection_id = suspect->collection_id,.item_id = "esgf_stac_relay"};
	Event	   *events[] = {&absent};
	Answer		answer;
	bool		up;

	fill_body(requests, events, 1);
	up = post_body(requests, events, 1, problem);
	answer = up ? judge_answer(requests) : ANSWER_DOWN;
	if (answer == ANSWER_GOOD)
		up = requests->kind->outcomes(requests, events, 1, problem);
	else if (up && answer == ANSWER_DOWN)
	{
		http_answer(&requests->client, problem);
		up = false;
	}
	*outcome = answer == ANSWER_BUSY ? EVENT_BUSY : absent.outcome;
	free(absent.problem);
	return up;
}

/* How many events from here on may be in one request: a suspect is alone */
static int
company_of(const Requests *requests, Event *const *events, int most)
{
	int			count = 1;

	if (is_suspect(requests, events[0]))
		return 1;
	while (count < most && !is_suspect(requests, events[count]))
		count++;
	return count;
}

/*
 * No answer came: may the events be to blame? A suspect is, where the connection
 * broke, and that is its outcome; else the sink is down.
 */
static bool
judge_silence(const Requests *requests, Event *const *events, int tried, int count, bool suspect, Buffer *problem)
{
	if (!requests->client.broke)
		return false;
	for (int i = 0; i < tried; i++)
		events[i]->suspicion = SUSPECT;
	if (!suspect)
		return false;
	for (int i = 0; i < count; i++)
		event_refuse(events[i], i == 0 ? EVENT_RETRY : EVENT_BUSY, problem->data);
	buffer_free(problem);
	return true;
}

/* The server is busy: nothing more is sent. With a suspect alone that is an attempt */
static void
judge_busy(Requests *requests, Event *const *events, int tried, int count, bool suspect)
{
	bool		too_many = requests->client.status == TOO_MANY_REQUESTS;

	refuse_all(requests, EVENT_BUSY, events, count);
	requests->sink.pause = requests->client.retry_after;
	for (int i = 0; too_many && i < tried; i++)
		requests_suspect(events[i], tried);
	if (too_many && suspect)
		events[0]->outcome = EVENT_RETRY;
}

/* Take what an answer says of each event; false and a problem if the sink is down */
static bool
judge_lines(Requests *requests, Event *const *events, int tried, bool suspect, Buffer *problem)
{
	int			suspicion = events[0]->suspicion;

	if (requests->kind->outcomes == NULL)
		return true;
	if (!requests->kind->outcomes(requests, events, tried, problem))
		return false;
	if (suspect && events[0]->outcome == EVENT_BUSY && events[0]->suspicion > suspicion)
		events[0]->outcome = EVENT_RETRY;
	return true;
}

/* Send events and set their outcomes; false and a problem if the sink is down */
bool
requests_send(Requests *requests, Event *const *events, int count, Buffer *problem)
{
	int			most = count;	/* in one request */
	int			sent = 0;

	while (sent < count)
	{
		Event	   *const *next = events + sent;
		int			left = count - sent;
		bool		suspect = is_suspect(requests, next[0]);
		Outcome		health = EVENT_DONE;
		int			tried;

		if (suspect && !probe(requests, next[0], &health, problem))
			return false;
		if (health == EVENT_BUSY || health == EVENT_RETRY)
		{
			judge_busy(requests, next, 0, left, false);
			return true;
		}
		tried = fill_body(requests, next, company_of(requests, next, most < left ? most : left));

		/* A format may have nothing to say of some events. */
		if (requests->body.length == 0)
		{
			sent += tried;
			continue;
		}
		if (!post_body(requests, next, tried, problem))
			return judge_silence(requests, next, tried, left, suspect, problem);
		switch (judge_answer(requests))
		{
			case ANSWER_GOOD:
				if (!judge_lines(requests, next, tried, suspect, problem))
					return false;
				most = most > count / 2 ? count : most * 2;
				sent += tried;
				break;
			case ANSWER_BUSY:
				judge_busy(requests, next, tried, left, suspect);
				return true;
			case ANSWER_BLAMES_EVENTS:
				if (tried == 1)
					refuse_all(requests, EVENT_REFUSED, events + sent++, 1);
				else
					most = tried / 2;
				if (tried > 1 && requests->client.status == 413)
					requests->body_limit = requests->body.length / 2;
				break;
			case ANSWER_DOWN:
				http_answer(&requests->client, problem);
				return false;
		}
	}
	return true;
}
