/*
 * schema/explain.c
 *		Why a value is not as a schema asks: the rows of schema/judge.h, with
 *		sentences for people.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "json/key_table.h"
#include "schema/judge.h"
#include "schema/number.h"

/* A value is shown up to so many characters. */
#define SHOWN 200

/* So many values of an enum are named. */
#define NAMED 5

/* Longer strings the server does not compare. */
#define DISTANCE_MAX 255

/* In search of nearer strings no more than so many are compared for one document. */
#define COMPARISONS_MAX 1000000

/* Schemas that are looked at to tell which of several is meant. */
#define LOOKS_MAX 10000

typedef struct RowEntry
{
	uint64		hash;
	char		status;
} RowEntry;

#define SH_PREFIX row_table
#define SH_ELEMENT_TYPE RowEntry
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* ---- rows ---- */

/* Is there no such row yet? What else tells it from others goes into "salt". */
static bool
is_new_row(Judgement *judgement, const Spot *spot, const char *keyword, const char *detail, uint64 salt)
{
	uint64		hash = spot ? spot->hash : hash_seed();
	bool		found;

	hash = hash_bytes_extended((const unsigned char *) keyword, strlen(keyword), hash + salt);
	hash = hash_bytes_extended((const unsigned char *) detail, strlen(detail), hash);
	if (judgement->rows == NULL)
		judgement->rows = row_table_create(CurrentMemoryContext, 64, NULL);
	row_table_insert(judgement->rows, hash, &found);
	return !found;
}

/* Add a row, whose words are then no longer needed. */
static void
add_row(Judgement *judgement, const Spot *spot, const char *keyword, char *detail)
{
	Problem    *problem;
	char	   *pointer;

	if (judgement->problems->count >= PROBLEMS_MAX)
		judgement->problems->count += is_asked_for(judgement->problems, spot ? &spot->place : NULL);
	else if (is_asked_for(judgement->problems, spot ? &spot->place : NULL))
	{
		pointer = place_pointer(spot ? &spot->place : NULL);
		problem = add_pointed_problem(judgement->problems, pointer, detail);
		problem->keyword = keyword;
		pfree(pointer);
	}
	pfree(detail);
}

static void
explain(Judgement *judgement, const Spot *spot, const char *keyword, char *detail)
{
	if (is_new_row(judgement, spot, keyword, detail, 0))
		add_row(judgement, spot, keyword, detail);
	else
		pfree(detail);
}

/* A value as it is shown. */
static char *
shown(const JsonbSlice *value)
{
	StringInfoData text;
	char	   *plain;
	int			len;

	switch (value->type)
	{
		case JENTRY_ISNULL:
			return pstrdup("null");
		case JENTRY_ISBOOL_TRUE:
			return pstrdup("true");
		case JENTRY_ISBOOL_FALSE:
			return pstrdup("false");
		case JENTRY_ISNUMERIC:
			plain = DatumGetCString(DirectFunctionCall1(numeric_out, PointerGetDatum(value->data)));
			if (strlen(plain) > SHOWN)
				strcpy(plain + SHOWN, "...");
			return plain;
		case JENTRY_ISCONTAINER:
			return pstrdup(slice_is_object(value) ? "an object" : "an array");
		default:
			len = pg_mbcharcliplen(value->data, value->len, SHOWN);
			plain = pnstrdup(value->data, len);
			initStringInfo(&text);
			escape_json(&text, plain);
			if (len < (int) value->len)
				appendStringInfoString(&text, "...");
			pfree(plain);
			return text.data;
	}
}

static char *
shown_string(JsonKey string)
{
	JsonbSlice	value = {JENTRY_ISSTRING, string.len, string.data};

	return shown(&value);
}

/* ---- one keyword ---- */

/* A value has met false. */
void
explain_nothing(Judgement *judgement, const Spot *spot, const char *holder)
{
	if (holder == NULL)
		explain(judgement, spot, "false", pstrdup("can be nothing that this schema allows"));
	else if (strcmp(holder, "additionalProperties") == 0)
		explain(judgement, spot, holder, pstrdup("must not be here: the schema has no such member"));
	else
		explain(judgement, spot, holder, pstrdup("must not be here"));
}

static const char *
type_name(const JsonbSlice *value)
{
	switch (value->type)
	{
		case JENTRY_ISNULL:
			return "null";
		case JENTRY_ISBOOL_TRUE:
		case JENTRY_ISBOOL_FALSE:
			return "boolean";
		case JENTRY_ISSTRING:
			return "string";
		case JENTRY_ISNUMERIC:
			return is_whole(slice_numeric(value)) ? "integer" : "number";
		default:
			return slice_is_object(value) ? "object" : "array";
	}
}

void
explain_type(Judgement *judgement, const SchemaNode *node, const JsonbSlice *value, const Spot *spot)
{
	static const struct
	{
		uint8		type;
		const char *name;
	}			types[] = {
		{TYPE_NULL, "null"}, {TYPE_BOOLEAN, "boolean"}, {TYPE_NUMBER, "number"}, {TYPE_INTEGER, "integer"},
		{TYPE_STRING, "string"}, {TYPE_ARRAY, "array"}, {TYPE_OBJECT, "object"}
	};
	StringInfoData detail;
	bool		some = false;

	initStringInfo(&detail);
	for (int i = 0; i < (int) lengthof(types); i++)
	{
		/* A number may be an integer anyway. */
		if (!(node->types & types[i].type) || (types[i].type == TYPE_INTEGER && (node->types & TYPE_NUMBER)))
			continue;
		appendStringInfo(&detail, "%s%s", some ? " or " : "must be ", types[i].name);
		some = true;
	}
	appendStringInfo(&detail, ", not %s", type_name(value));
	explain(judgement, spot, "type", detail.data);
}

/* The string of an enum that is nearest to a value, if one is near; else NULL. */
static const JsonbSlice *
nearest(Judgement *judgement, const ValueSet *set, const JsonbSlice *value)
{
	const JsonbSlice *found = NULL;
	int			distance;

	if (!JBE_ISSTRING(value->type) || value->len > DISTANCE_MAX)
		return NULL;
	distance = Max(pg_mbstrlen_with_len(value->data, value->len) / 3, 1) + 1;
	for (uint32 i = 0; i < set->count && judgement->comparisons < COMPARISONS_MAX && distance > 1; i++)
	{
		const JsonbSlice *candidate = &set->values[i];
		int			here;

		CHECK_FOR_INTERRUPTS();
		if (!JBE_ISSTRING(candidate->type) || candidate->len > DISTANCE_MAX)
			continue;
		judgement->comparisons++;
		here = varstr_levenshtein_less_equal(value->data, value->len, candidate->data, candidate->len, 1, 1, 1, distance - 1, false);
		if (here < distance)
		{
			distance = here;
			found = candidate;
		}
	}
	return found;
}

void
explain_enum(Judgement *judgement, const SchemaNode *node, const JsonbSlice *value, const Spot *spot)
{
	const ValueSet *set = node->values;
	StringInfoData detail;
	char	   *words;

	initStringInfo(&detail);
	appendStringInfoString(&detail, "must be one of ");
	if (set->count > NAMED || set->count == 0)
		appendStringInfo(&detail, "%u values", set->count);
	for (uint32 i = 0; set->count <= NAMED && i < set->count; i++)
	{
		words = shown(&set->values[i]);
		appendStringInfo(&detail, "%s%s", i > 0 ? ", " : "", words);
		pfree(words);
	}
	words = shown(value);
	appendStringInfo(&detail, ", not %s", words);
	pfree(words);

	if (!is_new_row(judgement, spot, "enum", detail.data, (uint64) (uintptr_t) set))
	{
		pfree(detail.data);
		return;
	}
	if (judgement->problems->count < PROBLEMS_MAX)
	{
		const JsonbSlice *other = nearest(judgement, set, value);

		if (other)
			appendStringInfo(&detail, "; did you mean %s?", shown(other));
	}
	/* Two enums may say the same of a value. */
	if (!is_new_row(judgement, spot, "enum", detail.data, 1))
	{
		pfree(detail.data);
		return;
	}
	add_row(judgement, spot, "enum", detail.data);
}

void
explain_const(Judgement *judgement, const SchemaNode *node, const JsonbSlice *value, const Spot *spot)
{
	char	   *must = shown(node->constant);
	char	   *is = shown(value);

	explain(judgement, spot, "const", strcmp(must, is) == 0 ? psprintf("must be another value than %s", is) :
			psprintf("must be %s, not %s", must, is));
	pfree(must);
	pfree(is);
}

void
explain_number(Judgement *judgement, const char *keyword, const char *must, Numeric bound, const JsonbSlice *value, const Spot *spot)
{
	JsonbSlice	bound_slice = {JENTRY_ISNUMERIC, VARSIZE_ANY(bound), (const char *) bound};
	char	   *limit = shown(&bound_slice);
	char	   *is = shown(value);

	explain(judgement, spot, keyword, psprintf("must be %s %s, not %s", must, limit, is));
	pfree(limit);
	pfree(is);
}

void
explain_count(Judgement *judgement, const char *keyword, const char *must, uint32 bound, const char *of, uint32 count, const Spot *spot)
{
	explain(judgement, spot, keyword, psprintf("must have %s %u %s, not %u", must, bound, of, count));
}

void
explain_pattern(Judgement *judgement, const Pattern *pattern, const JsonbSlice *value, const Spot *spot)
{
	char	   *source = shown_string(pattern->source);
	char	   *is = shown(value);

	explain(judgement, spot, "pattern", psprintf("must match %s, not be %s", source, is));
	pfree(source);
	pfree(is);
}

void
explain_format(Judgement *judgement, const Format *format, const JsonbSlice *value, const Spot *spot)
{
	char	   *is = shown(value);

	explain(judgement, spot, "format", psprintf("must be of format %s, not %s", format->name, is));
	pfree(is);
}

void
explain_unique(Judgement *judgement, uint32 first, uint32 second, const Spot *spot)
{
	explain(judgement, spot, "uniqueItems", psprintf("must not have equal elements, as %u and %u are", first, second));
}

void
explain_contains(Judgement *judgement, const ArrayRules *rules, uint32 count, const Spot *spot)
{
	if (count > rules->max_contains)
		explain(judgement, spot, "maxContains", psprintf("must have at most %u elements as \"contains\" asks, not %u", rules->max_contains, count));
	else if (rules->contains_counted)
		explain(judgement, spot, "minContains", psprintf("must have at least %u elements as \"contains\" asks, not %u", rules->min_contains, count));
	else if (rules->contains->constant)
	{
		char	   *constant = shown(rules->contains->constant);

		explain(judgement, spot, "contains", psprintf("must have the element %s", constant));
		pfree(constant);
	}
	else
		explain(judgement, spot, "contains", pstrdup("must have an element as \"contains\" asks"));
}

/* A member is missing, perhaps because another is there. */
void
explain_missing(Judgement *judgement, const char *keyword, JsonKey missing, const JsonKey *because, const Spot *spot)
{
	Spot		here = spot_below(spot, &missing, 0);
	char	   *other = because ? shown_string(*because) : NULL;

	explain(judgement, &here, keyword, other ? psprintf("is missing, though %s is there", other) : pstrdup("is missing"));
	if (other)
		pfree(other);
}

/* A member has a name that it must not have: the first reason why. */
void
explain_name(Judgement *judgement, SchemaNode *names, const JsonbSlice *key, const Spot *spot)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac name", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ProblemList problems = {0};
	Judgement	inner = {judgement->open, &problems};
	char	   *detail;

	inner.comparisons = judgement->comparisons;
	judge(&inner, names, key, NULL, "propertyNames");
	judgement->comparisons = inner.comparisons;
	MemoryContextSwitchTo(old);
	detail = psprintf("must not have this name, which %s", ((Problem *) linitial(problems.shown))->detail);
	MemoryContextDelete(context);
	explain(judgement, spot, "propertyNames", detail);
}

void
explain_not(Judgement *judgement, const Spot *spot)
{
	explain(judgement, spot, "not", pstrdup("must not be as \"not\" says"));
}

/* ---- which of several schemas is meant ---- */

/* Does a schema, with what it refers to, name types of which the value is none? */
static bool
excludes_type(const SchemaNode *node, const JsonbSlice *value, int *looks)
{
	if (node->nothing || !has_type(value, node->types))
		return true;
	if (++*looks > LOOKS_MAX)
		return false;
	if (node->reference && excludes_type(node->reference, value, looks))
		return true;
	for (uint32 i = 0; node->combination && i < node->combination->all.count; i++)
		if (excludes_type(node->combination->all.nodes[i], value, looks))
			return true;
	return false;
}

/* The schema itself, or the one to which a reference leads that says which values there are. */
static const SchemaNode *
listing_node(const SchemaNode *node)
{
	for (int i = 0; i < LOOKS_MAX && node && !node->constant && !node->values; i++)
		node = node->reference;
	return node;
}

/* How many members have one of the values that a schema lists for them? */
static uint32
count_listed(const SchemaNode *node, const JsonbContainer *object, int *looks)
{
	uint32		count = 0;
	uint32		size = JsonContainerSize(object);

	for (uint32 i = 0; node->object && i < node->object->member_count; i++)
	{
		const MemberRule *rule = &node->object->members[i];
		const SchemaNode *listing = listing_node(rule->node);
		JsonbSlice	value;
		uint32		place;

		CHECK_FOR_INTERRUPTS();
		if (listing == NULL || !find_key(object, 0, size, rule->key.data, rule->key.len, &place))
			continue;
		container_child(object, size + place, &value);
		count += is_constant_or_listed(listing, &value);
	}
	if (++*looks > LOOKS_MAX)
		return count;
	if (node->reference)
		count += count_listed(node->reference, object, looks);
	for (uint32 i = 0; node->combination && i < node->combination->all.count; i++)
		count += count_listed(node->combination->all.nodes[i], object, looks);
	return count;
}

/* The one schema of a list that is probably meant; NULL where none leads alone. */
static SchemaNode *
leading(const NodeList *list, const JsonbSlice *value)
{
	SchemaNode *leader = NULL;
	uint32		most = 0;
	bool		alone = false;
	int			looks = 0;

	for (uint32 i = 0; i < list->count; i++)
	{
		SchemaNode *node = list->nodes[i];
		uint32		count;

		CHECK_FOR_INTERRUPTS();
		if (excludes_type(node, value, &looks))
			continue;
		count = slice_is_object(value) ? count_listed(node, slice_container(value), &looks) : 0;
		if (leader == NULL || count > most)
		{
			leader = node;
			most = count;
			alone = true;
		}
		else if (count == most)
			alone = false;
	}
	return alone ? leader : NULL;
}

/* None of several schemas fits, or several do where one must. */
void
explain_choice(Judgement *judgement, const NodeList *list, uint32 fitting, const char *keyword, const JsonbSlice *value, const Spot *spot)
{
	SchemaNode *leader = fitting == 0 ? leading(list, value) : NULL;

	if (leader)
		judge(judgement, leader, value, spot, keyword);
	else if (fitting == 0)
		explain(judgement, spot, keyword, psprintf("must fit one of %u schemas, and fits none", list->count));
	else
		explain(judgement, spot, keyword, psprintf("must fit just one of %u schemas, and fits %u", list->count, fitting));
}
