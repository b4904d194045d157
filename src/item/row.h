/*
 * item/row.h
 *		The item table, and its rows as its triggers see them.
 *
 * Whoever writes to the table, by a verb or by hand, passes its triggers:
 * BEFORE ROW (item/before.c) checks and completes its own row and touches no
 * other; AFTER ROW (item/after.c) judges the change and writes the event; AFTER
 * STATEMENT settles which version of a dataset is latest (item/dataset.c).
 */
#ifndef ESGF_STAC_ITEM_ROW_H
#define ESGF_STAC_ITEM_ROW_H

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "commands/trigger.h"
#include "utils/jsonb.h"

#include "change/compare.h"

/* Columns of the table, in their order. */
typedef enum ItemColumn
{
	ITEM_COLLECTION_ID = 1,
	ITEM_ID,
	ITEM_VERSION,
	ITEM_BASE_ID,
	ITEM_DATASET_VERSION,
	ITEM_LATEST,
	ITEM_RETRACTED,
	ITEM_DELETED,
	ITEM_NODES,
	ITEM_REASON,
	ITEM_DOCUMENT,
	ITEM_CREATED,
	ITEM_UPDATED,
	ITEM_CREATED_BY,
	ITEM_UPDATED_BY,
	ITEM_VALIDATED_AGAINST
} ItemColumn;

#define LAST_ITEM_COLUMN ITEM_VALIDATED_AGAINST

/* A row as its columns, and what they say. */
typedef struct ItemRow
{
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	Jsonb	   *document;		/* decompressed, when somebody asked */
} ItemRow;

/*
 * What BEFORE ROW knows of the one row that an occasion's statement writes, and
 * AFTER ROW would have to find out again.
 */
typedef struct HandedRow
{
	Jsonb	   *old;			/* NULL: of an insert */
	Jsonb	   *new;
	Change	   *difference;		/* of these, or NULL: they were not compared */
} HandedRow;

/* A column's value. */
static inline Datum
column(const ItemRow *row, ItemColumn number)
{
	return row->values[number - 1];
}

/* Set a column. */
static inline void
set_column(ItemRow *row, ItemColumn number, Datum value)
{
	row->values[number - 1] = value;
	row->nulls[number - 1] = false;
}

/* A column of type boolean; null is false. */
static inline bool
is_set(const ItemRow *row, ItemColumn number)
{
	return !row->nulls[number - 1] && DatumGetBool(row->values[number - 1]);
}

/* Does the statement of an update set a column? MERGE: does any of its actions? */
static inline bool
updates_column(const TriggerData *trigdata, ItemColumn number)
{
	return bms_is_member(number - FirstLowInvalidHeapAttributeNumber, trigdata->tg_updatedcols);
}

extern void open_row(ItemRow *row, HeapTuple tuple, TupleDesc desc);
extern Jsonb *row_document(ItemRow *row);
extern bool same_column(const ItemRow *a, const ItemRow *b, ItemColumn number);
extern bool same_document(ItemRow *a, ItemRow *b);
extern bool is_restored(ItemRow *old, ItemRow *new);

#endif							/* ESGF_STAC_ITEM_ROW_H */
