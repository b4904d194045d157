/*
 * site/holding.h
 *		What a data node has of an item, and whether the item could do without it.
 */
#ifndef ESGF_STAC_SITE_HOLDING_H
#define ESGF_STAC_SITE_HOLDING_H

#include "json/edit.h"

/* How many of the data files a node has. */
typedef enum Holds
{
	HOLDS_NONE, HOLDS_PART, HOLDS_WHOLE, HOLDS_EMPTY	/* there are none */
} Holds;

typedef struct Holding
{
	Holds		holds;
	bool		located;		/* has it any location of the item? */
	bool		can_go;			/* and would remove_replica() take it? */
	int64		bytes;			/* of the data files that it lacks, or else
								 * has */
	int64		bytes_here;		/* of those that it has */
} Holding;

extern const char *const holds_names[];

extern void find_holding(const Jsonb *document, JsonKey node, Holding *holding);
extern bool files_altered(const Jsonb *old, const Jsonb *new);

#endif							/* ESGF_STAC_SITE_HOLDING_H */
