/*
 * site/rows.c
 *		Reads and writes the rows of site_item: see site/rows.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/insertion.h"
#include "base/statement.h"
#include "site/rows.h"

/* Columns of the table, in their order. */
typedef enum SiteItemColumn
{
	SITE_ITEM_COLLECTION_ID = 1, SITE_ITEM_ITEM_ID, SITE_ITEM_NODE, SITE_ITEM_STANDING, SITE_ITEM_HOLDS,
	SITE_ITEM_CAN_GO, SITE_ITEM_BYTES, SITE_ITEM_RULES
} SiteItemColumn;

#define SITE_ITEM_COLUMNS SITE_ITEM_RULES

/* No row that we make fails its checks. */
static const MadeTable site_item = {
	"site_item", false, 2, SITE_ITEM_COLUMNS,
	{{TEXTOID, true}, {TEXTOID, true}, {TEXTOID, true}, {TEXTOID, true}, {TEXTOID, true}, {BOOLOID, true}, {INT8OID, true}, {INT8ARRAYOID, true}}
};

/* Take a row apart. */
SiteItem *
site_item_of(HeapTuple row, TupleDesc desc)
{
	SiteItem   *item = palloc0(sizeof(SiteItem));
	bool		isnull;
	Datum	   *ids;

	item->node = SPI_getvalue(row, desc, 1);
	item->standing = SPI_getvalue(row, desc, 2);
	item->holds = SPI_getvalue(row, desc, 3);
	item->can_go = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
	item->bytes = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
	deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(row, desc, 6, &isnull)), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &ids, NULL, &item->rule_count);
	item->rules = palloc(sizeof(int64) * Max(1, item->rule_count));
	for (int i = 0; i < item->rule_count; i++)
		item->rules[i] = DatumGetInt64(ids[i]);
	return item;
}

/* The rows of an item. */
List *
read_site_items(Datum collection_id, Datum item_id)
{
	static Statement statement = {
		"SELECT node, standing, holds, can_go, bytes, rules FROM esgf_stac.site_item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND item_id OPERATOR(pg_catalog.=) $2",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[] = {collection_id, item_id};
	int			count = read_latest_as_owner(&statement, values, NULL);
	List	   *rows = NIL;

	for (int i = 0; i < count; i++)
		rows = lappend(rows, site_item_of(SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
	return rows;
}

/* The columns of a row. */
static void
fill_columns(Datum *values, Datum collection_id, Datum item_id, const SiteItem *item)
{
	Datum	   *ids = palloc(sizeof(Datum) * item->rule_count);

	for (int i = 0; i < item->rule_count; i++)
		ids[i] = Int64GetDatum(item->rules[i]);
	values[SITE_ITEM_COLLECTION_ID - 1] = collection_id;
	values[SITE_ITEM_ITEM_ID - 1] = item_id;
	values[SITE_ITEM_NODE - 1] = CStringGetTextDatum(item->node);
	values[SITE_ITEM_STANDING - 1] = CStringGetTextDatum(item->standing);
	values[SITE_ITEM_HOLDS - 1] = CStringGetTextDatum(item->holds);
	values[SITE_ITEM_CAN_GO - 1] = BoolGetDatum(item->can_go);
	values[SITE_ITEM_BYTES - 1] = Int64GetDatum(item->bytes);
	values[SITE_ITEM_RULES - 1] = PointerGetDatum(construct_array(ids, item->rule_count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Insert a row by a statement. */
static void
insert_site_item(Datum collection_id, Datum item_id, const SiteItem *item)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.site_item (collection_id, item_id, node, standing, holds, can_go, bytes, rules)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		SITE_ITEM_COLUMNS, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, INT8OID, INT8ARRAYOID}
	};
	Datum		values[SITE_ITEM_COLUMNS];

	fill_columns(values, collection_id, item_id, item);
	write_latest_as_owner(&statement, values, NULL);
}

/* Insert rows that are not there. */
void
insert_site_items(Datum collection_id, Datum item_id, List *items)
{
	Insertion	insertion;
	ListCell   *cell;

	if (items == NIL)
		return;
	if (!begin_insertion(&insertion, &site_item))
	{
		SPI_connect();
		foreach(cell, items)
			insert_site_item(collection_id, item_id, lfirst(cell));
		SPI_finish();
		return;
	}
	foreach(cell, items)
	{
		memset(insertion.slot->tts_isnull, false, sizeof(bool) * SITE_ITEM_COLUMNS);
		fill_columns(insertion.slot->tts_values, collection_id, item_id, lfirst(cell));
		insert_row(&insertion);
	}
	end_insertion(&insertion);
}

/* Update a row that is there. */
void
update_site_item(Datum collection_id, Datum item_id, const SiteItem *item)
{
	static Statement statement = {
		"UPDATE esgf_stac.site_item SET standing = $4, holds = $5, can_go = $6, bytes = $7, rules = $8"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND item_id OPERATOR(pg_catalog.=) $2 AND node OPERATOR(pg_catalog.=) $3",
		SITE_ITEM_COLUMNS, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, INT8OID, INT8ARRAYOID}
	};
	Datum		values[SITE_ITEM_COLUMNS];

	fill_columns(values, collection_id, item_id, item);
	write_latest_as_owner(&statement, values, NULL);
}

/* Delete the row of a node; NULL: of all. */
void
delete_site_items(Datum collection_id, Datum item_id, const char *node)
{
	static Statement statement = {
		"DELETE FROM esgf_stac.site_item WHERE collection_id OPERATOR(pg_catalog.=) $1 AND item_id OPERATOR(pg_catalog.=) $2"
		" AND ($3 IS NULL OR node OPERATOR(pg_catalog.=) $3)",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[] = {collection_id, item_id, node ? CStringGetTextDatum(node) : (Datum) 0};

	write_latest_as_owner(&statement, values, node ? "   " : "  n");
}
