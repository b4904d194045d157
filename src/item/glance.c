/*
 * item/glance.c
 *		A look at an item, or a dataset, by index alone: see item/glance.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "item/glance.h"
#include "item/row.h"

/* Columns of the table dataset, in their order. */
typedef enum DatasetColumn
{
	DATASET_COLLECTION_ID = 1, DATASET_BASE_ID, DATASET_LATEST_ID, DATASET_INSTITUTION, DATASET_INSTITUTION_GENERATION
} DatasetColumn;

/* Columns by which we look, of the collection and of the dataset. */
#define KEY_COUNT 2

/* A scan of one of our tables by one of its indexes. */
typedef struct Glance
{
	Relation	table;
	SysScanDesc scan;
} Glance;

/* Can an index be read, by any snapshot, and is it of these columns first? */
static bool
is_usable(Oid index, Oid table, const ScanKeyData *keys)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		usable;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	usable = form->indisvalid && !form->indcheckxmin && form->indrelid == table &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL) && form->indnkeyatts >= KEY_COUNT;
	for (int i = 0; usable && i < KEY_COUNT; i++)
		usable = form->indkey.values[i] == keys[i].sk_attno;
	ReleaseSysCache(tuple);
	return usable;
}

/*
 * Begin to read what this transaction sees now; false where the index is not
 * there. Only once the table is locked does an index stay that was found, and
 * does a snapshot see what those did who were waited for.
 */
static bool
begin_glance(Glance *glance, const char *table, const char *index, ScanKey keys)
{
	Oid			schema = get_namespace_oid("esgf_stac", false);
	Oid			index_oid;

	glance->table = table_open(get_relname_relid(table, schema), AccessShareLock);
	index_oid = get_relname_relid(index, schema);
	if (!is_usable(index_oid, RelationGetRelid(glance->table), keys))
	{
		table_close(glance->table, NoLock);
		return false;
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	glance->scan = systable_beginscan(glance->table, index_oid, true, GetActiveSnapshot(), KEY_COUNT, keys);
	return true;
}

/* It is seen. */
static void
end_glance(Glance *glance)
{
	systable_endscan(glance->scan);
	table_close(glance->table, NoLock);
	PopActiveSnapshot();
}

/* A column that equals a text. */
static void
equals(ScanKey key, AttrNumber column, Oid collation, Datum value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid, collation, F_TEXTEQ, value);
}

/* Find the row of a dataset; false: there is none, or it cannot be told quickly. */
bool
find_dataset_row(Datum collection_id, Datum base_id, DatasetRow *row)
{
	ScanKeyData keys[KEY_COUNT];
	Glance		glance;
	HeapTuple	tuple;

	equals(&keys[0], DATASET_COLLECTION_ID, DEFAULT_COLLATION_OID, collection_id);
	equals(&keys[1], DATASET_BASE_ID, DEFAULT_COLLATION_OID, base_id);
	if (!begin_glance(&glance, "dataset", "dataset_pkey", keys))
		return false;
	tuple = systable_getnext(glance.scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc	desc = RelationGetDescr(glance.table);
		bool		isnull;
		Datum		value = heap_getattr(tuple, DATASET_LATEST_ID, desc, &isnull);

		row->latest_id = isnull ? NULL : DatumGetTextPCopy(value);
		value = heap_getattr(tuple, DATASET_INSTITUTION, desc, &isnull);
		row->institution = isnull ? NULL : DatumGetJsonbPCopy(value);
		value = heap_getattr(tuple, DATASET_INSTITUTION_GENERATION, desc, &isnull);
		row->institution_generation = isnull ? -1 : DatumGetInt32(value);
		row->ours = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	}
	end_glance(&glance);
	return HeapTupleIsValid(tuple);
}

/* How many versions has a dataset? Which is latest is told of one that is the only one. */
VersionCount
count_versions(Datum collection_id, Datum base_id, text **latest_id)
{
	ScanKeyData keys[KEY_COUNT];
	Glance		glance;
	HeapTuple	tuple;
	VersionCount count = VERSIONS_NONE;

	equals(&keys[0], ITEM_BASE_ID, DEFAULT_COLLATION_OID, base_id);
	equals(&keys[1], ITEM_COLLECTION_ID, C_COLLATION_OID, collection_id);
	if (!begin_glance(&glance, "item", "item_dataset", keys))
		return VERSIONS_MANY;
	*latest_id = NULL;
	while (count < VERSIONS_MANY && HeapTupleIsValid(tuple = systable_getnext(glance.scan)))
	{
		TupleDesc	desc = RelationGetDescr(glance.table);
		bool		isnull;

		count++;
		if (count == VERSIONS_ONE && DatumGetBool(heap_getattr(tuple, ITEM_LATEST, desc, &isnull)))
			*latest_id = DatumGetTextPCopy(heap_getattr(tuple, ITEM_ID, desc, &isnull));
	}
	end_glance(&glance);
	return count;
}

/* See whether an item is there, deleted or not; false: that cannot be told quickly. */
bool
glance_at_item(Datum collection_id, Datum id, bool *exists)
{
	ScanKeyData keys[KEY_COUNT];
	Glance		glance;

	equals(&keys[0], ITEM_COLLECTION_ID, DEFAULT_COLLATION_OID, collection_id);
	equals(&keys[1], ITEM_ID, DEFAULT_COLLATION_OID, id);
	if (!begin_glance(&glance, "item", "item_pkey", keys))
		return false;
	*exists = HeapTupleIsValid(systable_getnext(glance.scan));
	end_glance(&glance);
	return true;
}
