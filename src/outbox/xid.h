/*
 * outbox/xid.h
 *		Transaction ids with their epoch, as the outbox keeps them.
 */
#ifndef ESGF_STAC_OUTBOX_XID_H
#define ESGF_STAC_OUTBOX_XID_H

#include "access/transam.h"

/* The id of a transaction that is older than the next one, with its epoch. */
static inline FullTransactionId
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

#endif							/* ESGF_STAC_OUTBOX_XID_H */
