/*
 * verbs/lock.h
 *		Locks what requests concern, in one order: datasets before items, so that
 *		verbs never deadlock.
 */
#ifndef ESGF_STAC_VERBS_LOCK_H
#define ESGF_STAC_VERBS_LOCK_H

#include "nodes/pg_list.h"

#include "verbs/methods.h"

/* The item as it stands, locked. */
typedef struct CurrentItem
{
	bool		exists;
	bool		deleted;
	int64		version;
	TimestampTz updated;
	Datum		document;		/* as stored */
} CurrentItem;

extern void lock_requested_item(const ItemRequest *request, const CollectionSettings *settings, CurrentItem *current);
extern List *lock_items_of_requests(List *requests);
extern void forget_empty_datasets(List *requests);

#endif							/* ESGF_STAC_VERBS_LOCK_H */
