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

/* The number of a name, which is given at its first use. */
static uint32
number_of(KeyTable *numbers, const char *name, bool *found)
{
	KeyEntry   *entry = enter_entry(numbers, (JsonKey) {name, strlen(name)}, found);

	if (!*found)
		entry->count = numbers->members - 1;
	return entry->count;
}

/* Keep a filter, once. */
static SiteFilter *
keep_filter(RuleSet *rules, Datum jsonpath)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(jsonpath_out, jsonpath));
	bool		found;
	int			number = number_of(rules->filter_numbers, text, &found);
	SiteFilter *filter;

	if (found)
		return list_nth(rules->filters, number);
	filter = palloc0(sizeof(SiteFilter));
	filter->path = (JsonPath *) PG_DETOAST_DATUM_COPY(jsonpath);
	filter->number = number;
	read_filter_form(text, &filter->form);
	rules->filters = lappend(rules->filters, filter);
	if (filter->form.guard)
	{
		filter->guard_number = number_of(rules->guard_numbers, filter->form.guard, &found);
		if (!found)
			rules->guards = lappend(rules->guards, filter->form.guard);
	}
	return filter;
}

/* Nothing is kept yet. */
static RuleSet *
make_rule_set(void)
{
	RuleSet    *rules = palloc0(sizeof(RuleSet));

	rules->filter_numbers = make_key_table();
	rules->guard_numbers = make_key_table();
	return rules;
}

/* Keep one rule: rules come site by site. */
static void *
keep_rule(void *kept, HeapTuple row, TupleDesc desc)
{
	RuleSet    *rules = kept ? kept : make_rule_set();
	SiteRule   *rule = palloc0(sizeof(SiteRule));
	char	   *node = SPI_getvalue(row, desc, 2);
	Datum		filter = optional_column(row, desc, 4);
	Datum		valid_to = optional_column(row, desc, 6);
	RuledSite  *site = rules->sites == NIL ? NULL : llast(rules->sites);

	if (site == NULL || strcmp(site->node, node) != 0)
	{
		site = palloc0(sizeof(RuledSite));
		site->node = node;
		rules->sites = lappend(rules->sites, site);
	}
	rule->id = DatumGetInt64(optional_column(row, desc, 1));
	rule->collections = strings_of(optional_column(row, desc, 3));
	if (filter != (Datum) 0)
		rule->filter = keep_filter(rules, filter);
	rule->valid_from = DatumGetTimestampTz(optional_column(row, desc, 5));
	rule->valid_to = valid_to == (Datum) 0 ? DT_NOEND : DatumGetTimestampTz(valid_to);
	site->rules = lappend(site->rules, rule);
	return rules;
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

	return keep_rows(&statement, NULL, keep_rule, NULL);
}

static TableCache rule_cache = {"replication_rule", read_rules};

/* The rules that sites have, or had; NULL: there is nothing to keep. */
RuleSet *
replication_rules(void)
{
	return cached_rows(&rule_cache);
}

/* A site with rules; NULL: that has none. */
RuledSite *
find_ruled_site(const RuleSet *rules, const char *node)
{
	ListCell   *cell;

	if (rules == NULL)
		return NULL;
	foreach(cell, rules->sites)
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

/* Begin to judge a document. */
void
begin_judging(JudgedDocument *judged, const RuleSet *rules, Jsonb *document)
{
	static const JsonKey name = JSON_KEY("properties");
	const JsonbContainer *properties = document_object(&document->root, 1, &name);
	ListCell   *cell;

	judged->document = document;
	if (rules == NULL)
		return;
	judged->verdicts = palloc0(list_length(rules->filters));
	judged->guards = palloc0(sizeof(JsonbSlice) * list_length(rules->guards));
	foreach(cell, rules->guards)
	{
		JsonKey		key = {lfirst(cell), strlen(lfirst(cell))};
		JsonbSlice	value;

		if (properties && document_slice(properties, &value, 1, &key))
			judged->guards[foreach_current_index(cell)] = value;
	}
}

/* Does the guard of a filter tell already that a document does not satisfy it? An array is looked into by the filter alone. */
static bool
is_kept_out(const SiteFilter *filter, const JudgedDocument *judged)
{
	const JsonbSlice *value;
	ListCell   *cell;

	if (filter->form.guard == NULL)
		return false;
	value = &judged->guards[filter->guard_number];
	if (value->data == NULL)
		return true;
	if (value->type != JENTRY_ISSTRING)
		return false;
	foreach(cell, filter->form.guard_values)
		if (slice_is_string(value, lfirst(cell)))
		return false;
	return true;
}

/* Does a document of a rule's collections satisfy its filter? */
bool
matches(const SiteRule *rule, JudgedDocument *judged)
{
	enum
	{
		NOT_ASKED, NO, YES
	};
	SiteFilter *filter = rule->filter;
	char	   *verdict;

	if (filter == NULL)
		return true;
	verdict = &judged->verdicts[filter->number];
	if (*verdict == NOT_ASKED)
		*verdict = !is_kept_out(filter, judged) && satisfies(judged->document, filter->path) ? YES : NO;
	return *verdict == YES;
}
