/*
 * relay.h
 *		The relay: its parts, and how they work together.
 *
 * session		from connecting to losing a connection; main.c begins a new one
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "catalogue/rules.h"
#include "lib/details.h"
#include "relay/details.h"
#include "relay/metrics.h"
#include "relay/options.h"
#include "sources/iteration.h"
#include "sources/redrive.h"
#include "sources/snapshot.h"

typedef struct Relay
{
	Options		options;
	Catalogue	catalogue;
	Consumer	consumer;
	Delivery	delivery;
	Stream		stream;
	Source		replay;
	Snapshot	snapshot;
	Redrive		redrive;
	Verification verification;
	Iterations	iterations;
	Rules		rules;
	Metrics		metrics;
	Details		details;
	bool		is_served;		/* this session has found a primary, and a
								 * slot that is free */
} Relay;

/* main.c */
extern ExitStatus heed_signals(Relay *relay);

/* check.c */
extern ExitStatus check_run(Relay *relay, bool options_good);

/* session.c */
extern ExitStatus session_run(Relay *relay);

/* send.c */
extern ExitStatus send_source(Relay *relay, Source *source);
extern ExitStatus send_row(Relay *relay, Source *source, PGresult *row);

/* loop.c */
extern ExitStatus stream_run(Relay *relay);
extern ExitStatus stream_reach(Relay *relay, uint64_t position);
extern ExitStatus stream_take_leave(Relay *relay, ExitStatus status);

/* work.c */
extern ExitStatus work_run(Relay *relay);

/* worker.c */
extern void worker_begin(Relay *relay, char **argv);
extern bool worker_is_ours(void);
extern void worker_look(void);
extern void worker_reload(void);
extern void worker_end(void);

#endif							/* RELAY_RELAY_H */
