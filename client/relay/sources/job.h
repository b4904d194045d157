/*
 * job.h
 *		An iteration job in hand, and where its lines go.
 *
 * own		into the sink that the stream feeds: in its order, and by its relay alone
 * target	a place of its own, beside the stream: by any worker that allows it
 * key		an item of a page, and the version that is to be sent of it
 */
#ifndef SOURCES_JOB_H
#define SOURCES_JOB_H

#include "delivery/delivery.h"

/* What is to be done next of a job; each but sending is a query. */
typedef enum JobPhase
{
	JOB_NONE,					/* this place is free */
	JOB_TAKE,					/* has nobody else it? */
	JOB_START,					/* say that it starts */
	JOB_WRITERS,				/* let end who may have stamped items before
								 * as_of */
	JOB_PAGE,					/* read keys */
	JOB_SEND,					/* send what they name, slice by slice */
	JOB_AHEAD,					/* some of it is ahead of the stream: by how
								 * much? */
	JOB_NOTE,					/* all of the page is durable */
	JOB_END,					/* it is over: say so */
	JOB_FINISH,					/* that is said */
	JOB_LEAVE,					/* let others have it */
} JobPhase;

typedef struct Key
{
	const char *collection_id;
	const char *item_id;
	int64_t		version;		/* that the stream has brought, or will not */
	int64_t		ahead;			/* a higher one was seen; 0: none */
	PGresult   *held;			/* its state then, if there was room for it */
	bool		asked;			/* its state is, just now */
	bool		settled;		/* sent, or selected no more */
} Key;

typedef struct Job
{
	JobPhase	phase;
	Delivery   *own;			/* of the stream */
	char	   *id;
	char	   *target;			/* NULL: own */
	bool		with_document;
	int64_t		max_rate;		/* items a second; 0: as fast as can be */
	char	   *state;			/* as last seen; NULL: it is finished, or gone */
	char	   *failure;		/* why it is to fail; NULL: it is not */
	char	   *writers;
	int64_t		not_before;		/* the next step */

	PGresult   *page;			/* its last row is where it ends */
	Key		   *keys;			/* of the other rows, in the order of bytes */
	int			key_count;
	int			next;			/* of them */
	int			left;			/* not settled */
	int			slice[2];		/* from, and up to, those that are asked for */
	size_t		held_bytes;		/* of states that wait for the stream */
	Key		   *due;			/* whose event the stream has just brought */
	uint64_t	due_xid;		/* by that transaction; 0: nothing is due */
	int64_t		page_sent;
	uint64_t	position;		/* what the page showed was committed before */

	/* Of one with a target. */
	Delivery	delivery;
	DeliverySettings settings;
	Consumer	consumer;
	Buffer		sink_name;
	Buffer		refusal;		/* an item that its sink refused */
	int			failures;		/* of its sink, one after another */
} Job;

extern void job_forget_page(Job *job);
extern void job_forget(Job *job);
extern void job_fail(Job *job, const char *why);
extern Delivery *job_delivery(Job *job);
extern ExitStatus job_open_sink(Job *job, bool fresh);
extern bool job_close_sink(Job *job);
extern ExitStatus job_sink_failed(Job *job, ExitStatus status, JobPhase again);
extern ExitStatus job_say(Job *job, const char *what, const char *row, const char *time);

#endif							/* SOURCES_JOB_H */
