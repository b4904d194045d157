/*
 * site/keep.c
 *		Keeps the rows of site_item: see site/keep.h.
 *
 * Rows are as their item was before a change, or as a job will yet make them. So
 * what a change leaves as it was need not be looked up.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/statement.h"
#include "change/compare.h"
#include "change/pairs.h"
#include "json/key_table.h"
#include "site/holding.h"
#include "site/keep.h"
#include "site/rows.h"
#include "site/rule.h"

static const char *const standing_names[] = {"latest", "superseded", "retracted"};

/* What a change may have altered. */
typedef struct Alteration
{
	bool		standing;
	bool		files;
	List	   *locations;		/* of LocationChange */
	KeyTable   *properties;
} Alteration;

/* An item that is judged by rules: as it is and, of a change, as it was. */
typedef struct Judging
{
	const char *collection_id;
	TimestampTz now;
	Standing	standing;
	JudgedDocument new;
	JudgedDocument old;
	Alteration	alteration;
} Judging;

PG_FUNCTION_INFO_V1(esgf_refresh_site_item);

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
	return (Alteration)
	{
		.standing = change->old_standing != change->new_standing,
			.files = files_altered(change->old, change->new),
			.locations = change->locations,
			.properties = altered_properties(change->old, change->new)
	};
}

/* Begin to judge an item as it is. */
static Judging
judge_item(const SitedChange *item, const RuleSet *rules)
{
	Judging		judging = {TextDatumGetCString(item->collection_id), GetCurrentTimestamp(), item->new_standing};

	begin_judging(&judging.new, rules, item->new);
	return judging;
}

/* May a change have altered whether a rule matches? */
static bool
may_alter(const Alteration *alteration, const SiteRule *rule)
{
	ListCell   *cell;

	if (rule->filter == NULL)
		return false;
	if (!rule->filter->form.properties_only)
		return true;
	foreach(cell, rule->filter->form.properties)
		if (find_entry(alteration->properties, (JsonKey) {lfirst(cell), strlen(lfirst(cell))}))
		return true;
	return false;
}

/* Did a change alter which rules of a site match? */
static bool
matches_altered(Judging *judging, const RuledSite *site)
{
	ListCell   *cell;

	foreach(cell, site->rules)
	{
		SiteRule   *rule = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (concerns(rule, judging->collection_id, judging->now) && may_alter(&judging->alteration, rule) &&
			matches(rule, &judging->old) != matches(rule, &judging->new))
			return true;
	}
	return false;
}

/* May it have altered what a node has, or whether that could go, which is asked of what is not the latest? */
static bool
may_alter_holding(const Judging *judging, const char *node)
{
	const Alteration *alteration = &judging->alteration;
	ListCell   *cell;

	if (alteration->standing || alteration->files)
		return true;
	if (judging->standing != STANDS_LATEST)
		return alteration->locations != NIL;
	foreach(cell, alteration->locations)
		if (keys_equal(((LocationChange *) lfirst(cell))->location.node, (JsonKey) {node, strlen(node)}))
		return true;
	return false;
}

/* What an item is to a site; without a rule nothing, as none matches. */
static SiteItem *
find_site_item(Judging *judging, const RuledSite *site)
{
	SiteItem   *item = palloc0(sizeof(SiteItem));
	Holding		holding;
	ListCell   *cell;

	item->node = site->node;
	item->rules = palloc(sizeof(int64) * Max(1, list_length(site->rules)));
	foreach(cell, site->rules)
	{
		SiteRule   *rule = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (concerns(rule, judging->collection_id, judging->now) && matches(rule, &judging->new))
			item->rules[item->rule_count++] = rule->id;
	}
	if (item->rule_count == 0)
		return item;
	find_holding(judging->new.document, (JsonKey) {site->node, strlen(site->node)}, &holding);
	item->standing = standing_names[judging->standing];
	item->holds = holds_names[holding.holds];
	item->can_go = holding.can_go && judging->standing != STANDS_LATEST;
	item->bytes = holding.bytes;
	return item;
}

/* What an item that appears is to sites: as a list of SiteItem. */
static List *
find_site_items(const SitedChange *change, const RuleSet *rules)
{
	Judging		judging = judge_item(change, rules);
	List	   *items = NIL;
	ListCell   *cell;

	foreach(cell, rules->sites)
	{
		SiteItem   *item = find_site_item(&judging, lfirst(cell));

		if (item->rule_count > 0)
			items = lappend(items, item);
	}
	return items;
}

/* What an item is to those sites to which it may have become something else. */
static List *
find_altered_items(const SitedChange *change, const RuleSet *rules)
{
	Judging		judging = judge_item(change, rules);
	List	   *items = NIL;
	ListCell   *cell;

	begin_judging(&judging.old, rules, change->old);
	judging.alteration = describe_alteration(change);
	foreach(cell, rules->sites)
	{
		const RuledSite *site = lfirst(cell);
		bool		altered = matches_altered(&judging, site);
		SiteItem   *item;

		if (!altered && !may_alter_holding(&judging, site->node))
			continue;
		item = find_site_item(&judging, site);
		if (altered || item->rule_count > 0)
			items = lappend(items, item);
	}
	return items;
}

/* Keep the row of one site. */
static void
keep_site_item(const SitedChange *change, SiteItem *item, const SiteItem *row)
{
	if (item->rule_count == 0)
	{
		if (row)
			delete_site_items(change->collection_id, change->item_id, item->node);
	}
	else if (row == NULL)
		insert_site_items(change->collection_id, change->item_id, list_make1(item));
	else if (!same_site_item(item, row))
		update_site_item(change->collection_id, change->item_id, item);
}

/* Keep the rows of an item that was there, of some sites. */
static void
keep_altered_items(const SitedChange *change, List *items)
{
	List	   *rows;
	ListCell   *cell;

	if (items == NIL)
		return;
	SPI_connect();
	rows = read_site_items(change->collection_id, change->item_id);
	foreach(cell, items)
	{
		SiteItem   *item = lfirst(cell);

		keep_site_item(change, item, row_of(rows, item->node));
	}
	SPI_finish();
}

/* Forget an item that is gone. */
static void
forget_item(const SitedChange *change)
{
	SPI_connect();
	delete_site_items(change->collection_id, change->item_id, NULL);
	SPI_finish();
}

/* Keep the rows of an item that has changed. */
void
keep_site_items(const SitedChange *change)
{
	RuleSet    *rules = replication_rules();

	if (rules == NULL || (change->old == NULL && change->new == NULL))
		return;
	if (change->new == NULL)
		forget_item(change);
	else if (change->old == NULL)
		insert_site_items(change->collection_id, change->item_id, find_site_items(change, rules));
	else
		keep_altered_items(change, find_altered_items(change, rules));
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
is_kept(SitedChange *item, const RuleSet *rules, const RuledSite *site)
{
	static Statement look = {
		"SELECT s.node, s.standing, s.holds, s.can_go, s.bytes, s.rules, i.document, i.latest, i.retracted, s.node IS NULL"
		" FROM esgf_stac.item i LEFT JOIN esgf_stac.site_item s ON s.collection_id OPERATOR(pg_catalog.=) i.collection_id"
		" AND s.item_id OPERATOR(pg_catalog.=) i.id AND s.node OPERATOR(pg_catalog.=) $3"
		" WHERE i.collection_id OPERATOR(pg_catalog.=) $1 AND i.id OPERATOR(pg_catalog.=) $2 AND NOT i.deleted",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[] = {item->collection_id, item->item_id, CStringGetTextDatum(site->node)};
	Judging		judging;
	SiteItem   *wanted;
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
	judging = judge_item(item, rules);
	wanted = find_site_item(&judging, site);
	return wanted->rule_count == 0 ? row == NULL : row && same_site_item(wanted, row);
}

/* Judge an item anew by the rules of a site; false: it is in somebody's hand. */
static bool
refresh_site_item(SitedChange *item, const char *node)
{
	RuledSite	nobody = {(char *) node, NIL};
	RuleSet    *rules = replication_rules();
	RuledSite  *site = find_ruled_site(rules, node);
	Judging		judging;

	if (site == NULL)
		site = &nobody;
	if (is_kept(item, rules, site))
		return true;
	if (!lock_sited_item(item))
		return false;
	if (item->new == NULL)
		delete_site_items(item->collection_id, item->item_id, node);
	else
	{
		judging = judge_item(item, rules);
		keep_site_item(item, find_site_item(&judging, site), row_of(read_site_items(item->collection_id, item->item_id), node));
	}
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
