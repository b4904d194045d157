/*
 * base/table_cache.h
 *		What a backend keeps of a table's rows, until they change.
 *
 * A cache is a static variable that names its table and says how it is filled.
 * Whoever uses it asks each time, and makes no use of an answer once he, or
 * what he calls, has asked again.
 */
#ifndef ESGF_STAC_BASE_TABLE_CACHE_H
#define ESGF_STAC_BASE_TABLE_CACHE_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "base/statement.h"

typedef struct TableCache
{
	const char *table;			/* in schema esgf_stac; NULL: forget_rows()
								 * alone tells of changes */
	void	   *(*fill) (void); /* makes what is to be kept, in the current
								 * memory context */

	/* The rest is table_cache.c's own. */
	bool		listening;
	Oid			relid;
	uint64		changes;		/* so many were heard of */
	uint64		as_of;			/* so many, when it was filled */
	void	   *kept;
	MemoryContext context;		/* of what is kept; NULL: never filled */
	struct TableCache *next;
} TableCache;

/* Adds a row to what is kept, and answers that. */
typedef void *(*RowKeeper) (void *kept, HeapTuple row, TupleDesc desc);

extern void *cached_rows(TableCache *cache);
extern void forget_rows(TableCache *cache);
extern void *keep_rows(Statement *statement, Datum *values, RowKeeper keep, void *kept);

#endif							/* ESGF_STAC_BASE_TABLE_CACHE_H */
