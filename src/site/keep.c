/*
 * site/keep.c
 *		Keeps the rows of site_item: see site/keep.h.
 *
 * Whoever writes the rows of an item has its lock: the change that is made, or a
 * job that applies a rule. So they are read and written as they are committed
 * now, whatever the snapshot of the transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/statement.h"
#include "change/compare.h"
#include "change/pairs.h"
#include "json/key_table.h"
#include "site/holding.h"
#include "site/keep.h"
#include "site/rule.h"

static const char *const standing_names[] = {"latest", "superseded", "retracted"};

/* A row of site_item: what an item is to a site. */
typedef struct SiteItem
{
	char	   *node;
	const char *standing;
	const char *holds;
	bool		can_go;			/* not told of the latest, which stays */
	int64		bytes;
	int64	   *rules;			/* that match, in the order of their ids */
	int			rule_count;
} SiteItem;

/* What a change may have altered. */
typedef struct Alteration
{
	bool		everything;		/* the item was not there */
	bool		standing;
	bool		files;
	List	   *locations;		/* of LocationChange */
	KeyTable   *properties;
} Alteration;

PG_FUNCTION_INFO_V1(esgf_refresh_site_item);

/* Take a row apart. */
static SiteItem *
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
static List *
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

/* Write a row. */
static void
write_site_item(Datum collection_id, Datum item_id, const SiteItem *item)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.site_item AS s (collection_id, item_id, node, standing, holds, can_go, bytes, rules)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
		" ON CONFLICT ON CONSTRAINT site_item_pkey DO UPDATE SET standing = excluded.standing, holds = excluded.holds,"
		" can_go = excluded.can_go, bytes = excluded.bytes, rules = excluded.rules",
		8, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, INT8OID, INT8ARRAYOID}
	};
	Datum	   *ids = palloc(sizeof(Datum) * item->rule_count);
	Datum		values[8] = {collection_id, item_id};

	for (int i = 0; i < item->rule_count; i++)
		ids[i] = Int64GetDatum(item->rules[i]);
	values[2] = CStringGetTextDatum(item->node);
	values[3] = CStringGetTextDatum(item->standing);
	values[4] = CStringGetTextDatum(item->holds);
	values[5] = BoolGetDatum(item->can_go);
	values[6] = Int64GetDatum(item->bytes);
	values[7] = PointerGetDatum(construct_array(ids, item->rule_count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	write_latest_as_owner(&statement, values, NULL);
}

/* Delete the row of a node; NULL: of all. */
static void
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

/* Does a row say that a rule matches? */
static bool
has_rule(const SiteItem *item, int64 id)
{
	for (int i = 0; item && i < item->rule_count; i++)
		if (item->rules[i] == id)
			return true;
	return false;
}

/* The row of a node, or NULL. */
static SiteItem *
row_of(List *rows, const char *node)
{
	ListCell   *cell;

	foreach(cell, rows)
		if (strcmp(((SiteItem *) lfirst(cell))->node, node) == 0)
		return lfirst(cell);
	return NULL;
}

/* Does a row say the same as another? */
static bool
same_site_item(const SiteItem *a, const SiteItem *b)
{
	return strcmp(a->standing, b->standing) == 0 && strcmp(a->holds, b->holds) == 0 && a->can_go == b->can_go &&
		a->bytes == b->bytes && a->rule_count == b->rule_count &&
		memcmp(a->rules, b->rules, sizeof(int64) * a->rule_count) == 0;
}

/* The names of the properties that differ. */
static KeyTable *
altered_properties(const Jsonb *old, const Jsonb *new)
{
	static const JsonKey name = JSON_KEY("properties");
	const JsonbContainer *before = document_object(&old->root, 1, &name);
	const JsonbContainer *after = document_object(&new->root, 1, &name);
	KeyTable   *names = make_key_table();
	Pairs		pairs;
	bool		found;

	begin_pairs(&pairs, before ? before : &empty_object, after ? after : &empty_object);
	while (next_difference(&pairs))
		enter_entry(names, pairs.key, &found);
	return names;
}

/* What may a change have altered? */
static Alteration
describe_alteration(const SitedChange *change)
{
	Alteration	alteration = {.everything = change->old == NULL};

	if (alteration.everything)
		return alteration;
	alteration.standing = change->old_standing != change->new_standing;
	alteration.files = files_altered(change->old, change->new);
	alteration.locations = change->locations;
	alteration.properties = altered_properties(change->old, change->new);
	return alteration;
}

/* May it have altered whether a rule matches? */
static bool
may_alter(const Alteration *alteration, const SiteRule *rule)
{
	ListCell   *cell;

	if (alteration->everything)
		return true;
	if (rule->filter == NULL)
		return false;
	if (!rule->form.properties_only)
		return true;
	foreach(cell, rule->form.properties)
		if (find_entry(alteration->properties, (JsonKey) {lfirst(cell), strlen(lfirst(cell))}))
		return true;
	return false;
}

/* May it have altered what a node has, or whether that could go, which is asked of what is not the latest? */
static bool
may_alter_holding(const Alteration *alteration, const char *node, Standing standing)
{
	ListCell   *cell;

	if (alteration->everything || alteration->standing || alteration->files)
		return true;
	if (standing != STANDS_LATEST)
		return alteration->locations != NIL;
	foreach(cell, alteration->locations)
		if (keys_equal(((LocationChange *) lfirst(cell))->location.node, (JsonKey) {node, strlen(node)}))
		return true;
	return false;
}

/* May it have altered anything of what an item is to a site? */
static bool
may_alter_site(const Alteration *alteration, const RuledSite *site, Standing standing)
{
	ListCell   *cell;

	if (may_alter_holding(alteration, site->node, standing))
		return true;
	foreach(cell, site->rules)
		if (may_alter(alteration, lfirst(cell)))
		return true;
	return false;
}

/* Which rules of a site match? What cannot be altered is as its row says; without an alteration all are judged. */
static void
find_matches(SiteItem *item, const SitedChange *change, const RuledSite *site, const Alteration *alteration, const SiteItem *row)
{
	const char *collection_id = TextDatumGetCString(change->collection_id);
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *cell;

	item->rules = palloc(sizeof(int64) * Max(1, list_length(site->rules)));
	item->rule_count = 0;
	foreach(cell, site->rules)
	{
		SiteRule   *rule = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (concerns(rule, collection_id, now) &&
			(alteration == NULL || may_alter(alteration, rule) ? matches(rule, change->new) : has_rule(row, rule->id)))
			item->rules[item->rule_count++] = rule->id;
	}
}

/* Find out what an item is to a site; false: nothing, as no rule matches. */
static bool
find_site_item(SiteItem *item, const SitedChange *change, const RuledSite *site, const Alteration *alteration, const SiteItem *row)
{
	Holding		holding;

	item->node = site->node;
	find_matches(item, change, site, alteration, row);
	if (item->rule_count == 0)
		return false;
	find_holding(change->new, (JsonKey) {site->node, strlen(site->node)}, &holding);
	item->standing = standing_names[change->new_standing];
	item->holds = holds_names[holding.holds];
	item->can_go = holding.can_go && change->new_standing != STANDS_LATEST;
	item->bytes = holding.bytes;
	return true;
}

/* Keep the row of one site. */
static void
keep_site_item(const SitedChange *change, const RuledSite *site, const Alteration *alteration, const SiteItem *row)
{
	SiteItem	item;

	if (!find_site_item(&item, change, site, alteration, row))
	{
		if (row)
			delete_site_items(change->collection_id, change->item_id, site->node);
	}
	else if (row == NULL || !same_site_item(&item, row))
		write_site_item(change->collection_id, change->item_id, &item);
}

/* Keep the rows of an item that has changed. */
void
keep_site_items(const SitedChange *change)
{
	List	   *sites = NIL;
	List	   *rows = NIL;
	Alteration	alteration;
	ListCell   *cell;

	if (ruled_sites() == NIL || (change->old == NULL && change->new == NULL))
		return;
	if (change->new)
	{
		alteration = describe_alteration(change);
		foreach(cell, ruled_sites())
			if (may_alter_site(&alteration, lfirst(cell), change->new_standing))
			sites = lappend(sites, lfirst(cell));
		if (sites == NIL)
			return;
	}
	SPI_connect();
	if (change->new == NULL)
		delete_site_items(change->collection_id, change->item_id, NULL);
	else if (!alteration.everything)
		rows = read_site_items(change->collection_id, change->item_id);
	foreach(cell, sites)
	{
		RuledSite  *site = lfirst(cell);

		keep_site_item(change, site, &alteration, row_of(rows, site->node));
	}
	SPI_finish();
}

/* Lock an item for a job; false: it is in somebody's hand. A NULL document: it is not there. */
static bool
lock_sited_item(SitedChange *item)
{
	static Statement lock = {
		"SELECT CASE WHEN NOT deleted THEN document END, latest, retracted FROM esgf_stac.item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE SKIP LOCKED",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[] = {item->collection_id, item->item_id};
	bool		isnull;
	Datum		document;

	if (run_statement_as_owner(&lock, values, NULL) == 0)
		return false;
	document = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	item->new = isnull ? NULL : DatumGetJsonbP(document);
	item->new_standing = standing_of(DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)),
									 DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull)));
	return true;
}

/* Is the row of a site as it should be? Asked without a lock, of one snapshot. */
static bool
is_kept(SitedChange *item, const RuledSite *site)
{
	static Statement look = {
		"SELECT s.node, s.standing, s.holds, s.can_go, s.bytes, s.rules, i.document, i.latest, i.retracted, s.node IS NULL"
		" FROM esgf_stac.item i LEFT JOIN esgf_stac.site_item s ON s.collection_id OPERATOR(pg_catalog.=) i.collection_id"
		" AND s.item_id OPERATOR(pg_catalog.=) i.id AND s.node OPERATOR(pg_catalog.=) $3"
		" WHERE i.collection_id OPERATOR(pg_catalog.=) $1 AND i.id OPERATOR(pg_catalog.=) $2 AND NOT i.deleted",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[] = {item->collection_id, item->item_id, CStringGetTextDatum(site->node)};
	SiteItem	wanted;
	SiteItem   *row;
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;

	if (run_statement_as_owner(&look, values, NULL) == 0)
		return false;
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	row = DatumGetBool(SPI_getbinval(tuple, desc, 10, &isnull)) ? NULL : site_item_of(tuple, desc);
	item->new = DatumGetJsonbP(SPI_getbinval(tuple, desc, 7, &isnull));
	item->new_standing = standing_of(DatumGetBool(SPI_getbinval(tuple, desc, 8, &isnull)), DatumGetBool(SPI_getbinval(tuple, desc, 9, &isnull)));
	if (find_site_item(&wanted, item, site, NULL, row))
		return row && same_site_item(&wanted, row);
	return row == NULL;
}

/* Judge an item anew by the rules of a site; false: it is in somebody's hand. */
static bool
refresh_site_item(SitedChange *item, const char *node)
{
	RuledSite	nobody = {(char *) node, NIL};
	RuledSite  *site = find_ruled_site(node);

	if (site == NULL)
		site = &nobody;
	if (is_kept(item, site))
		return true;
	if (!lock_sited_item(item))
		return false;
	if (item->new)
		keep_site_item(item, site, NULL, row_of(read_site_items(item->collection_id, item->item_id), node));
	else
		delete_site_items(item->collection_id, item->item_id, node);
	return true;
}

/* refresh_site_item(node, collection_id, item_id): for a job that applies a rule. */
Datum
esgf_refresh_site_item(PG_FUNCTION_ARGS)
{
	SitedChange item = {.collection_id = PG_GETARG_DATUM(1),.item_id = PG_GETARG_DATUM(2)};
	bool		refreshed;

	SPI_connect();
	refreshed = refresh_site_item(&item, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	SPI_finish();
	PG_RETURN_BOOL(refreshed);
}
