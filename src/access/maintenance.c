/*
 * access/maintenance.c
 *		May the catalogue be changed now? See access/maintenance.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"

#include "access/identity.h"
#include "access/judge.h"
#include "access/maintenance.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/occasion.h"
#include "base/problems.h"
#include "base/table_cache.h"

/* The transaction that is admitted, and by which of its subtransactions. */
static LocalTransactionId admitted_lxid = InvalidLocalTransactionId;
static SubTransactionId admitted_subxid;

PG_FUNCTION_INFO_V1(esgf_require_open);
PG_FUNCTION_INFO_V1(esgf_before_statement);

/*
 * What a subtransaction has begun to write goes with it, and so does its
 * admission: later ones have higher numbers, and those that were in it, too.
 */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subxid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && subxid <= admitted_subxid)
		admitted_lxid = InvalidLocalTransactionId;
}

/* Has this transaction begun to write before? */
static bool
is_admitted(void)
{
	return admitted_lxid == backend_local_xid();
}

/* Let the rest of this transaction write. */
void
admit_transaction(void)
{
	static bool registered = false;

	if (is_admitted())
		return;
	if (!registered)
		RegisterSubXactCallback(on_subtransaction_end, NULL);
	registered = true;
	admitted_lxid = backend_local_xid();
	admitted_subxid = GetCurrentSubTransactionId();
}

/* Keep what the row of the table says. */
static void *
keep_maintenance(void *kept, HeapTuple row, TupleDesc desc)
{
	Maintenance *maintenance = palloc0(sizeof(Maintenance));
	bool		isnull;
	Datum		seconds = SPI_getbinval(row, desc, 2, &isnull);

	maintenance->message = SPI_getvalue(row, desc, 1);
	maintenance->tells_when = !isnull;
	if (!isnull)
		maintenance->retry_after = DatumGetInt64(seconds);
	return maintenance;
}

/* Read the table, which has one row or none. */
static void *
read_maintenance(void)
{
	static Statement statement = {
		"SELECT message, pg_catalog.ceil(pg_catalog.extract('epoch', retry_after))::pg_catalog.int8"
		" FROM esgf_stac.maintenance"
	};

	return keep_rows(&statement, NULL, keep_maintenance, NULL);
}

static TableCache maintenance_cache = {"maintenance", read_maintenance};

/*
 * The maintenance in force, as it is committed now; NULL is none. It is told
 * even by a catalogue of another version, if that has the table: during an
 * upgrade, too.
 */
static const Maintenance *
maintenance_in_force(void)
{
	return OidIsValid(find_table("maintenance")) ? cached_rows(&maintenance_cache) : NULL;
}

/*
 * The maintenance that keeps others from writing, whoever calls; where there is
 * none, the transaction is admitted. Who must say for whom he acts says that
 * first.
 */
const Maintenance *
maintenance_for_others(void)
{
	const Maintenance *maintenance = is_admitted() ? NULL : maintenance_in_force();

	if (maintenance)
		require_identity();
	else
		admit_transaction();
	return maintenance;
}

/* The same of the caller himself, if he is no administrator. */
const Maintenance *
maintenance_for_caller(void)
{
	return is_admitted() || is_administrator() ? NULL : maintenance_for_others();
}

/* Refuse to begin a change, 503. */
void
refuse_in_maintenance(const Maintenance *maintenance)
{
	const char *detail = maintenance->tells_when ?
	psprintf("Nothing is changed meanwhile; try again in " INT64_FORMAT " seconds.", maintenance->retry_after) :
	"Nothing is changed meanwhile; it is not known for how long.";

	ereport(ERROR,
			(errproblem(PROBLEM_MAINTENANCE), errtable_of("maintenance"),
			 errsentence("%s", maintenance->message),
			 errdetail_retry(maintenance->tells_when ? maintenance->retry_after : RETRY_UNKNOWN, detail)));
}

/* Refuse the caller's change, 503, if maintenance keeps him from it. */
void
require_open(void)
{
	const Maintenance *maintenance = maintenance_for_caller();

	if (maintenance)
		refuse_in_maintenance(maintenance);
}

/* require_open(): for the verbs that are not written in C, if others than administrators call them. */
Datum
esgf_require_open(PG_FUNCTION_ARGS)
{
	require_open();
	PG_RETURN_VOID();
}

/*
 * Trigger before a statement: refuse it in maintenance. What is not by hand or
 * by a verb is part of what was asked before, and an explanation changes nothing.
 */
Datum
esgf_before_statement(PG_FUNCTION_ARGS)
{
	const Occasion *occasion = current_occasion();

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "before_statement")));
	if ((occasion->kind == BY_HAND || occasion->kind == BY_VERB) && occasion->explanation == NULL)
		require_open();
	return PointerGetDatum(NULL);
}
