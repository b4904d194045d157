/*
 * base/occasion.h
 *		What surrounds a change: an occasion.
 *
 * The triggers take a statement for one by hand, unless it is one that we run
 * on an occasion of ours. Occasions are nested: what somebody's own trigger does
 * beside our statement is by hand again, and a verb that it calls has its own.
 */
#ifndef ESGF_STAC_BASE_OCCASION_H
#define ESGF_STAC_BASE_OCCASION_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "base/statement.h"

/* Why a statement is run. */
typedef enum OccasionKind
{
	BY_HAND,					/* by somebody else */
	BY_VERB,					/* to do what a request asks */
	BY_IMPORT,					/* an item comes in as it is elsewhere, and
								 * nobody hears of it */
	BY_SUPERSESSION,			/* versions are demoted, which is all that
								 * happens */
	BY_REISSUE,					/* an item gets a version, which is all that
								 * happens */
	BY_CLEANING,				/* rows go that nobody else may remove */
	BY_REGISTRATION				/* a schema is registered or retired, by who
								 * has the lock of the table */
} OccasionKind;

/* What the triggers did, which is a verb's answer. */
typedef struct Receipt
{
	bool		changed;
	bool		created;		/* where there was no active item before */
	int64		version;
	const char *action;			/* the event's type without its first word */
	pg_uuid_t	event_id;
} Receipt;

typedef struct Occasion
{
	OccasionKind kind;
	int64		version;		/* BY_REISSUE: which one */
	const Jsonb *request;		/* as submitted, for the event; NULL: the
								 * document says it all, or nobody asked */
	text	   *request_id;		/* the idempotency key, or NULL */
	struct Explanation *explanation;	/* not NULL: the change is only
										 * judged, for this (access/judge.h) */
	Receipt		receipt;

	/* What is known of the one item of a verb's or an import's statement. */
	Datum		stored;			/* its document as it is stored */
	Jsonb	   *document;		/* the same, opened; NULL: nobody did */
	struct HandedRow *handed;	/* what BEFORE ROW hands on (item/row.h), or
								 * NULL */
	MemoryContext context;		/* outlives the statement */
	bool		dataset_expected;	/* its dataset was probably entered before */

	int			trigger_depth;	/* of the triggers that its statement fires */
	struct Occasion *outer;
} Occasion;

extern int	run_on_occasion(Occasion *occasion, Statement *statement, Datum *values, const char *nulls);
extern Occasion *current_occasion(void);
extern int	trigger_depth(void);
extern text *current_request_id(void);
extern void record_receipt(int64 version, const char *action, const pg_uuid_t *event_id);

#endif							/* ESGF_STAC_BASE_OCCASION_H */
