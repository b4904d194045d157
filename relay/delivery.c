/*
 * delivery.c
 *		Hands events to the sink, in batches, and knows what is durable there.
 */
#include "relay.h"

#include <stdlib.h>

#include "log.h"

/* A batch is full with that many bytes too: memory stays bounded. */
#define BATCH_BYTES (4 * 1024 * 1024)

/* The sink failed: what it holds unflushed counts as not written */
static ExitStatus
sink_down(Relay *relay, Buffer *problem)
{
	bool		gone = relay->sink != NULL && relay->sink->gone;

	log_line(LOG_ERROR, "sink is down: %s", problem->data);
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

	if (relay->sink != NULL)
		return STATUS_RUNNING;
	relay->sink = relay->options.sink_kind->open(relay->options.sink_target, &problem);
	if (relay->sink == NULL)
		return sink_down(relay, &problem);
	return STATUS_RUNNING;
}

void
sink_close(Relay *relay)
{
	if (relay->sink != NULL)
		relay->sink->kind->close(relay->sink);
	relay->sink = NULL;
	relay->unflushed = false;
}

/* Take an event, with its memory */
void
batch_add(Relay *relay, const Event *event)
{
	if (relay->batch == NULL)
		relay->batch = allocate((size_t) relay->options.batch * sizeof(Event));
	relay->batch[relay->batch_count++] = *event;
	relay->batch_bytes += event->document_length;
}

bool
batch_full(const Relay *relay)
{
	return relay->batch_count >= relay->options.batch || relay->batch_bytes >= BATCH_BYTES;
}

void
batch_drop(Relay *relay)
{
	for (int i = 0; i < relay->batch_count; i++)
		event_release(&relay->batch[i]);
	relay->batch_count = 0;
	relay->batch_bytes = 0;
}

/* Hand the batch to the sink; afterwards it is empty */
ExitStatus
batch_deliver(Relay *relay)
{
	Buffer		problem = {0};

	if (relay->batch_count == 0)
		return STATUS_RUNNING;
	relay->unflushed = true;
	if (!relay->sink->kind->write(relay->sink, relay->batch, relay->batch_count, &problem))
		return sink_down(relay, &problem);
	batch_drop(relay);
	return STATUS_RUNNING;
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
	relay->durable = relay->received;
	return STATUS_RUNNING;
}
