/*
 * verbs/outcome.h
 *		Many tasks of one call, each of which stands alone, and the rows that
 *		tell what became of them.
 *
 * A refusal is an error that is an answer to one task; any other error ends the
 * call. Which is which the call says.
 */
#ifndef ESGF_STAC_VERBS_OUTCOME_H
#define ESGF_STAC_VERBS_OUTCOME_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "base/occasion.h"

/* A row of type outcome; the first member of what knows more about its task. */
typedef struct Outcome
{
	int			ordinal;		/* from 1 */
	int			status;			/* of HTTP */
	text	   *collection_id;	/* NULL where it cannot be told */
	text	   *item_id;		/* likewise */
	Receipt		receipt;
	Jsonb	   *problem;		/* of a refusal */
	const char *place;			/* of a task that names no item, as a
								 * reference; NULL: its ordinal says it */
} Outcome;

/* Performs one task and completes its outcome; a refusal is an error. */
typedef void (*Performer) (Outcome *outcome);

/* The HTTP status of an error, if it is a refusal; 0: it ends the call. */
typedef int (*RefusalStatus) (const ErrorData *error);

extern void perform_apart(Outcome **outcomes, int count, Performer perform, RefusalStatus status_of);
extern void push_outcome(JsonbParseState **state, const Outcome *outcome);
extern void recall_outcome(Outcome *outcome, const Jsonb *told);
extern Datum return_outcomes(FunctionCallInfo fcinfo, Outcome **outcomes, int count);

#endif							/* ESGF_STAC_VERBS_OUTCOME_H */
