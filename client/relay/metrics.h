/*
 * metrics.h
 *		What the operator watches: metrics, and a line on the terminal.
 */
#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/watch.h"

/* What is known of a stream since the oldest event was last looked for. */
typedef struct Search
{
	int			timeline;
	uint64_t	horizon;		/* from where on */
	uint64_t	passed;			/* no older transaction has an event that is
								 * not delivered */
} Search;

typedef struct Metrics
{
	int64_t		sessions;
	bool		delivering;		/* the session has come so far */
	const char *obstacle;		/* what keeps it from that, a word */
	int64_t		oldest_at;		/* when the oldest event was made that is not
								 * delivered: microseconds since 1970; 0: all
								 * are */
	bool		flowing;		/* events came since they were last settled */
	bool		asking;			/* what is waited for is asked for by us */
	int64_t		sink_quiet_since;	/* the last that was heard of a sink which
									 * has something in hand */

	int64_t		ticked_at;
	int64_t		asked_at;		/* the database, for oldest_at */
	Search		search;
	int64_t		shown_at;
	int64_t		shown_events;
	int64_t		shown_bytes;
} Metrics;

struct Relay;
extern void metrics_event(struct Relay *relay);
extern void metrics_settled(struct Relay *relay);
extern void metrics_ask(struct Relay *relay);
extern void metrics_tick(struct Relay *relay);
extern void metrics_report(struct Relay *relay);
extern const PageSubject *metrics_subject(const struct Relay *relay);

#endif							/* RELAY_METRICS_H */
