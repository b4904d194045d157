/*
 * delivery.h
 *		Hands events to the sink, in batches, and knows what is durable there.
 *
 * batch		events on their way to the sink, in the order in which they came
 */
#ifndef DELIVERY_DELIVERY_H
#define DELIVERY_DELIVERY_H

#include "catalogue/consumer.h"
#include "delivery/foreign.h"
#include "delivery/suspects.h"
#include "sinks/sink.h"

typedef struct DeliverySettings
{
	SinkSettings sink;
	const SinkKind *sink_kind;
	int64_t		batch;			/* events */
	int64_t		max_attempts;
} DeliverySettings;

typedef struct Delivery
{
	const DeliverySettings *settings;
	Consumer   *consumer;

	Sink	   *sink;
	bool		unflushed;		/* the sink has events that no flush covers */
	bool		sink_is_down;	/* the sink waits for its server, and knows
								 * why */
	bool		sink_is_gone;	/* opening it again would not help */
	int64_t		asked_at;		/* when the sink got what it has in hand; 0:
								 * it has nothing */

	Event	   *batch;
	int			count;
	size_t		bytes;
	int64_t		gather_until;	/* until then a batch may still grow */
	Suspects	suspects;
	Foreign		foreign;

	/*
	 * Where a job writes apart from the stream, nothing is refused for good
	 * but the job: why, stands there. NULL: what is refused is a dead letter.
	 */
	Buffer	   *refusal;

	/* What came of it, since the program began. */
	int64_t		events;
	int64_t		document_bytes;
	int64_t		retries;
	int64_t		dead_letters;
} Delivery;

extern ExitStatus sink_open(Delivery *delivery);
extern void sink_close(Delivery *delivery);
extern ExitStatus batch_add(Delivery *delivery, const Event *event);
extern void batch_note_end(Delivery *delivery);
extern bool batch_in_hand(const Delivery *delivery);
extern void batch_drop(Delivery *delivery);
extern void batch_free(Delivery *delivery);
extern ExitStatus batch_deliver(Delivery *delivery);
extern ExitStatus batch_settle(Delivery *delivery);
extern ExitStatus batch_control(Delivery *delivery, const Event *event);
extern ExitStatus batch_give_up(Delivery *delivery, const Event *event);

#endif							/* DELIVERY_DELIVERY_H */
