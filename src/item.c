/*
 * item.c
 *		Rows of the item table: see item.h.
 */
#include "postgres.h"

#include "utils/datum.h"

#include "item.h"

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

/* Are two columns the same, byte by byte? */
bool
same_column(const ItemRow *a, const ItemRow *b, ItemColumn number)
{
	Form_pg_attribute attribute = TupleDescAttr(a->desc, number - 1);

	if (a->nulls[number - 1] || b->nulls[number - 1])
		return a->nulls[number - 1] == b->nulls[number - 1];
	return datumIsEqual(column(a, number), column(b, number), attribute->attbyval, attribute->attlen);
}
