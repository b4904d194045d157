/*
 * item/dataset.h
 *		Datasets: the versions of one thing, of which at most one is latest.
 *
 * A candidate is a version that is active and unretracted. Only the newest
 * candidate may be latest; superseding is what happens to one that is latest
 * and no longer the newest. The row of a dataset is locked before an item of it
 * may become or cease to be latest.
 */
#ifndef ESGF_STAC_ITEM_DATASET_H
#define ESGF_STAC_ITEM_DATASET_H

#include "utils/jsonb.h"

#include "item/id.h"
#include "item/settings.h"

/* What a version says of its institution, where, and since which change of where. */
typedef struct Institution
{
	Jsonb	   *value;
	const char *path;
	int			generation;
} Institution;

/* A dataset that is locked, or made; what it is made with, its version to come makes true or corrects. */
typedef struct EnteredDataset
{
	Datum		collection_id;
	Datum		base_id;
	Datum		latest_id;		/* 0: none */
	Institution institution;	/* without a value: nobody has said it */
	bool		made;
} EnteredDataset;

extern bool lock_dataset(Datum collection_id, const ParsedId *id);
extern bool enter_dataset(Datum collection_id, const ParsedId *id, bool latest, const Institution *institution);
extern void enter_datasets(EnteredDataset *datasets, int count);
extern void forget_dataset_if_empty(Datum collection_id, const ParsedId *id);
extern bool may_be_latest(Datum collection_id, const ParsedId *id, bool keep_own);
extern bool same_institution(const Jsonb *a, const Jsonb *b, const CollectionSettings *settings);
extern Institution institution_of(const Jsonb *document, const CollectionSettings *settings);
extern void touch_dataset(Datum collection_id, Datum base_id, const Institution *institution, Datum latest_id);
extern void settle_datasets(void);

#endif							/* ESGF_STAC_ITEM_DATASET_H */
