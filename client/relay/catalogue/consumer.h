/*
 * consumer.h
 *		How far our stream has come: what this relay knows, and what the table
 *		consumer remembers.
 *
 * received		up to there, every event is in the batch or at the sink
 * durable		up to there, the sink keeps every event: what we confirm
 * delivered	the end of the last transaction of which that holds
 * horizon		every event of an older transaction is durable
 * covered		a horizon that was taken, if it holds, shows the transaction
 */
#ifndef CATALOGUE_CONSUMER_H
#define CATALOGUE_CONSUMER_H

#include "catalogue/catalogue.h"
#include "catalogue/pg_snapshot.h"

/*
 * What is durable is written down that often while events flow: somebody may
 * wait to hear of it.
 */
#define NEWS_INTERVAL_MS 400

/* What the table consumer remembers of our stream. */
typedef struct ConsumerRow
{
	bool		known;			/* the stream was read before, in this history */
	bool		restored;		/* it may have been read in another */
	bool		delivering;		/* a relay had a sink for it before */
	bool		problem_told;	/* the row says why the stream stands still */
	int			timeline;
	uint64_t	delivered;
	uint64_t	confirmed;
	uint64_t	horizon;
	bool		seeded;
	bool		seeding;		/* a snapshot is under way */
	char	   *seeded_collection;	/* its last item; NULL at its beginning */
	char	   *seeded_item;
	int64_t		snapshot_sent;
	int64_t		snapshot_total; /* -1: not known */
	PgSnapshot	delivered_snapshot; /* the events of all transactions that it
									 * shows are durable */
} ConsumerRow;

/* A horizon to be: it holds once all up to that position is durable. */
typedef struct Candidate
{
	PgSnapshot	snapshot;		/* its xmin is the horizon */
	bool		covers;			/* something that no earlier one did */
	uint64_t	position;		/* 0: none */
} Candidate;

/* Why the stream stands still. */
typedef struct Standstill
{
	char	   *problem;		/* NULL: it does not */
	int64_t		told_at;		/* when that was written down */
	bool		stuck;			/* at an event that cannot be sent: what the
								 * sink takes says nothing */
	uint64_t	stuck_at;		/* what was delivered then */
} Standstill;

typedef struct Consumer
{
	Catalogue  *catalogue;
	ConsumerRow row;

	uint64_t	received;
	uint64_t	received_end;	/* the end of the last transaction received */
	uint64_t	durable;
	uint64_t	delivered;
	int			delivered_timeline; /* 0: no session yet */
	bool		begun_anew;		/* --create was asked for, after a restore */
	bool		cures;			/* what it has delivered is of another
								 * history: it begins anew, and the sink is
								 * compared */

	XidList		arrived;		/* transactions with events that are received
								 * whole, and not yet durable */
	XidList		uncovered;		/* those that are durable */
	bool		fresh;			/* nothing is covered in this session */
	bool		untold;			/* more is durable than the row says */
	int64_t		told_at;		/* when the row was written */
	Candidate	candidate;
	uint64_t	horizon_position;	/* where the horizon was taken */
	Standstill	standstill;
} Consumer;

/* consumer.c */
extern ExitStatus consumer_load(Consumer *consumer);
extern ExitStatus consumer_begin(Consumer *consumer, const char *began);
extern ExitStatus consumer_deliver(Consumer *consumer);
extern ExitStatus consumer_forget(Consumer *consumer);
extern ExitStatus consumer_replayed(Consumer *consumer);
extern ExitStatus consumer_seeded(Consumer *consumer, const char *collection_id, const char *item_id);
extern ExitStatus consumer_save(Consumer *consumer);
extern void consumer_arrived(Consumer *consumer, uint64_t xid);
extern void consumer_settle(Consumer *consumer);
extern bool consumer_has_news(const Consumer *consumer);
extern void consumer_tell(Consumer *consumer);
extern void consumer_drop(Consumer *consumer);

/* horizon.c */
extern void horizon_deliver(Consumer *consumer, uint64_t xid);
extern ExitStatus horizon_cover(Consumer *consumer, bool in_hand);
extern ExitStatus horizon_advance(Consumer *consumer, bool ending);

/* standstill.c */
extern void standstill_tell(Consumer *consumer, const char *what, const char *problem);
extern void standstill_at_event(Consumer *consumer);
extern void standstill_remind(Consumer *consumer);
extern void standstill_over(Consumer *consumer);

#endif							/* CATALOGUE_CONSUMER_H */
