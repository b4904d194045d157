/*
 * outbox/wal_end.h
 *		Where the WAL ends: all that queries see committed stands before it.
 */
#ifndef ESGF_STAC_OUTBOX_WAL_END_H
#define ESGF_STAC_OUTBOX_WAL_END_H

#include "access/xlogdefs.h"

extern XLogRecPtr wal_end(void);

#endif							/* ESGF_STAC_OUTBOX_WAL_END_H */
