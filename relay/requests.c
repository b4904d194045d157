/*
 * requests.c
 *		Sends events in HTTP requests, as many in each as its bytes allow.
 *
 * A request that fails for what is in it is sent again with half as many
 * events, until one stands alone and is refused; then twice as many again. A
 * server that is busy gets nothing more: what has not been sent is busy too, so
 * that the versions of an item stay in order.
 */
#include "requests.h"

#include <stdlib.h>

#define BODY_LIMIT (10 * 1024 * 1024)

void
requests_open(Requests *requests, const RequestKind *kind, const char *url, const SinkSettings *settings)
{
	requests->kind = kind;
	requests->settings = settings;
	requests->body_limit = BODY_LIMIT;
	http_open(&requests->client, &requests->sink, url, settings);
}

void
requests_close(Requests *requests)
{
	http_close(&requests->client);
	buffer_free(&requests->body);
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

/* Send events and set their outcomes; false and a problem if the sink is down */
bool
requests_send(Requests *requests, Event *const *events, int count, Buffer *problem)
{
	const RequestKind *kind = requests->kind;
	int			most = count;	/* in one request */
	int			sent = 0;

	while (sent < count)
	{
		int			tried = fill_body(requests, events + sent, most < count - sent ? most : count - sent);

		/* A format may have nothing to say of some events. */
		if (requests->body.length == 0)
		{
			sent += tried;
			continue;
		}
		if (!post_body(requests, events + sent, tried, problem))
			return false;
		switch (judge_answer(requests))
		{
			case ANSWER_GOOD:
				if (kind->outcomes != NULL && !kind->outcomes(requests, events + sent, tried, problem))
					return false;
				most = most > count / 2 ? count : most * 2;
				sent += tried;
				break;
			case ANSWER_BUSY:
				refuse_all(requests, EVENT_BUSY, events + sent, count - sent);
				requests->sink.pause = requests->client.retry_after;
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
