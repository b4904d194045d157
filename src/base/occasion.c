/*
 * base/occasion.c
 *		What surrounds a change: see base/occasion.h.
 *
 * An occasion lasts as long as its statement runs, and ends with it however that
 * ends: so it lies on the C stack, and needs no callback at the transaction's end.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"

#include "base/occasion.h"

static Occasion *innermost = NULL;

/* How many triggers are running, of whosever statements. */
int
trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

/*
 * Run a statement with the rights of its occasion: what changes nothing of an
 * item, or nobody asked for, is done with those of the tables' owner, all else
 * with the caller's.
 */
static int
run_rightly(const Occasion *occasion, Statement *statement, Datum *values, const char *nulls)
{
	switch (occasion->kind)
	{
		case BY_SUPERSESSION:
		case BY_REISSUE:
		case BY_CLEANING:
			return run_statement_as_owner(statement, values, nulls);
		case BY_REGISTRATION:
			return write_latest_as_owner(statement, values, nulls);
		default:
			return run_statement(statement, values, nulls);
	}
}

/* Run a statement on an occasion; answers how many rows it met. */
int
run_on_occasion(Occasion *occasion, Statement *statement, Datum *values, const char *nulls)
{
	int			processed;

	occasion->trigger_depth = trigger_depth() + 1;
	occasion->context = CurrentMemoryContext;
	occasion->outer = innermost;
	innermost = occasion;
	PG_TRY();
	{
		processed = run_rightly(occasion, statement, values, nulls);
	}
	PG_FINALLY();
	{
		innermost = occasion->outer;
	}
	PG_END_TRY();
	return processed;
}

/* The occasion of the statement that has fired the trigger which asks. */
Occasion *
current_occasion(void)
{
	static Occasion by_hand = {BY_HAND};

	return innermost && innermost->trigger_depth == trigger_depth() ? innermost : &by_hand;
}

/* The idempotency key of the verb under way, for all that it brings about; NULL if it has none. */
text *
current_request_id(void)
{
	Occasion   *occasion = innermost;

	while (occasion && occasion->kind != BY_VERB)
		occasion = occasion->outer;
	return occasion ? occasion->request_id : NULL;
}

/* Write down what was done. */
void
record_receipt(int64 version, const char *action, const pg_uuid_t *event_id)
{
	Receipt    *receipt = &current_occasion()->receipt;

	receipt->changed = true;
	receipt->version = version;
	receipt->action = action;
	receipt->event_id = *event_id;
}
