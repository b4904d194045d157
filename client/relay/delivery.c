/*
 * delivery.c
 *		Hands events to the sink, in batches, and knows what is durable there.
 */
#include "relay/relay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

/* A batch is full with that many bytes too: memory stays bounded. */
#define BATCH_BYTES (4 * 1024 * 1024)

/* The pause before a second attempt, and the longest that a sink may ask for. */
#define FIRST_PAUSE_MS 50
#define LONGEST_PAUSE_MS (5 * 60 * 1000)

/* The longest time that a batch may grow though no more comes at once. */
#define LONGEST_GATHER_MS 200

static void
tell_sink_down(Relay *relay, const char *problem)
{
	slot_held(relay);
	log_line(LOG_ERROR, "sink is down, the slot holds %" PRId64 " bytes of WAL: %s", relay->metrics.held, problem);
	consumer_problem(relay, "sink is down", problem);
}

/* The sink failed: what it holds unflushed counts as not written */
static ExitStatus
sink_down(Relay *relay, Buffer *problem)
{
	bool		gone = relay->sink != NULL && relay->sink->gone;

	if (stop_due())
		log_line(LOG_NOTE, "stopped while the sink had not answered: %s", problem->data);
	else
		tell_sink_down(relay, problem->data);
	buffer_free(problem);
	sink_close(relay);
	if (gone)
		relay->options.no_loop = true;
	return STATUS_SINK;
}

ExitStatus
sink_open(Relay *relay)
{
	Buffer		problem = {0};
	Buffer		source = {0};

	if (relay->sink != NULL)
		return STATUS_RUNNING;
	buffer_printf(&source, "%" PRIu64 "/%s/%s", relay->system_identifier, PQdb(relay->sql), relay->options.stream);
	relay->sink = relay->options.sink_kind->open(&relay->options.sink, source.data, &problem);
	buffer_free(&source);
	if (relay->sink == NULL)
		return sink_down(relay, &problem);
	relay->sink->relay = relay;
	if (relay->sink->kind->reach != NULL && !relay->sink->kind->reach(relay->sink, &problem))
		return sink_down(relay, &problem);
	return STATUS_RUNNING;
}

/*
 * A sink that waits for its server calls this several times a second, with a
 * problem if it knows of one: without, the server is merely slow. False: the
 * sink is to give up, and fail.
 */
bool
sink_waits(Sink *sink, Wait *wait, const char *problem)
{
	Relay	   *relay = sink->relay;

	wait_attend();
	if (wait_tell_due(wait))
	{
		relay->sink_is_down = problem != NULL;
		if (problem != NULL && relay->options.no_loop)
			return false;
		if (problem != NULL)
			tell_sink_down(relay, problem);
		else
			log_line(LOG_WARNING, "waiting for the sink to answer, for %d s now", wait_seconds(wait));
	}
	return !stop_due() && !(stop_requested && relay->sink_is_down);
}

void
sink_close(Relay *relay)
{
	if (relay->sink != NULL)
		relay->sink->kind->close(relay->sink);
	relay->sink = NULL;
	relay->unflushed = false;
	relay->sink_is_down = false;
}

static bool
batch_full(const Relay *relay)
{
	return relay->batch_count >= relay->options.batch || relay->batch_bytes >= BATCH_BYTES;
}

/* Take an event, with its memory; a full batch goes to the sink */
ExitStatus
batch_add(Relay *relay, const Event *event)
{
	if (relay->batch == NULL)
		relay->batch = allocate((size_t) relay->options.batch * sizeof(Event));
	relay->batch[relay->batch_count] = *event;
	suspect_recall(relay, &relay->batch[relay->batch_count++]);
	relay->batch_bytes += event->document_length;
	return batch_full(relay) ? batch_deliver(relay) : STATUS_RUNNING;
}

void
batch_drop(Relay *relay)
{
	for (int i = 0; i < relay->batch_count; i++)
	{
		suspect_remember(relay, &relay->batch[i]);
		event_release(&relay->batch[i]);
	}
	relay->batch_count = 0;
	relay->batch_bytes = 0;
}

static bool
to_be_tried_again(const Event *event)
{
	return event->outcome == EVENT_RETRY || event->outcome == EVENT_BUSY;
}

/*
 * Is an event done with? If the sink refused it for good, that is so once it is
 * written down: until then it stays in the batch.
 */
static ExitStatus
judge(Relay *relay, Event *event, bool *done)
{
	ExitStatus	status = STATUS_RUNNING;

	*done = true;
	if (to_be_tried_again(event))
	{
		relay->metrics.retries++;
		event->attempts += event->outcome == EVENT_RETRY;
		*done = event->attempts >= relay->options.max_attempts;
		if (!*done && event->outcome == EVENT_RETRY)
			log_line(LOG_WARNING, "attempt %d failed: %s of %s %s: %s", event->attempts, event->type, event->collection_id,
					 event->item_id != NULL ? event->item_id : "", event->problem);
	}
	if (*done && event->outcome != EVENT_DONE)
	{
		status = dead_letter_add(relay, event);
		*done = status == STATUS_RUNNING;
	}
	if (!*done)
		return status;
	if (event->xid != 0)
	{
		relay->last_xid = event->xid;
		relay->uncovered = true;
	}
	if (event->outcome != EVENT_DONE)
		relay->metrics.dead_letters++;
	else
	{
		relay->metrics.events++;
		relay->metrics.bytes += (int64_t) event->document_length;
	}
	return status;
}

static int
compare_items(const Event *a, const Event *b)
{
	int			order = strcmp(a->collection_id, b->collection_id);

	if (order != 0 || a->item_id == NULL || b->item_id == NULL)
		return order != 0 ? order : (a->item_id != NULL) - (b->item_id != NULL);
	return strcmp(a->item_id, b->item_id);
}

/* For qsort: by item, then as they stand in the batch */
static int
compare_places(const void *a, const void *b)
{
	const Event *one = *(const Event *const *) a;
	const Event *other = *(const Event *const *) b;
	int			order = compare_items(one, other);

	return order != 0 ? order : (one > other) - (one < other);
}

/*
 * What failed while a later version of its item was taken is done with: by the
 * next attempt an index may have forgotten that that version was a deletion.
 */
static void
pass_overtaken(Relay *relay)
{
	Event	  **events = allocate((size_t) relay->batch_count * sizeof(Event *));
	int64_t		taken = 0;		/* the latest version so far of the item */

	for (int i = 0; i < relay->batch_count; i++)
		events[i] = &relay->batch[i];
	qsort(events, (size_t) relay->batch_count, sizeof(Event *), compare_places);
	for (int i = relay->batch_count - 1; i >= 0; i--)
	{
		if (i == relay->batch_count - 1 || compare_items(events[i], events[i + 1]) != 0)
			taken = 0;
		if (events[i]->outcome == EVENT_DONE && events[i]->version > taken)
			taken = events[i]->version;
		if (to_be_tried_again(events[i]) && events[i]->version <= taken)
			events[i]->outcome = EVENT_DONE;
	}
	free(events);
}

static bool
any_to_be_tried_again(const Relay *relay)
{
	for (int i = 0; i < relay->batch_count; i++)
		if (to_be_tried_again(&relay->batch[i]))
			return true;
	return false;
}

/* Keep in the batch what is to be tried again */
static ExitStatus
judge_batch(Relay *relay)
{
	ExitStatus	status = STATUS_RUNNING;
	int			kept = 0;
	int			busy = 0;
	const char *why_busy = NULL;

	if (any_to_be_tried_again(relay))
		pass_overtaken(relay);
	for (int i = 0; i < relay->batch_count; i++)
	{
		Event	   *event = &relay->batch[i];
		bool		done = false;

		if (status == STATUS_RUNNING)
			status = judge(relay, event, &done);
		if (!done && event->outcome == EVENT_BUSY)
		{
			busy++;
			why_busy = event->problem;
		}
		if (done)
			event_release(event);
		else
			relay->batch[kept++] = *event;
	}
	if (busy > 0)
		log_line(LOG_WARNING, "sink is busy, %d events wait: %s", busy, why_busy);
	relay->batch_count = kept;
	return status;
}

/* A sink that has been busy for long is down, as far as anybody can tell */
static void
watch_busy(Relay *relay, Wait *busy)
{
	const Event *event = NULL;

	for (int i = 0; i < relay->batch_count && event == NULL; i++)
		if (relay->batch[i].outcome == EVENT_BUSY)
			event = &relay->batch[i];
	if (event != NULL && wait_tell_due(busy))
	{
		relay->sink_is_down = true;
		tell_sink_down(relay, event->problem);
	}
	if (event != NULL)
		return;
	if (relay->sink_is_down)
		log_line(LOG_NOTE, "sink is up again");
	relay->sink_is_down = false;
	*busy = wait_begin(NULL);
}

/*
 * Wait before the next attempt, twice as long each time, or as the sink asks.
 * Where the session has ended meanwhile, the events come again in the next.
 */
static ExitStatus
pause_before_retry(Relay *relay, int attempts, Wait *busy)
{
	int64_t		pause = FIRST_PAUSE_MS << (attempts < 7 ? attempts : 7);
	int64_t		asked = relay->sink->pause < LONGEST_PAUSE_MS ? relay->sink->pause : LONGEST_PAUSE_MS;
	Wait		wait = wait_begin("the time at which the sink wants the next attempt");
	int64_t		deadline = wait.since + asked + pause / 2 + random() % (pause / 2);

	while (!stop_requested && monotonic_ms() < deadline && PQstatus(relay->sql) == CONNECTION_OK)
	{
		wait_on(&wait, -1, 0, deadline - monotonic_ms());
		watch_busy(relay, busy);
	}
	if (stop_requested)
		return STATUS_STOPPED;
	return PQstatus(relay->sql) == CONNECTION_OK ? STATUS_RUNNING : STATUS_DATABASE;
}

/*
 * Have the sink take what is in the batch. The longer it took, the longer may
 * the next batch grow: what a slow sink gets in small parts makes it slower.
 */
static bool
write_batch(Relay *relay, Buffer *problem)
{
	int64_t		began = monotonic_ms();
	int64_t		took;
	bool		written;

	for (int i = 0; i < relay->batch_count; i++)
		relay->batch[i].outcome = EVENT_DONE;
	relay->unflushed = true;
	relay->sink->pause = 0;
	written = relay->sink->kind->write(relay->sink, relay->batch, relay->batch_count, problem);
	took = monotonic_ms() - began;
	relay->gather_until = began + took + (took / 2 < LONGEST_GATHER_MS ? took / 2 : LONGEST_GATHER_MS);
	return written;
}

/* Hand the batch to the sink; afterwards it is empty */
ExitStatus
batch_deliver(Relay *relay)
{
	Buffer		problem = {0};
	Wait		busy = wait_begin(NULL);
	ExitStatus	status = STATUS_RUNNING;

	if (relay->options.sink.format == FORMAT_ESGF)
		status = envelope_prepare(relay);
	for (int attempts = 0; status == STATUS_RUNNING && relay->batch_count > 0; attempts++)
	{
		if (attempts > 0)
			status = pause_before_retry(relay, attempts, &busy);
		if (status != STATUS_RUNNING)
			return status;
		if (attempts > 0 && skip_asked(relay))
		{
			log_line(LOG_NOTE, "an event is to be passed over: the session begins anew");
			return STATUS_DATABASE;
		}
		if (!write_batch(relay, &problem))
			return sink_down(relay, &problem);
		status = judge_batch(relay);
		watch_busy(relay, &busy);
	}
	relay->batch_bytes = 0;
	return status;
}

/* Make durable all that was received */
ExitStatus
batch_settle(Relay *relay)
{
	Buffer		problem = {0};
	ExitStatus	status = batch_deliver(relay);

	if (status != STATUS_RUNNING)
		return status;
	if (relay->unflushed && relay->sink->kind->flush != NULL &&
		!relay->sink->kind->flush(relay->sink, &problem))
		return sink_down(relay, &problem);
	relay->unflushed = false;
	if (relay->streaming)
		relay->metrics.oldest_at = 0;
	relay->durable = relay->received;
	relay->delivered = relay->received_end;
	consumer_well(relay);
	return STATUS_RUNNING;
}
