/*
 * outbox/pending_commit.c
 *		Commits that logical decoding may have told of before queries see them:
 *		they stand in the WAL, and then wait, for a moment, or for a synchronous
 *		standby as long as that takes.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "outbox/xid.h"

PG_FUNCTION_INFO_V1(esgf_pending_commits);

/* The transactions that are pending, as they are found. */
typedef struct Pending
{
	FullTransactionId next;		/* every transaction that began is older */
	Datum	   *xids;
	int			count;
	int			room;
} Pending;

/*
 * Wait until no transaction is between its commit record and the commit log,
 * which would not tell of it: checkpoints wait in the same way.
 */
static void
wait_for_commit_log(void)
{
	int			count;
	VirtualTransactionId *committing = GetVirtualXIDsDelayingChkpt(&count, DELAY_CHKPT_START);

	while (count > 0 && HaveVirtualXIDsDelayingChkpt(committing, count, DELAY_CHKPT_START))
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000L);
	}
	pfree(committing);
}

/* Note a transaction that runs as far as queries see, if it has committed. */
static void
note_if_committed(Pending *pending, TransactionId xid)
{
	if (!TransactionIdDidCommit(xid))
		return;
	if (pending->count == pending->room)
	{
		pending->room *= 2;
		pending->xids = repalloc(pending->xids, pending->room * sizeof(Datum));
	}
	pending->xids[pending->count++] = FullTransactionIdGetDatum(full_xid(xid, pending->next));
}

/* pending_commits() */
Datum
esgf_pending_commits(PG_FUNCTION_ARGS)
{
	Pending		pending = {.room = 16};
	Snapshot	snapshot;

	wait_for_commit_log();
	snapshot = GetLatestSnapshot();
	pending.next = ReadNextFullTransactionId();
	pending.xids = palloc(pending.room * sizeof(Datum));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		note_if_committed(&pending, snapshot->xip[i]);

	/* A snapshot does not list what is younger than all that ended. */
	for (TransactionId xid = snapshot->xmax; xid != XidFromFullTransactionId(pending.next);)
	{
		CHECK_FOR_INTERRUPTS();
		note_if_committed(&pending, xid);
		TransactionIdAdvance(xid);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(pending.xids, pending.count, XID8OID,
										  sizeof(FullTransactionId), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
