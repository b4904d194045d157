/*
 * site/rows.h
 *		The rows of site_item, as C reads and writes them.
 *
 * Whoever writes the rows of an item has its lock: the change that is made, or a
 * job that applies a rule. So they are read and written as they are committed
 * now, whatever the snapshot of the transaction.
 */
#ifndef ESGF_STAC_SITE_ROWS_H
#define ESGF_STAC_SITE_ROWS_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/pg_list.h"

/* A row of site_item: what an item is to a site. */
typedef struct SiteItem
{
	char	   *node;
	const char *standing;
	const char *holds;
	bool		can_go;			/* not told of the latest, which stays */
	int64		bytes;
	int64	   *rules;			/* that match, in the order of their ids */
	int			rule_count;
} SiteItem;

extern SiteItem *site_item_of(HeapTuple row, TupleDesc desc);
extern List *read_site_items(Datum collection_id, Datum item_id);
extern void insert_site_items(Datum collection_id, Datum item_id, List *items);
extern void update_site_item(Datum collection_id, Datum item_id, const SiteItem *item);
extern void delete_site_items(Datum collection_id, Datum item_id, const char *node);

#endif							/* ESGF_STAC_SITE_ROWS_H */
