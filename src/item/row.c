/*
 * item/row.c
 *		Rows of the item table: see item/row.h.
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/typcache.h"

#include "change/same.h"
#include "item/row.h"
#include "json/edit.h"

/* Take a row apart. */
void
open_row(ItemRow *row, HeapTuple tuple, TupleDesc desc)
{
	row->desc = desc;
	row->values = palloc(sizeof(Datum) * desc->natts);
	row->nulls = palloc(sizeof(bool) * desc->natts);
	row->document = NULL;
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
}

/* The document of a row, decompressed once. */
Jsonb *
row_document(ItemRow *row)
{
	if (row->document == NULL)
		row->document = DatumGetJsonbP(column(row, ITEM_DOCUMENT));
	return row->document;
}

/*
 * Are two columns equal? One may be compressed, or stored out of line, and the
 * other not: bytes that are equal suffice, but are not what is asked.
 */
bool
same_column(const ItemRow *a, const ItemRow *b, ItemColumn number)
{
	Form_pg_attribute attribute = TupleDescAttr(a->desc, number - 1);
	TypeCacheEntry *type;

	if (a->nulls[number - 1] || b->nulls[number - 1])
		return a->nulls[number - 1] == b->nulls[number - 1];
	if (datumIsEqual(column(a, number), column(b, number), attribute->attbyval, attribute->attlen))
		return true;
	type = lookup_type_cache(attribute->atttypid, TYPECACHE_EQ_OPR_FINFO);
	return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, attribute->attcollation,
										  column(a, number), column(b, number)));
}

/* Are the documents of two rows equal? */
bool
same_document(ItemRow *a, ItemRow *b)
{
	return datumIsEqual(column(a, ITEM_DOCUMENT), column(b, ITEM_DOCUMENT), false, -1) ||
		documents_equal(row_document(a), row_document(b));
}

/* Is an item that was deleted back as it was? */
bool
is_restored(ItemRow *old, ItemRow *new)
{
	return old && is_set(old, ITEM_DELETED) && !is_set(new, ITEM_DELETED) &&
		is_set(old, ITEM_RETRACTED) == is_set(new, ITEM_RETRACTED) &&
		same_but_for_stamps_and_flags(row_document(old), row_document(new));
}
