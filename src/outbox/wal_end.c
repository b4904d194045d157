/*
 * outbox/wal_end.c
 *		Where the WAL ends: see outbox/wal_end.h.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "fmgr.h"
#include "utils/pg_lsn.h"

#include "base/compat.h"
#include "outbox/wal_end.h"

PG_FUNCTION_INFO_V1(esgf_wal_end);

/*
 * The end of the last record, be it flushed or not; none on a standby. At the
 * beginning of a page the next record is after its header, and the last before.
 */
XLogRecPtr
wal_end(void)
{
	XLogRecPtr	end;
	uint32		offset;

	if (RecoveryInProgress())
		return InvalidXLogRecPtr;
	end = GetXLogInsertRecPtr();
	offset = XLogSegmentOffset(end, wal_segment_size);
	if (offset == SizeOfXLogLongPHD)
		end -= SizeOfXLogLongPHD;
	else if (offset % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= SizeOfXLogShortPHD;
	return end;
}

/* wal_end() */
Datum
esgf_wal_end(PG_FUNCTION_ARGS)
{
	XLogRecPtr	end = wal_end();

	if (XLogRecPtrIsInvalid(end))
		PG_RETURN_NULL();
	PG_RETURN_LSN(end);
}
