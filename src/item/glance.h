/*
 * item/glance.h
 *		A look at an item, or a dataset, by index alone, as this transaction sees
 *		it now: what most changes need to know of it, at a fraction of what a statement costs.
 */
#ifndef ESGF_STAC_ITEM_GLANCE_H
#define ESGF_STAC_ITEM_GLANCE_H

#include "utils/jsonb.h"

/* The row of a dataset. */
typedef struct DatasetRow
{
	text	   *latest_id;		/* or NULL */
	Jsonb	   *institution;	/* or NULL */
	int			institution_generation;
	bool		ours;			/* was it written by this transaction? Then
								 * nobody else enters it. */
} DatasetRow;

/* How many versions a dataset has; VERSIONS_MANY also where it cannot be told quickly. */
typedef enum VersionCount
{
	VERSIONS_NONE, VERSIONS_ONE, VERSIONS_MANY
} VersionCount;

extern bool find_dataset_row(Datum collection_id, Datum base_id, DatasetRow *row);
extern bool glance_at_item(Datum collection_id, Datum id, bool *exists);
extern VersionCount count_versions(Datum collection_id, Datum base_id, text **latest_id);

#endif							/* ESGF_STAC_ITEM_GLANCE_H */
