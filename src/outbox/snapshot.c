/*
 * outbox/snapshot.c
 *		Which transactions have ended, as far as the running query sees:
 *		changes() keeps it in its cursors.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "outbox/wal_end.h"
#include "outbox/xid.h"

PG_FUNCTION_INFO_V1(esgf_current_snapshot);
PG_FUNCTION_INFO_V1(esgf_next_transaction);

/* Order ids for qsort(). */
static int
compare_xids(const void *a, const void *b)
{
	uint64		left = U64FromFullTransactionId(*(const FullTransactionId *) a);
	uint64		right = U64FromFullTransactionId(*(const FullTransactionId *) b);

	return left < right ? -1 : left > right;
}

/*
 * Make durable that those have ended which have: the id of one of which a crash
 * leaves no trace, as of a refused change, is given again.
 */
static void
flush_ended(void)
{
	if (!RecoveryInProgress())
		XLogFlush(wal_end());
}

/*
 * current_snapshot(): pg_current_snapshot(), but that the caller's own
 * transaction runs in it, which may still write, and that it is whole on a
 * standby, too, whose snapshots keep all ids where others have those of
 * subtransactions.
 */
Datum
esgf_current_snapshot(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId own = GetTopTransactionIdIfAny();
	bool		standby = snapshot->takenDuringRecovery;
	uint32		count = standby ? (uint32) snapshot->subxcnt : snapshot->xcnt;
	TransactionId *running = standby ? snapshot->subxip : snapshot->xip;
	FullTransactionId *xids = palloc((count + 1) * sizeof(FullTransactionId));
	StringInfoData text;

	flush_ended();
	for (uint32 i = 0; i < count; i++)
		xids[i] = full_xid(running[i], next);
	if (TransactionIdIsValid(own) && TransactionIdPrecedes(own, snapshot->xmax))
		xids[count++] = full_xid(own, next);
	qsort(xids, count, sizeof(FullTransactionId), compare_xids);

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":",
					 U64FromFullTransactionId(full_xid(snapshot->xmin, next)),
					 U64FromFullTransactionId(full_xid(snapshot->xmax, next)));
	for (uint32 i = 0; i < count; i++)
		appendStringInfo(&text, "%s" UINT64_FORMAT, i > 0 ? "," : "", U64FromFullTransactionId(xids[i]));
	PG_RETURN_DATUM(DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text.data)));
}

/* next_transaction(): every transaction is older; NULL on a standby, which knows of each only later. */
Datum
esgf_next_transaction(PG_FUNCTION_ARGS)
{
	if (RecoveryInProgress())
		PG_RETURN_NULL();
	PG_RETURN_FULLTRANSACTIONID(ReadNextFullTransactionId());
}
