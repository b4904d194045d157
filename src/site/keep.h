/*
 * site/keep.h
 *		Keeps site_item: of each site, the items that its rules match, and what of
 *		them concerns it. So much of it is written as a change may have altered.
 */
#ifndef ESGF_STAC_SITE_KEEP_H
#define ESGF_STAC_SITE_KEEP_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* How a version stands. */
typedef enum Standing
{
	STANDS_LATEST, STANDS_SUPERSEDED, STANDS_RETRACTED
} Standing;

/* An item that has changed; its document is NULL where it is not there, or deleted. */
typedef struct SitedChange
{
	Datum		collection_id;
	Datum		item_id;
	Jsonb	   *old;
	Jsonb	   *new;
	Standing	old_standing;
	Standing	new_standing;
	List	   *locations;		/* of LocationChange */
} SitedChange;

/* How does a version stand that is latest, or retracted? */
static inline Standing
standing_of(bool latest, bool retracted)
{
	return retracted ? STANDS_RETRACTED : latest ? STANDS_LATEST : STANDS_SUPERSEDED;
}

extern void keep_site_items(const SitedChange *change);

#endif							/* ESGF_STAC_SITE_KEEP_H */
