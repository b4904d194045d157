/*
 * base/statement.c
 *		Runs our statements: see base/statement.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/statement.h"

Oid			tables_owner = InvalidOid;

/* Act as the owner of the tables, as foreign keys do. */
void
become_owner(SavedUser *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->security_context);
	SetUserIdAndSecContext(tables_owner,
						   saved->security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
}

/* Act as before again; an error does so by itself. */
void
become_caller(const SavedUser *saved)
{
	SetUserIdAndSecContext(saved->userid, saved->security_context);
}

/* The generic plan of a prepared statement, if it can be used as it is; else NULL. */
static CachedPlan *
usable_plan(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));

	return source->is_valid && source->gplan && source->gplan->is_valid ? source->gplan : NULL;
}

/*
 * Have a statement planned for any values and by its indexes: a table that was
 * small when the plan was made may have grown by millions since, within the
 * same statement, before its statistics tell the planner so.
 */
static void
plan_by_index(Statement *statement)
{
	bool		before = enable_seqscan;
	CachedPlan *plan;

	enable_seqscan = false;
	PG_TRY();
	{
		plan = SPI_plan_get_cached_plan(statement->plan);
		statement->generation = plan->generation;
		ReleaseCachedPlan(plan, CurrentResourceOwner);
	}
	PG_FINALLY();
	{
		enable_seqscan = before;
	}
	PG_END_TRY();
}

/*
 * The prepared plan of a statement, made anew where needed: also where the
 * server had to plan it itself, having run it after a change of search_path. It
 * is never freed: a call further out may be running it.
 */
static SPIPlanPtr
statement_plan(Statement *statement)
{
	CachedPlan *usable = statement->plan ? usable_plan(statement->plan) : NULL;

	if (usable && usable->generation == statement->generation)
		return statement->plan;
	if (usable)
		usable->is_valid = false;
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(statement->sql, statement->nargs, statement->argtypes,
											  CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	plan_by_index(statement);
	return statement->plan;
}

/* Run a statement with the caller's rights; answers how many rows it met. */
int
run_statement(Statement *statement, Datum *values, const char *nulls)
{
	int			result = SPI_execute_plan(statement_plan(statement), values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(result));
	return (int) SPI_processed;
}

/* Run a statement with the rights of the tables' owner. */
int
run_statement_as_owner(Statement *statement, Datum *values, const char *nulls)
{
	SavedUser	saved;
	int			processed;

	become_owner(&saved);
	processed = run_statement(statement, values, nulls);
	become_caller(&saved);
	return processed;
}

/*
 * Write by what is committed now, whatever the transaction's snapshot, as
 * foreign keys do: rows that nobody writes but under a lock which the caller has.
 */
int
write_latest_as_owner(Statement *statement, Datum *values, const char *nulls)
{
	SavedUser	saved;
	int			result;

	become_owner(&saved);
	result = SPI_execute_snapshot(statement_plan(statement), values, nulls,
								  GetLatestSnapshot(), InvalidSnapshot, false, true, 0);
	become_caller(&saved);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(result));
	return (int) SPI_processed;
}

/*
 * Read what is committed now, whatever the transaction's snapshot: what a
 * backend keeps over transactions must not be older than its invalidations.
 */
int
read_latest_as_owner(Statement *statement, Datum *values, const char *nulls)
{
	SavedUser	saved;
	int			result;

	become_owner(&saved);
	result = SPI_execute_snapshot(statement_plan(statement), values, nulls,
								  GetLatestSnapshot(), InvalidSnapshot, true, false, 0);
	become_caller(&saved);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(result));
	return (int) SPI_processed;
}
