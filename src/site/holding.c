/*
 * site/holding.c
 *		What a data node has of an item: see site/holding.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "access/site.h"
#include "base/compat.h"
#include "change/holdings.h"
#include "change/pairs.h"
#include "site/holding.h"

const char *const holds_names[] = {"none", "part", "whole", "empty"};

PG_FUNCTION_INFO_V1(esgf_item_holding);
PG_FUNCTION_INFO_V1(esgf_item_bytes);

/* The file:size of an asset; 0 where it says none that is a number of bytes. */
static int64
file_size(const Asset *asset)
{
	JsonbValue	size;
	Datum		number;

	if (!document_get(asset->object, &size, JSON_PATH(JSON_KEY("file:size"))) || size.type != jbvNumeric)
		return 0;
	number = NumericGetDatum(size.val.numeric);
	if (!DatumGetBool(DirectFunctionCall2(numeric_gt, number, NumericGetDatum(int64_to_numeric(0)))) ||
		!DatumGetBool(DirectFunctionCall2(numeric_lt, number, NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
		return 0;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
}

/* Add a size to a sum, which stays at its greatest. */
static void
add_bytes(int64 *sum, int64 size)
{
	if (pg_add_s64_overflow(*sum, size, sum))
		*sum = PG_INT64_MAX;
}

/* Could the item do without a node, one of whose locations may be primary? */
static bool
could_go(const JsonbContainer *assets, JsonKey node, bool primary)
{
	Successors	successors;
	JsonKey		successor;

	if (!primary)
		return true;
	find_successors(assets, assets, &successors);
	return choose_successor(&successors, node, &successor);
}

/* Find out what a node has of an item. */
void
find_holding(const Jsonb *document, JsonKey node, Holding *holding)
{
	const JsonbContainer *assets = assets_of(document);
	MemberCursor walk = begin_assets(assets);
	uint32		files = 0;
	uint32		here = 0;
	bool		primary = false;
	int64		missing = 0;
	Asset		asset;
	Location	location;

	memset(holding, 0, sizeof(*holding));
	while (next_asset(&walk, &asset))
	{
		bool		located = find_location(&asset, node, &location);

		holding->located |= located;
		primary |= located && location.primary;
		if (!is_data_file(&asset))
			continue;
		files++;
		here += located;
		add_bytes(located ? &holding->bytes_here : &missing, file_size(&asset));
	}
	holding->holds = files == 0 ? HOLDS_EMPTY : here == files ? HOLDS_WHOLE : here > 0 ? HOLDS_PART : HOLDS_NONE;
	holding->bytes = here < files ? missing : holding->bytes_here;
	holding->can_go = holding->located && could_go(assets, node, primary);
}

/* Is an asset, before or after, a data file? */
static bool
is_file(const JsonbSlice *value, JsonKey key, Asset *asset)
{
	if (value == NULL || !slice_is_object(value))
		return false;
	*asset = (Asset) {key, slice_container(value)};
	return is_data_file(asset);
}

/* Are there other data files than before, or of other sizes? */
bool
files_altered(const Jsonb *old, const Jsonb *new)
{
	const JsonbContainer *before = assets_of(old);
	const JsonbContainer *after = assets_of(new);
	Pairs		pairs;
	Asset		was;
	Asset		is;

	begin_pairs(&pairs, before ? before : &empty_object, after ? after : &empty_object);
	while (next_difference(&pairs))
	{
		bool		was_file = is_file(pairs.old, pairs.key, &was);
		bool		is_now = is_file(pairs.new, pairs.key, &is);

		CHECK_FOR_INTERRUPTS();
		if (was_file != is_now || (is_now && file_size(&was) != file_size(&is)))
			return true;
	}
	return false;
}

/* Which other nodes of active sites have so many of the data files? By name. */
static List *
nodes_with(Holdings *holdings, JsonKey node, uint32 least, uint32 most)
{
	List	   *nodes = NIL;
	key_table_iterator iterator;
	KeyEntry   *entry;

	key_table_start_iterate(holdings->nodes, &iterator);
	while ((entry = key_table_iterate(holdings->nodes, &iterator)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (entry->count >= least && entry->count <= most && !keys_equal(entry->key, node) &&
			is_active_site(entry->key.data, entry->key.len))
			nodes = lappend(nodes, entry);
	}
	return nodes;
}

/* Order nodes by name, for list_sort. */
static int
compare_nodes(const ListCell *a, const ListCell *b)
{
	JsonKey		x = ((KeyEntry *) lfirst(a))->key;
	JsonKey		y = ((KeyEntry *) lfirst(b))->key;

	return compare_bytes(x.data, x.len, y.data, y.len);
}

/* From where a node could fetch: who has all data files, then who has some. */
static Datum
find_sources(const Jsonb *document, JsonKey node)
{
	const JsonbContainer *assets = assets_of(document);
	Holdings	holdings = count_holdings(assets, assets);
	List	   *nodes;
	List	   *parts;
	Datum	   *names;
	ListCell   *cell;

	if (holdings.data_files == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	nodes = nodes_with(&holdings, node, holdings.data_files, holdings.data_files);
	list_sort(nodes, compare_nodes);
	parts = nodes_with(&holdings, node, 1, holdings.data_files - 1);
	list_sort(parts, compare_nodes);
	nodes = nodes == NIL ? parts : nodes;
	names = palloc(sizeof(Datum) * Max(1, list_length(nodes)));
	foreach(cell, nodes)
	{
		JsonKey		name = ((KeyEntry *) lfirst(cell))->key;

		names[foreach_current_index(cell)] = PointerGetDatum(cstring_to_text_with_len(name.data, name.len));
	}
	return PointerGetDatum(construct_array(names, list_length(nodes), TEXTOID, -1, false, TYPALIGN_INT));
}

/* item_holding(document, node) -> (holds, located, can_go, bytes, bytes_here, sources) */
Datum
esgf_item_holding(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = PG_GETARG_JSONB_P(0);
	text	   *node = PG_GETARG_TEXT_PP(1);
	JsonKey		key = {VARDATA_ANY(node), VARSIZE_ANY_EXHDR(node)};
	Holding		holding;
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	find_holding(document, key, &holding);
	values[0] = CStringGetTextDatum(holds_names[holding.holds]);
	values[1] = BoolGetDatum(holding.located);
	values[2] = BoolGetDatum(holding.can_go);
	values[3] = Int64GetDatum(holding.bytes);
	values[4] = Int64GetDatum(holding.bytes_here);
	values[5] = find_sources(document, key);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* item_bytes(document): of all data files. */
Datum
esgf_item_bytes(PG_FUNCTION_ARGS)
{
	MemberCursor walk = begin_assets(assets_of(PG_GETARG_JSONB_P(0)));
	int64		bytes = 0;
	Asset		asset;

	while (next_asset(&walk, &asset))
		if (is_data_file(&asset))
			add_bytes(&bytes, file_size(&asset));
	PG_RETURN_INT64(bytes);
}
