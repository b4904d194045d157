/*
 * site/rule.c
 *		The rules of replication as each backend keeps them: see site/rule.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/table_cache.h"
#include "json/edit.h"
#include "outbox/stream.h"
#include "site/rule.h"

/* A column that is null where there is nothing. */
static Datum
optional_column(HeapTuple row, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = SPI_getbinval(row, desc, number, &isnull);

	return isnull ? (Datum) 0 : value;
}

/* The elements of a text[] as strings; NIL for null. */
static List *
strings_of(Datum array)
{
	Datum	   *elements;
	int			count;
	List	   *list = NIL;

	if (array == (Datum) 0)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		list = lappend(list, TextDatumGetCString(elements[i]));
	return list;
}

/* Keep one rule: rules come site by site. */
static void *
keep_rule(void *kept, HeapTuple row, TupleDesc desc)
{
	List	   *sites = kept;
	SiteRule   *rule = palloc0(sizeof(SiteRule));
	char	   *node = SPI_getvalue(row, desc, 2);
	Datum		filter = optional_column(row, desc, 4);
	Datum		valid_to = optional_column(row, desc, 6);
	RuledSite  *site = sites == NIL ? NULL : llast(sites);

	if (site == NULL || strcmp(site->node, node) != 0)
	{
		site = palloc0(sizeof(RuledSite));
		site->node = node;
		sites = lappend(sites, site);
	}
	rule->id = DatumGetInt64(optional_column(row, desc, 1));
	rule->collections = strings_of(optional_column(row, desc, 3));
	if (filter != (Datum) 0)
	{
		rule->filter = (JsonPath *) PG_DETOAST_DATUM_COPY(filter);
		read_filter_form(DatumGetCString(DirectFunctionCall1(jsonpath_out, PointerGetDatum(rule->filter))), &rule->form);
	}
	rule->valid_from = DatumGetTimestampTz(optional_column(row, desc, 5));
	rule->valid_to = valid_to == (Datum) 0 ? DT_NOEND : DatumGetTimestampTz(valid_to);
	site->rules = lappend(site->rules, rule);
	return sites;
}

/*
 * Read the rules that are in force, or whose end some items have not heard of:
 * as long as there is one, somebody may have rows of site_item.
 */
static void *
read_rules(void)
{
	static Statement statement = {
		"SELECT id, node, collections, filter, valid_from, valid_to FROM esgf_stac.replication_rule"
		" WHERE valid_to IS NULL OR valid_to OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()"
		" OR applied IS NULL OR applied OPERATOR(pg_catalog.<) valid_to"
		" ORDER BY node COLLATE \"C\", id",
	};

	return keep_rows(&statement, NULL, keep_rule, NIL);
}

static TableCache rule_cache = {"replication_rule", read_rules};

/* The sites that have rules, or had some; NIL: there is nothing to keep. */
List *
ruled_sites(void)
{
	return cached_rows(&rule_cache);
}

/* A site with rules; NULL: that has none. */
RuledSite *
find_ruled_site(const char *node)
{
	List	   *sites = ruled_sites();
	ListCell   *cell;

	foreach(cell, sites)
		if (strcmp(((RuledSite *) lfirst(cell))->node, node) == 0)
		return lfirst(cell);
	return NULL;
}

/* Is a rule in force, and one of that collection? */
bool
concerns(const SiteRule *rule, const char *collection_id, TimestampTz now)
{
	ListCell   *cell;

	if (now < rule->valid_from || rule->valid_to <= now)
		return false;
	if (rule->collections == NIL)
		return true;
	foreach(cell, rule->collections)
		if (strcmp(lfirst(cell), collection_id) == 0)
		return true;
	return false;
}

/* Does the guard of a filter tell already that a document does not satisfy it? An array is looked into by the filter alone. */
static bool
is_kept_out(const FilterForm *form, const Jsonb *document)
{
	JsonKey		path[2] = {JSON_KEY("properties")};
	JsonbSlice	value;

	if (form->guard == NULL)
		return false;
	path[1] = (JsonKey) {form->guard, strlen(form->guard)};
	return !document_slice(&document->root, &value, 2, path) ||
		(value.type == JENTRY_ISSTRING && !slice_is_string(&value, form->guard_value));
}

/* Does a document of a rule's collections satisfy its filter? */
bool
matches(const SiteRule *rule, Jsonb *document)
{
	return rule->filter == NULL || (!is_kept_out(&rule->form, document) && satisfies(document, rule->filter));
}
