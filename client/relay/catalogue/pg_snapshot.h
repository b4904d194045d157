/*
 * pg_snapshot.h
 *		Which transactions a snapshot shows, as the server's type pg_snapshot says
 *		it: all before xmin, none from xmax on, and of those between all that are
 *		not listed.
 */
#ifndef CATALOGUE_PG_SNAPSHOT_H
#define CATALOGUE_PG_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buffer.h"

/* Transactions, by their ids with epochs. */
typedef struct XidList
{
	uint64_t   *xids;
	size_t		count;
	size_t		room;
} XidList;

typedef struct PgSnapshot
{
	uint64_t	xmin;
	uint64_t	xmax;			/* 0: there is no snapshot */
	XidList		hidden;			/* in their order */
} PgSnapshot;

extern void xids_add(XidList *list, uint64_t xid);

extern bool pg_snapshot_read(PgSnapshot *snapshot, const char *text);
extern bool pg_snapshot_shows(const PgSnapshot *snapshot, uint64_t xid);
extern void pg_snapshot_add(PgSnapshot *snapshot, uint64_t xid);
extern void pg_snapshot_print(const PgSnapshot *snapshot, Buffer *text);

#endif							/* CATALOGUE_PG_SNAPSHOT_H */
