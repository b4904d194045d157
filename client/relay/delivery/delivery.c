/*
 * delivery.c
 *		Hands events to the sink, in batches, and knows what is durable there.
 */
#include "delivery/delivery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue/skip.h"
#include "catalogue/slot.h"
#include "delivery/dead_letter.h"
#include "delivery/envelope.h"
#include "lib/log.h"
#include "lib/passwords.h"

/* A batch is full with that many bytes too: memory stays bounded. */
#define BATCH_BYTES (4 * 1024 * 1024)

/* The pause before a second attempt, and the longest that a sink may ask for. */
#define FIRST_PAUSE_MS 50
#define LONGEST_PAUSE_MS (5 * 60 * 1000)

/* The longest time that a batch may grow though no more comes at once. */
#define LONGEST_GATHER_MS 200

static void
tell_sink_down(Delivery *delivery, const char *problem)
{
	Catalogue  *catalogue = delivery->consumer->catalogue;

	if (delivery->refusal != NULL)
	{
		Buffer		sink = {0};

		passwords_leave_out(&sink, delivery->settings->sink.name);
		log_line(LOG_ERROR, "sink %s is down: %s", sink.data, problem);
		buffer_free(&sink);
		return;
	}
	slot_ask_held(catalogue);
	log_line(LOG_ERROR, "sink is down, the slot holds %" PRId64 " bytes of WAL: %s", catalogue->slot_held, problem);
	standstill_tell(delivery->consumer, "sink is down", problem);
}

/* The sink failed: what it holds unflushed counts as not written */
static ExitStatus
sink_down(Delivery *delivery, Buffer *problem)
{
	if (stop_due())
		log_line(LOG_NOTE, "stopped while the sink had not answered: %s", problem->data);
	else
		tell_sink_down(delivery, problem->data);
	buffer_free(problem);
	delivery->sink_is_gone = delivery->sink != NULL && delivery->sink->gone;
	sink_close(delivery);
	return STATUS_ENDPOINT;
}

/* The sink waits for its server, and knows a problem or not; false: it is to give up, and fail */
static bool
waits(void *owner, Wait *wait, const char *problem)
{
	Delivery   *delivery = owner;

	wait_attend();
	if (wait_tell_due(wait))
	{
		delivery->sink_is_down = problem != NULL;

		/* Behind a job's, others wait. */
		if (problem != NULL && (delivery->consumer->catalogue->settings->no_loop || delivery->refusal != NULL))
			return false;
		if (problem != NULL)
			tell_sink_down(delivery, problem);
		else
			log_line(LOG_WARNING, "waiting for the sink to answer, for %d s now", wait_seconds(wait));
	}
	return !stop_due() && !(stop_requested && delivery->sink_is_down);
}

ExitStatus
sink_open(Delivery *delivery)
{
	const Catalogue *catalogue = delivery->consumer->catalogue;
	Buffer		problem = {0};
	Buffer		source = {0};
	bool		good;

	if (delivery->sink != NULL)
		return STATUS_RUNNING;
	buffer_printf(&source, "%" PRIu64 "/%s/%s", catalogue->system_identifier, PQdb(catalogue->sql), catalogue->settings->stream);
	delivery->asked_at = monotonic_ms();
	delivery->sink = delivery->settings->sink_kind->open(&delivery->settings->sink, source.data, &problem);
	buffer_free(&source);
	good = delivery->sink != NULL;
	if (good)
	{
		delivery->sink->waits = waits;
		delivery->sink->owner = delivery;
		good = delivery->sink->kind->reach == NULL || delivery->sink->kind->reach(delivery->sink, &problem);
	}
	delivery->asked_at = 0;
	return good ? STATUS_RUNNING : sink_down(delivery, &problem);
}

void
sink_close(Delivery *delivery)
{
	if (delivery->sink != NULL)
		delivery->sink->kind->close(delivery->sink);
	delivery->sink = NULL;
	delivery->unflushed = false;
	delivery->sink_is_down = false;
}

static bool
batch_full(const Delivery *delivery)
{
	return delivery->count >= delivery->settings->batch || delivery->bytes >= BATCH_BYTES;
}

/* Take an event, with its memory; a full batch goes to the sink */
ExitStatus
batch_add(Delivery *delivery, const Event *event)
{
	if (delivery->batch == NULL)
		delivery->batch = allocate((size_t) delivery->settings->batch * sizeof(Event));
	delivery->batch[delivery->count] = *event;
	suspects_recall(&delivery->suspects, &delivery->batch[delivery->count++]);
	delivery->bytes += event->document_length + (event->warnings != NULL ? strlen(event->warnings) : 0);
	return batch_full(delivery) ? batch_deliver(delivery) : STATUS_RUNNING;
}

void
batch_drop(Delivery *delivery)
{
	for (int i = 0; i < delivery->count; i++)
	{
		suspects_remember(&delivery->suspects, &delivery->batch[i], (int) delivery->settings->batch);
		event_release(&delivery->batch[i]);
	}
	delivery->count = 0;
	delivery->bytes = 0;
}

/* Is something on its way to the sink, or not yet durable there? */
bool
batch_in_hand(const Delivery *delivery)
{
	return delivery->count > 0 || delivery->unflushed;
}

/* The next batch may have another size */
void
batch_free(Delivery *delivery)
{
	free(delivery->batch);
	delivery->batch = NULL;
}

static bool
to_be_tried_again(const Event *event)
{
	return event->outcome == EVENT_RETRY || event->outcome == EVENT_BUSY;
}

/* An event is refused for good: write that down */
ExitStatus
batch_give_up(Delivery *delivery, const Event *event)
{
	if (delivery->refusal == NULL)
		return dead_letter_add(delivery->consumer->catalogue, event);
	if (delivery->refusal->length == 0)
		buffer_printf(delivery->refusal, "%s %s, version %" PRId64 ", was refused: %s", event->collection_id, event->item_id, event->version, event->problem);
	return STATUS_RUNNING;
}

/*
 * Is an event done with? If the sink refused it for good, that is so once it is
 * written down: until then it stays in the batch.
 */
static ExitStatus
judge(Delivery *delivery, Event *event, bool *done)
{
	ExitStatus	status = STATUS_RUNNING;

	*done = true;
	if (to_be_tried_again(event))
	{
		delivery->retries++;
		event->attempts += event->outcome == EVENT_RETRY;
		*done = event->attempts >= delivery->settings->max_attempts;
		if (!*done && event->outcome == EVENT_RETRY)
			log_line(LOG_WARNING, "attempt %d failed: %s of %s %s: %s", event->attempts, event->type, event->collection_id,
					 event->item_id != NULL ? event->item_id : "", event->problem);
	}
	if (*done && event->outcome != EVENT_DONE)
	{
		status = batch_give_up(delivery, event);
		*done = status == STATUS_RUNNING;
	}
	if (!*done)
		return status;
	if (event->outcome != EVENT_DONE)
		delivery->dead_letters++;
	else
	{
		delivery->events++;
		delivery->document_bytes += (int64_t) event->document_length;
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
pass_overtaken(Delivery *delivery)
{
	Event	  **events = allocate((size_t) delivery->count * sizeof(Event *));
	int64_t		taken = 0;		/* the latest version so far of the item */

	for (int i = 0; i < delivery->count; i++)
		events[i] = &delivery->batch[i];
	qsort(events, (size_t) delivery->count, sizeof(Event *), compare_places);
	for (int i = delivery->count - 1; i >= 0; i--)
	{
		if (i == delivery->count - 1 || compare_items(events[i], events[i + 1]) != 0)
			taken = 0;
		if (events[i]->outcome == EVENT_DONE && events[i]->version > taken)
			taken = events[i]->version;
		if (to_be_tried_again(events[i]) && events[i]->version <= taken)
			events[i]->outcome = EVENT_DONE;
	}
	free(events);
}

static bool
any_to_be_tried_again(const Delivery *delivery)
{
	for (int i = 0; i < delivery->count; i++)
		if (to_be_tried_again(&delivery->batch[i]))
			return true;
	return false;
}

/* Keep in the batch what is to be tried again */
static ExitStatus
judge_batch(Delivery *delivery)
{
	ExitStatus	status = STATUS_RUNNING;
	int			kept = 0;
	int			busy = 0;
	const char *why_busy = NULL;

	if (any_to_be_tried_again(delivery))
		pass_overtaken(delivery);
	for (int i = 0; i < delivery->count; i++)
	{
		Event	   *event = &delivery->batch[i];
		bool		done = false;

		if (status == STATUS_RUNNING)
			status = judge(delivery, event, &done);
		if (!done && event->outcome == EVENT_BUSY)
		{
			busy++;
			why_busy = event->problem;
		}
		if (done)
			event_release(event);
		else
			delivery->batch[kept++] = *event;
	}
	if (busy > 0)
		log_line(LOG_WARNING, "sink is busy, %d events wait: %s", busy, why_busy);
	delivery->count = kept;
	return status;
}

/* A sink that has been busy for long is down, as far as anybody can tell */
static void
watch_busy(Delivery *delivery, Wait *busy)
{
	const Event *event = NULL;

	for (int i = 0; i < delivery->count && event == NULL; i++)
		if (delivery->batch[i].outcome == EVENT_BUSY)
			event = &delivery->batch[i];
	if (event != NULL && wait_tell_due(busy))
	{
		delivery->sink_is_down = true;
		tell_sink_down(delivery, event->problem);
	}
	if (event != NULL)
		return;
	if (delivery->sink_is_down)
		log_line(LOG_NOTE, "sink is up again");
	delivery->sink_is_down = false;
	*busy = wait_begin(NULL);
}

/*
 * Wait before the next attempt, twice as long each time, or as the sink asks.
 * Where the session has ended meanwhile, the events come again in the next.
 */
static ExitStatus
pause_before_retry(Delivery *delivery, int attempts, Wait *busy)
{
	int64_t		pause = FIRST_PAUSE_MS << (attempts < 7 ? attempts : 7);
	int64_t		asked = delivery->sink->pause < LONGEST_PAUSE_MS ? delivery->sink->pause : LONGEST_PAUSE_MS;
	Wait		wait = wait_begin("the time at which the sink wants the next attempt");
	int64_t		deadline = wait.since + asked + pause / 2 + random() % (pause / 2);

	while (!stop_requested && monotonic_ms() < deadline && PQstatus(delivery->consumer->catalogue->sql) == CONNECTION_OK)
	{
		wait_on(&wait, -1, 0, deadline - monotonic_ms());
		watch_busy(delivery, busy);
	}
	if (stop_requested)
		return STATUS_STOPPED;
	return PQstatus(delivery->consumer->catalogue->sql) == CONNECTION_OK ? STATUS_RUNNING : STATUS_DATABASE;
}

/*
 * Have the sink take what is in the batch. The longer it took, the longer may
 * the next batch grow: what a slow sink gets in small parts makes it slower.
 */
static bool
write_batch(Delivery *delivery, Buffer *problem)
{
	int64_t		began = delivery->asked_at = monotonic_ms();
	int64_t		took;
	bool		written;

	for (int i = 0; i < delivery->count; i++)
	{
		delivery->batch[i].outcome = EVENT_DONE;
		delivery->batch[i].found_version = 0;
	}
	delivery->unflushed = true;
	delivery->sink->pause = 0;
	written = delivery->sink->kind->write(delivery->sink, delivery->batch, delivery->count, problem);
	delivery->asked_at = 0;
	took = monotonic_ms() - began;
	delivery->gather_until = began + took + (took / 2 < LONGEST_GATHER_MS ? took / 2 : LONGEST_GATHER_MS);
	return written;
}

/*
 * Which transactions have events in the batch? Both are in the order of the
 * stream. False if they do not fit together: then nothing is known.
 */
static bool
find_in_batch(const Delivery *delivery, bool *in_batch)
{
	const XidList *arrived = &delivery->consumer->arrived;
	int			next = 0;

	for (size_t i = 0; i < arrived->count; i++)
	{
		in_batch[i] = next < delivery->count && delivery->batch[next].xid == arrived->xids[i];
		while (next < delivery->count && delivery->batch[next].xid == arrived->xids[i])
			next++;
	}

	/* What is left must be the beginning of one that has not arrived whole. */
	return next == delivery->count || delivery->batch[next].xid == delivery->batch[delivery->count - 1].xid;
}

/* The sink has what it took, and not yet all: tell of the transactions that it has whole */
static void
settle_apart(Delivery *delivery)
{
	XidList    *arrived = &delivery->consumer->arrived;
	bool	   *in_batch = allocate(arrived->count * sizeof(bool) + 1);
	size_t		left = 0;

	if (find_in_batch(delivery, in_batch))
	{
		for (size_t i = 0; i < arrived->count; i++)
		{
			if (in_batch[i])
				arrived->xids[left++] = arrived->xids[i];
			else
				horizon_deliver(delivery->consumer, arrived->xids[i]);
		}
		arrived->count = left;
	}
	free(in_batch);
}

/* Where what a sink has taken is durable, that is known at once */
static void
note_taken(Delivery *delivery)
{
	if (delivery->sink->kind->flush != NULL)
		return;
	if (delivery->count > 0)
		settle_apart(delivery);
	else
	{
		delivery->unflushed = false;
		consumer_settle(delivery->consumer);
	}
}

/* Hand the batch to the sink; afterwards it is empty */
ExitStatus
batch_deliver(Delivery *delivery)
{
	Buffer		problem = {0};
	Wait		busy = wait_begin(NULL);
	ExitStatus	status = STATUS_RUNNING;

	if (delivery->settings->sink.format == FORMAT_ESGF)
		status = envelope_prepare(delivery->consumer->catalogue, delivery->batch, delivery->count);
	for (int attempts = 0; status == STATUS_RUNNING && delivery->count > 0; attempts++)
	{
		if (attempts > 0)
			status = pause_before_retry(delivery, attempts, &busy);
		if (status != STATUS_RUNNING)
			return status;
		if (attempts > 0 && skip_asked(delivery->consumer->catalogue))
		{
			log_line(LOG_NOTE, "an event is to be passed over: the session begins anew");
			return STATUS_DATABASE;
		}
		if (!write_batch(delivery, &problem))
			return sink_down(delivery, &problem);
		status = foreign_note(&delivery->foreign, delivery->consumer->catalogue, delivery->batch, delivery->count);
		if (status == STATUS_RUNNING)
			status = judge_batch(delivery);
		note_taken(delivery);
		watch_busy(delivery, &busy);
	}
	delivery->bytes = 0;
	return status;
}

/* Have the sink make durable what it has */
static bool
flush(Delivery *delivery, Buffer *problem)
{
	bool		flushed;

	delivery->asked_at = monotonic_ms();
	flushed = delivery->sink->kind->flush(delivery->sink, problem);
	delivery->asked_at = 0;
	return flushed;
}

/* Say something of a job, behind what is in the batch, and have the sink make it durable */
ExitStatus
batch_control(Delivery *delivery, const Event *event)
{
	Buffer		problem = {0};
	ExitStatus	status = batch_deliver(delivery);

	if (status != STATUS_RUNNING)
		return status;
	if (!delivery->sink->kind->control(delivery->sink, event, &problem))
		return sink_down(delivery, &problem);
	delivery->unflushed = true;
	return batch_settle(delivery);
}

/* A transaction has ended; if nothing of it is in hand, it is durable */
void
batch_note_end(Delivery *delivery)
{
	if (!batch_in_hand(delivery))
		consumer_settle(delivery->consumer);
}

/* Make durable all that was received */
ExitStatus
batch_settle(Delivery *delivery)
{
	Buffer		problem = {0};
	ExitStatus	status = batch_deliver(delivery);

	if (status != STATUS_RUNNING)
		return status;
	if (delivery->unflushed && delivery->sink->kind->flush != NULL && !flush(delivery, &problem))
		return sink_down(delivery, &problem);
	delivery->unflushed = false;
	consumer_settle(delivery->consumer);
	return STATUS_RUNNING;
}
