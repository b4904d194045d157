/*
 * loop.c
 *		Streams: takes what the server sends, hands it to the sink, and confirms
 *		what is durable there.
 */
#include "relay/relay.h"

#include "lib/log.h"
#include "lib/notify.h"
#include "lib/wait.h"

/* Events are made durable, and confirmed, at least that often; more so while somebody may wait for news. */
#define SETTLE_INTERVAL_MS 1000

/* Before a stop, a horizon may take so long. */
#define COVER_MS 300

/* The state of one loop. */
typedef struct Reading
{
	Relay	   *relay;
	int64_t		settled_at;
	bool		ending;			/* this confirmation is the last */
} Reading;

/* Between transactions: what is to be done beside the stream */
static ExitStatus
do_beside(Relay *relay)
{
	ExitStatus	status = send_source(relay, &relay->iterations.source);

	return status == STATUS_RUNNING ? rules_tell(&relay->rules) : status;
}

/*
 * Make durable what was received, write down how far that is, and confirm it.
 * Between transactions is also the time to look after dead letters.
 */
static ExitStatus
settle(Reading *reading)
{
	Relay	   *relay = reading->relay;
	Stream	   *stream = &relay->stream;
	ExitStatus	status = batch_settle(&relay->delivery);

	if (status == STATUS_RUNNING)
	{
		log_success();
		metrics_settled(relay);
		status = horizon_advance(&relay->consumer, reading->ending);
	}
	if (status == STATUS_RUNNING && !stream->streaming)
		status = STATUS_DATABASE;
	if (status == STATUS_RUNNING)
		status = relay->consumer.durable > stream->reported ? stream_confirm(stream, false) : stream_report(stream);
	if (status == STATUS_RUNNING && !stream->in_transaction && !reading->ending)
		status = send_source(relay, &relay->redrive.source);
	if (status == STATUS_RUNNING && !stream->in_transaction && !reading->ending)
		status = do_beside(relay);
	metrics_tick(relay);
	relay->metrics.flowing = false;
	reading->settled_at = monotonic_ms();
	return status;
}

/* When is it time to settle, even if nothing comes in? */
static int64_t
settle_time(const Reading *reading)
{
	return reading->settled_at + (consumer_has_news(&reading->relay->consumer) ? NEWS_INTERVAL_MS : SETTLE_INTERVAL_MS);
}

/* When is there something to do, even if nothing comes in? */
static int64_t
wake_time(const Reading *reading)
{
	const Relay *relay = reading->relay;
	int64_t		due = settle_time(reading);

	if (!relay->stream.in_transaction)
	{
		int64_t		iterations = iterations_due(&relay->iterations);
		int64_t		rules = rules_due(&relay->rules);

		due = iterations < due ? iterations : due;
		due = rules < due ? rules : due;
	}
	return due;
}

static bool
settle_due(const Reading *reading)
{
	return monotonic_ms() >= settle_time(reading);
}

/* The server is quiet: deliver */
static ExitStatus
use_the_quiet(Reading *reading)
{
	Relay	   *relay = reading->relay;
	ExitStatus	status = batch_deliver(&relay->delivery);

	if (status == STATUS_RUNNING && settle_due(reading))
		status = settle(reading);
	if (status == STATUS_RUNNING && !relay->stream.streaming)
		status = STATUS_DATABASE;
	return status;
}

/* Wait for the server; while more is on its way the batch goes on growing */
static ExitStatus
wait_for_server(Reading *reading)
{
	Relay	   *relay = reading->relay;
	ExitStatus	status = STATUS_RUNNING;

	if (!stream_wait(&relay->stream, relay->delivery.count > 0 ? relay->delivery.gather_until : 0) && relay->stream.streaming)
	{
		status = use_the_quiet(reading);
		if (status == STATUS_RUNNING && !relay->stream.in_transaction)
			status = do_beside(relay);
		if (status == STATUS_RUNNING)
			stream_wait(&relay->stream, wake_time(reading));
	}
	return status;
}

/* An event comes by the stream; behind it, what jobs have of its version */
static ExitStatus
take_event(Relay *relay, const Event *event)
{
	ExitStatus	status;
	PGresult   *row;

	redrive_note(&relay->redrive, event);
	iterations_note(&relay->iterations, event);
	metrics_event(relay);
	status = batch_add(&relay->delivery, event);
	while (status == STATUS_RUNNING && (row = iterations_follow(&relay->iterations)) != NULL)
		status = send_row(relay, &relay->iterations.source, row);
	return status;
}

/* Take what the server has sent, or wait for more */
static ExitStatus
take_news(Reading *reading)
{
	Relay	   *relay = reading->relay;
	StreamNews	news;
	Event		event;
	ExitStatus	status = stream_next(&relay->stream, &news, &event);

	if (status != STATUS_RUNNING)
		return status;
	if (news == NEWS_NONE)
		return wait_for_server(reading);
	if (news == NEWS_EVENT)
		status = take_event(relay, &event);
	if (news == NEWS_SMALL)
		batch_note_end(&relay->delivery);
	if (news == NEWS_QUESTION)
		status = settle(reading);

	/* A flood leaves no time to wait, but must be confirmed too. */
	if (status == STATUS_RUNNING && settle_due(reading))
		status = settle(reading);
	return status;
}

/*
 * About to stop, have what is delivered covered by a horizon: so whoever looks
 * sees no lag, and a slot that is lost meanwhile costs no repetition. On an idle
 * stream that takes a moment; on a busy one it is given up.
 */
static ExitStatus
cover(Reading *reading)
{
	Relay	   *relay = reading->relay;
	Stream	   *stream = &relay->stream;
	const Consumer *consumer = &relay->consumer;
	int64_t		deadline = monotonic_ms() + COVER_MS;
	ExitStatus	status = horizon_cover(&relay->consumer, batch_in_hand(&relay->delivery));

	if (status == STATUS_RUNNING && consumer->candidate.position > consumer->received)
		status = stream_confirm(stream, true);
	while (status == STATUS_RUNNING && !stream->ended && consumer->candidate.position > consumer->received &&
		   monotonic_ms() < deadline)
		status = take_news(reading);
	while (status == STATUS_RUNNING && stream->in_transaction && !stop_due())
		status = take_news(reading);
	return status;
}

/* Deliver and confirm all up to a position; what has come by then of a repair, too */
ExitStatus
stream_reach(Relay *relay, uint64_t position)
{
	Reading		reading = {.relay = relay,.settled_at = monotonic_ms()};
	ExitStatus	status = STATUS_RUNNING;

	while (status == STATUS_RUNNING && relay->consumer.received < position)
		status = stop_requested ? STATUS_STOPPED : take_news(&reading);
	return status == STATUS_RUNNING ? settle(&reading) : status;
}

/* Settle and confirm for the last time, as far as what ended the stream allows; running: nothing did */
ExitStatus
stream_take_leave(Relay *relay, ExitStatus status)
{
	Reading		reading = {.relay = relay};
	Stream	   *stream = &relay->stream;

	if (status == STATUS_RUNNING && stop_requested && !stream->in_transaction)
		status = cover(&reading);
	stream->reported = 0;
	reading.ending = status == STATUS_RUNNING;
	if (reading.ending)
		status = settle(&reading);

	/* What came before the connection was lost need not come again. */
	if (status == STATUS_DATABASE)
	{
		stream_end(stream);
		batch_settle(&relay->delivery);
	}
	if (status != STATUS_RUNNING)
		return status;
	stream_finish(stream);
	log_line(LOG_NOTE, "stopped; durable up to " LSN_FORMAT, LSN_PARTS(relay->consumer.durable));
	return STATUS_STOPPED;
}

/* Stream until there is a reason to end */
ExitStatus
stream_run(Relay *relay)
{
	Reading		reading = {.relay = relay};
	Stream	   *stream = &relay->stream;
	ExitStatus	status = STATUS_RUNNING;

	notify_ready();
	while (status == STATUS_RUNNING && !stream->ended)
	{
		if (stop_requested && (!stream->in_transaction || stop_due()))
			break;
		if (reload_requested && !stop_requested)
			status = heed_signals(relay);
		if (status == STATUS_RUNNING)
			status = take_news(&reading);
	}
	return stream_take_leave(relay, status);
}
