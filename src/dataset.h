/*
 * dataset.h
 *		Datasets: the versions of one thing, of which at most one is latest.
 *
 * The row of a dataset is locked before an item of it may become or cease to
 * be latest. Superseding is what happens to the version that was latest.
 */
#ifndef ESGF_STAC_DATASET_H
#define ESGF_STAC_DATASET_H

#include "postgres.h"

#include "item_id.h"
#include "utils/jsonb.h"

extern bool lock_dataset(Datum collection_id, const ParsedId *id);
extern bool enter_dataset(Datum collection_id, const ParsedId *id, bool may_be_latest);
extern void forget_dataset_if_empty(Datum collection_id, const ParsedId *id);
extern bool has_newer_version(Datum collection_id, const ParsedId *id, bool or_same);
extern Jsonb *newest_other_version(Datum collection_id, Datum base_id, Datum id);
extern bool record_latest(Datum collection_id, Datum base_id, Datum id);
extern void forget_latest(Datum collection_id, Datum base_id, Datum id);
extern void end_older_latest(Datum collection_id, Datum base_id, Datum id);
extern bool superseding(void);
extern void supersede_pending(void);

#endif							/* ESGF_STAC_DATASET_H */
