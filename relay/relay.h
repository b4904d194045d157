/*
 * relay.h
 *		What the parts of the relay share.
 *
 * session		from connecting to losing a connection; main.c begins a new one
 * batch		events on their way to the sink, in the order of the stream
 * received		up to there, every event is in the batch or at the sink
 * durable		up to there, the sink keeps every event: what we confirm
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "database.h"
#include "options.h"
#include "pgoutput.h"

typedef struct Relay
{
	Options		options;

	PGconn	   *sql;			/* for queries */
	PGconn	   *replication;	/* for the stream */
	Sink	   *sink;

	Event	   *batch;
	int			batch_count;
	size_t		batch_bytes;
	bool		unflushed;		/* the sink has events that no flush covers */

	Decoder		decoder;
	bool		in_transaction;
	uint64_t	received;
	uint64_t	durable;
} Relay;

/* delivery.c */
extern ExitStatus sink_open(Relay *relay);
extern void sink_close(Relay *relay);
extern void batch_add(Relay *relay, const Event *event);
extern bool batch_full(const Relay *relay);
extern void batch_drop(Relay *relay);
extern ExitStatus batch_deliver(Relay *relay);
extern ExitStatus batch_settle(Relay *relay);

/* catalogue.c */
extern ExitStatus catalogue_connect(Relay *relay);
extern ExitStatus catalogue_check(Relay *relay);
extern ExitStatus slot_prepare(Relay *relay);

/* stream.c */
extern ExitStatus stream_start(Relay *relay);
extern ExitStatus stream_run(Relay *relay);

#endif							/* RELAY_RELAY_H */
