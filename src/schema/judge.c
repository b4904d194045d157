/*
 * schema/judge.c
 *		The verdict on a value: see schema/judge.h.
 *
 * Schemas to which references lead are remembered with their verdicts once there
 * is much to do: otherwise a schema whose references double at each step would
 * take as many steps as there are ways through it.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "json/key_table.h"
#include "schema/judge.h"
#include "schema/number.h"

/* From so many steps through references on, verdicts are remembered, */
#define STEPS_FORGOTTEN 10000

/* and so many at most. */
#define VERDICTS_MAX 1000000

/* So many elements are compared with one another. */
#define FEW_ELEMENTS 8

/* Of an object of more members each is looked for by itself. */
#define OPEN_MAX 64

/* The object that was opened last: often it is judged by several schemas in a row. */
struct OpenObject
{
	const JsonbContainer *object;
	JsonbSlice	keys[OPEN_MAX];
	JsonbSlice	values[OPEN_MAX];
};

/* A verdict, at one spot where problems were asked. */
typedef struct MemoryKey
{
	const SchemaNode *node;
	const char *data;
	uint32		len;
	JEntry		type;
	uint64		spot;			/* 0: wherever it stands, and only the verdict */
} MemoryKey;

typedef struct MemoryEntry
{
	MemoryKey	key;
	bool		verdict;
	char		status;
} MemoryEntry;

#define SH_PREFIX memory
#define SH_ELEMENT_TYPE MemoryEntry
#define SH_KEY_TYPE MemoryKey
#define SH_KEY key
#define SH_HASH_KEY(table, k) hash_bytes((const unsigned char *) &(k), sizeof(MemoryKey))
#define SH_EQUAL(table, a, b) (memcmp(&(a), &(b), sizeof(MemoryKey)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A check that failed ends a verdict, but not a list of problems. */
#define CHECK(check) \
	do { \
		if (!(check)) \
		{ \
			if (judgement->problems == NULL) \
				return false; \
			good = false; \
		} \
	} while (0)

/* A check that has a row of its own. */
#define CHECK_OR(check, explain) \
	do { \
		if (!(check)) \
		{ \
			if (judgement->problems == NULL) \
				return false; \
			good = false; \
			explain; \
		} \
	} while (0)

/* The spot of a member, or, where key is NULL, of an element. */
Spot
spot_below(const Spot *parent, const JsonKey *key, uint32 index)
{
	uint64		seed = parent ? parent->hash : hash_seed();
	Spot		spot = {{parent ? &parent->place : NULL, key ? key->data : NULL, key ? key->len : 0, index}};

	spot.hash = key ? hash_bytes_extended((const unsigned char *) key->data, key->len, seed + 1) :
		hash_bytes_uint32_extended(index, seed);
	return spot;
}

/* Is a value of one of these types? */
bool
has_type(const JsonbSlice *value, uint8 types)
{
	switch (value->type)
	{
		case JENTRY_ISNULL:
			return types & TYPE_NULL;
		case JENTRY_ISBOOL_TRUE:
		case JENTRY_ISBOOL_FALSE:
			return types & TYPE_BOOLEAN;
		case JENTRY_ISSTRING:
			return types & TYPE_STRING;
		case JENTRY_ISNUMERIC:
			return (types & TYPE_NUMBER) || ((types & TYPE_INTEGER) && is_whole(slice_numeric(value)));
		default:
			return types & (slice_is_object(value) ? TYPE_OBJECT : TYPE_ARRAY);
	}
}

/* Is a value what "const" and "enum" of a node ask? */
bool
is_constant_or_listed(const SchemaNode *node, const JsonbSlice *value)
{
	return (node->constant == NULL || slices_equal(node->constant, value)) &&
		(node->values == NULL || value_set_has(node->values, value));
}

/* Does a node allow a value? No row comes of it. */
bool
allows(Judgement *judgement, SchemaNode *node, const JsonbSlice *value)
{
	ProblemList *problems = judgement->problems;
	bool		good;

	judgement->problems = NULL;
	good = judge(judgement, node, value, NULL, NULL);
	judgement->problems = problems;
	return good;
}

/* ---- numbers and strings ---- */

static bool
judge_number(Judgement *judgement, const NumberRules *rules, const JsonbSlice *value, const Spot *spot)
{
	Numeric		number = slice_numeric(value);
	bool		good = true;

	if (rules->minimum)
		CHECK_OR(compare_numbers(number, rules->minimum) >= 0,
				 explain_number(judgement, "minimum", "at least", rules->minimum, value, spot));
	if (rules->maximum)
		CHECK_OR(compare_numbers(number, rules->maximum) <= 0,
				 explain_number(judgement, "maximum", "at most", rules->maximum, value, spot));
	if (rules->exclusive_minimum)
		CHECK_OR(compare_numbers(number, rules->exclusive_minimum) > 0,
				 explain_number(judgement, "exclusiveMinimum", "greater than", rules->exclusive_minimum, value, spot));
	if (rules->exclusive_maximum)
		CHECK_OR(compare_numbers(number, rules->exclusive_maximum) < 0,
				 explain_number(judgement, "exclusiveMaximum", "less than", rules->exclusive_maximum, value, spot));
	if (rules->multiple_of)
		CHECK_OR(is_multiple(number, rules->multiple_of),
				 explain_number(judgement, "multipleOf", "a multiple of", rules->multiple_of, value, spot));
	return good;
}

/* Code points of a string; bytes where the server's encoding is SQL_ASCII. */
static uint32
string_length(const JsonbSlice *string)
{
	uint32		count = 0;

	if (GetDatabaseEncoding() != PG_UTF8)
		return pg_mbstrlen_with_len(string->data, string->len);
	for (uint32 i = 0; i < string->len; i++)
		count += ((unsigned char) string->data[i] & 0xC0) != 0x80;
	return count;
}

/* Is a string as long as it must be? Its bytes say so most of the time. */
static bool
judge_length(Judgement *judgement, const StringRules *rules, const JsonbSlice *value, const Spot *spot)
{
	uint32		length;
	bool		good = true;

	if (value->len <= rules->max && value->len / MAX_MULTIBYTE_CHAR_LEN >= rules->min)
		return true;
	length = string_length(value);
	CHECK_OR(length >= rules->min,
			 explain_count(judgement, "minLength", "at least", rules->min, "characters", length, spot));
	CHECK_OR(length <= rules->max,
			 explain_count(judgement, "maxLength", "at most", rules->max, "characters", length, spot));
	return good;
}

static bool
judge_string(Judgement *judgement, const StringRules *rules, const JsonbSlice *value, const Spot *spot)
{
	bool		good = true;

	CHECK(judge_length(judgement, rules, value, spot));
	if (rules->pattern)
		CHECK_OR(pattern_found(rules->pattern, value), explain_pattern(judgement, rules->pattern, value, spot));
	if (rules->format)
		CHECK_OR(rules->format->has_form(value->data, value->len), explain_format(judgement, rules->format, value, spot));
	return good;
}

/* ---- arrays ---- */

static bool
judge_elements(Judgement *judgement, const ArrayRules *rules, const JsonbContainer *array, const Spot *spot)
{
	JsonbCursor elements;
	JsonbSlice	element;
	bool		good = true;

	cursor_init(&elements, array, 0);
	for (uint32 i = 0; elements_next(&elements, &element); i++)
	{
		bool		is_first = i < rules->first.count;
		SchemaNode *node = is_first ? rules->first.nodes[i] : rules->rest;
		Spot		here;

		if (node == NULL)
			break;
		if (judgement->problems)
			here = spot_below(spot, NULL, i);
		CHECK_FOR_INTERRUPTS();
		CHECK(judge(judgement, node, &element, &here, is_first ? rules->first_keyword : rules->rest_keyword));
	}
	return good;
}

static bool
judge_contains(Judgement *judgement, const ArrayRules *rules, const JsonbContainer *array, const Spot *spot)
{
	JsonbCursor elements;
	JsonbSlice	element;
	uint32		count = 0;
	bool		good = true;

	cursor_init(&elements, array, 0);
	while ((count < rules->min_contains || rules->max_contains < UNLIMITED) && elements_next(&elements, &element))
	{
		CHECK_FOR_INTERRUPTS();
		count += allows(judgement, rules->contains, &element);
	}
	CHECK_OR(count >= rules->min_contains && count <= rules->max_contains,
			 explain_contains(judgement, rules, count, spot));
	return good;
}

/* Look for two equal elements among few; its array does not belong on the stack of a descent. */
static pg_noinline bool
few_are_equal(const JsonbContainer *array, uint32 *first, uint32 *second)
{
	JsonbSlice	elements[FEW_ELEMENTS];
	JsonbCursor cursor;

	cursor_init(&cursor, array, 0);
	for (*second = 0; elements_next(&cursor, &elements[*second]); (*second)++)
		for (*first = 0; *first < *second; (*first)++)
			if (slices_equal(&elements[*first], &elements[*second]))
				return true;
	return false;
}

/* Look for the first element that is equal to one before it. */
static bool
some_are_equal(const JsonbContainer *array, uint32 *first, uint32 *second)
{
	uint32		count = JsonContainerSize(array);
	uint32		mask;
	uint64	   *hashes;
	uint32	   *slots;
	JsonbCursor elements;
	JsonbSlice	element;
	bool		found = false;

	if (count <= FEW_ELEMENTS)
		return few_are_equal(array, first, second);
	mask = pg_nextpower2_32(count * 2) - 1;
	hashes = palloc_extended(sizeof(uint64) * (Size) count, MCXT_ALLOC_HUGE);
	slots = palloc_extended(sizeof(uint32) * ((Size) mask + 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	cursor_init(&elements, array, 0);
	for (uint32 i = 0; !found && elements_next(&elements, &element); i++)
	{
		uint32		slot;

		CHECK_FOR_INTERRUPTS();
		hashes[i] = hash_slice(&element, hash_seed());
		for (slot = (uint32) hashes[i] & mask; slots[slot] != 0 && !found; slot = (slot + 1) & mask)
		{
			JsonbSlice	other;

			if (hashes[slots[slot] - 1] != hashes[i])
				continue;
			container_child(array, slots[slot] - 1, &other);
			found = slices_equal(&other, &element);
			*first = slots[slot] - 1;
			*second = i;
		}
		if (!found)
			slots[slot] = i + 1;
	}
	pfree(hashes);
	pfree(slots);
	return found;
}

static bool
judge_array(Judgement *judgement, const ArrayRules *rules, const JsonbContainer *array, const Spot *spot)
{
	uint32		count = JsonContainerSize(array);
	uint32		first;
	uint32		second;
	bool		good = true;

	CHECK_OR(count >= rules->min, explain_count(judgement, "minItems", "at least", rules->min, "elements", count, spot));
	CHECK_OR(count <= rules->max, explain_count(judgement, "maxItems", "at most", rules->max, "elements", count, spot));
	if (rules->first.count > 0 || rules->rest)
		CHECK(judge_elements(judgement, rules, array, spot));
	if (rules->contains)
		CHECK(judge_contains(judgement, rules, array, spot));
	if (rules->unique)
		CHECK_OR(!some_are_equal(array, &first, &second), explain_unique(judgement, first, second, spot));
	return good;
}

/* ---- objects ---- */

static bool
has_member(const JsonbContainer *object, JsonKey key)
{
	uint32		place;

	return find_key(object, 0, JsonContainerSize(object), key.data, key.len, &place);
}

/* A member that patterns and "additionalProperties" may ask something of. */
static bool
judge_unnamed(Judgement *judgement, const ObjectRules *rules, const MemberCursor *member, bool named, const Spot *here)
{
	bool		good = true;

	for (uint32 i = 0; i < rules->pattern_count; i++)
	{
		const PatternRule *rule = &rules->patterns[i];

		if ((named && rule->node->anything) || !pattern_found(rule->pattern, &member->key))
			continue;
		named = true;
		CHECK(judge(judgement, rule->node, &member->value, here, "patternProperties"));
	}
	if (!named && rules->additional)
		CHECK(judge(judgement, rules->additional, &member->value, here, "additionalProperties"));
	if (rules->names)
		CHECK_OR(allows(judgement, rules->names, &member->key), explain_name(judgement, rules->names, &member->key, here));
	return good;
}

/* Walk all members of an object beside those that are named, which stand in the same order. */
static bool
walk_members(Judgement *judgement, const ObjectRules *rules, const JsonbContainer *object, const Spot *spot)
{
	const MemberRule *rule = rules->members;
	uint32		left = rules->member_count;
	MemberCursor member;
	bool		good = true;

	members_init(&member, object);
	while (members_next(&member))
	{
		JsonKey		key = slice_key(&member.key);
		SchemaNode *node = NULL;
		int			order;
		Spot		here;

		CHECK_FOR_INTERRUPTS();
		for (; left > 0 && (order = compare_keys(rule->key.data, rule->key.len, key.data, key.len)) <= 0; rule++, left--)
		{
			if (order == 0)
				node = rule->node;
			else
				CHECK_OR(!rule->required, explain_missing(judgement, "required", rule->key, NULL, spot));
		}
		if (judgement->problems)
			here = spot_below(spot, &key, 0);
		if (node)
			CHECK(judge(judgement, node, &member.value, &here, "properties"));
		CHECK(judge_unnamed(judgement, rules, &member, node != NULL, &here));
	}
	for (; left > 0; rule++, left--)
		CHECK_OR(!rule->required, explain_missing(judgement, "required", rule->key, NULL, spot));
	return good;
}

/* The members of an object, of which there must not be too many: whoever judges it next finds it open. */
static const OpenObject *
open_object(Judgement *judgement, const JsonbContainer *object)
{
	OpenObject *open = judgement->open;
	JsonbCursor children;
	uint32		count = JsonContainerSize(object);

	if (open->object == object)
		return open;
	open->object = object;
	cursor_init(&children, object, 0);
	for (uint32 i = 0; i < count; i++)
		cursor_next(&children, &open->keys[i]);
	for (uint32 i = 0; i < count; i++)
		cursor_next(&children, &open->values[i]);
	return open;
}

/* Go on in an object to the first member whose key is not before another one; is it that? */
static bool
seek_member(Judgement *judgement, const JsonbContainer *object, JsonKey key, uint32 *place, JsonbSlice *value)
{
	uint32		count = JsonContainerSize(object);
	const OpenObject *open;
	uint32		i = *place;
	int			order = 1;

	if (count > OPEN_MAX)
	{
		if (!find_key(object, 0, count, key.data, key.len, place))
			return false;
		container_child(object, count + *place, value);
		return true;
	}
	open = open_object(judgement, object);
	while (i < count && (order = compare_keys(open->keys[i].data, open->keys[i].len, key.data, key.len)) < 0)
		i++;
	*place = i;
	if (i == count || order != 0)
		return false;
	*value = open->values[i];
	return true;
}

/* Look for each of the members that are named. */
static bool
find_members(Judgement *judgement, const ObjectRules *rules, const JsonbContainer *object, const Spot *spot)
{
	uint32		place = 0;
	bool		good = true;

	for (uint32 i = 0; i < rules->member_count; i++)
	{
		const MemberRule *rule = &rules->members[i];
		JsonbSlice	value;
		Spot		here;

		CHECK_FOR_INTERRUPTS();
		if (!seek_member(judgement, object, rule->key, &place, &value))
		{
			CHECK_OR(!rule->required, explain_missing(judgement, "required", rule->key, NULL, spot));
			continue;
		}
		if (rule->node == NULL)
			continue;
		if (judgement->problems)
			here = spot_below(spot, &rule->key, 0);
		CHECK(judge(judgement, rule->node, &value, &here, "properties"));
	}
	return good;
}

static bool
judge_dependencies(Judgement *judgement, const ObjectRules *rules, const JsonbSlice *value, const Spot *spot)
{
	const JsonbContainer *object = slice_container(value);
	bool		good = true;

	for (uint32 i = 0; i < rules->dependency_count; i++)
	{
		const DependencyRule *rule = &rules->dependencies[i];

		if (!has_member(object, rule->key))
			continue;
		for (uint32 n = 0; n < rule->required_count; n++)
			CHECK_OR(has_member(object, rule->required[n]),
					 explain_missing(judgement, rule->keyword, rule->required[n], &rule->key, spot));
		if (rule->node)
			CHECK(judge(judgement, rule->node, value, spot, rule->keyword));
	}
	return good;
}

static pg_noinline bool
judge_object(Judgement *judgement, const ObjectRules *rules, const JsonbSlice *value, const Spot *spot)
{
	const JsonbContainer *object = slice_container(value);
	uint32		count = JsonContainerSize(object);
	bool		good = true;

	CHECK_OR(count >= rules->min, explain_count(judgement, "minProperties", "at least", rules->min, "members", count, spot));
	CHECK_OR(count <= rules->max, explain_count(judgement, "maxProperties", "at most", rules->max, "members", count, spot));
	if (rules->pattern_count > 0 || rules->additional || rules->names)
		CHECK(walk_members(judgement, rules, object, spot));
	else
		CHECK(find_members(judgement, rules, object, spot));
	if (rules->dependency_count > 0)
		CHECK(judge_dependencies(judgement, rules, value, spot));
	return good;
}

/* ---- schemas of the same value ---- */

/* How many of these schemas allow a value? Two are enough to know. */
static uint32
count_fitting(Judgement *judgement, const NodeList *list, const JsonbSlice *value, uint32 enough)
{
	uint32		count = 0;

	for (uint32 i = 0; i < list->count && count < enough; i++)
		count += allows(judgement, list->nodes[i], value);
	return count;
}

static pg_noinline bool
judge_combination(Judgement *judgement, const Combination *combination, const JsonbSlice *value, const Spot *spot)
{
	bool		good = true;
	uint32		fitting;

	for (uint32 i = 0; i < combination->all.count; i++)
		CHECK(judge(judgement, combination->all.nodes[i], value, spot, "allOf"));
	if (combination->any.count > 0)
		CHECK_OR(count_fitting(judgement, &combination->any, value, 1) > 0,
				 explain_choice(judgement, &combination->any, 0, "anyOf", value, spot));
	if (combination->one.count > 0)
	{
		fitting = count_fitting(judgement, &combination->one, value, judgement->problems ? PG_UINT32_MAX : 2);
		CHECK_OR(fitting == 1, explain_choice(judgement, &combination->one, fitting, "oneOf", value, spot));
	}
	if (combination->not)
		CHECK_OR(!allows(judgement, combination->not, value), explain_not(judgement, spot));
	if (combination->condition && allows(judgement, combination->condition, value))
	{
		if (combination->consequence)
			CHECK(judge(judgement, combination->consequence, value, spot, "then"));
	}
	else if (combination->alternative)
		CHECK(judge(judgement, combination->alternative, value, spot, "else"));
	return good;
}

/* ---- a node ---- */

/*
 * Judge a value by all that a node asks. Most nodes ask something of a scalar,
 * and are done with that.
 */
static pg_attribute_always_inline bool
judge_keywords(Judgement *judgement, SchemaNode *node, const JsonbSlice *value, const Spot *spot)
{
	bool		good = true;

	CHECK_FOR_INTERRUPTS();
	if (node->types != TYPE_ANY)
		CHECK_OR(has_type(value, node->types), explain_type(judgement, node, value, spot));
	if (node->values)
		CHECK_OR(value_set_has(node->values, value), explain_enum(judgement, node, value, spot));
	if (node->constant)
		CHECK_OR(slices_equal(node->constant, value), explain_const(judgement, node, value, spot));
	if (node->string && JBE_ISSTRING(value->type))
		CHECK(judge_string(judgement, node->string, value, spot));
	if (node->number && JBE_ISNUMERIC(value->type))
		CHECK(judge_number(judgement, node->number, value, spot));
	if (value->type != JENTRY_ISCONTAINER && !node->reference && !node->combination)
		return good;

	check_stack_depth();
	if (node->array && slice_is_array(value))
		CHECK(judge_array(judgement, node->array, slice_container(value), spot));
	if (node->object && slice_is_object(value))
		CHECK(judge_object(judgement, node->object, value, spot));
	if (node->reference)
		CHECK(judge(judgement, node->reference, value, spot, "$ref"));
	if (node->combination)
		CHECK(judge_combination(judgement, node->combination, value, spot));
	return good;
}

/* Judge by a node to which references lead: not again what was judged by it. */
static pg_noinline bool
judge_once(Judgement *judgement, SchemaNode *node, const JsonbSlice *value, const Spot *spot)
{
	MemoryKey	key;
	MemoryEntry *entry;
	bool		verdict;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.node = node;
	key.data = value->data;
	key.len = value->len;
	key.type = value->type;
	if (judgement->memory == NULL)
		judgement->memory = memory_create(CurrentMemoryContext, 1024, NULL);
	entry = memory_lookup(judgement->memory, key);
	if (entry && (entry->verdict || judgement->problems == NULL))
		return entry->verdict;
	if (judgement->problems)
	{
		/* Its rows are there already, if it has been here. */
		key.spot = spot ? spot->hash : hash_seed();
		entry = memory_lookup(judgement->memory, key);
		if (entry)
			return entry->verdict;
	}

	verdict = judge_keywords(judgement, node, value, spot);
	if (judgement->memory->members >= VERDICTS_MAX)
		memory_reset(judgement->memory);
	entry = memory_insert(judgement->memory, key, &found);
	entry->verdict = verdict;
	return verdict;
}

/* Does a node say no more than where to read on? */
static bool
only_refers(const SchemaNode *node)
{
	return node->reference && node->types == TYPE_ANY && node->values == NULL && node->constant == NULL &&
		node->string == NULL && node->number == NULL && node->array == NULL && node->object == NULL && node->combination == NULL;
}

/*
 * Judge a value by a node, which a keyword of another one holds. References are
 * read through, and what not each level needs is not inlined: levels cost stack.
 */
bool
judge(Judgement *judgement, SchemaNode *node, const JsonbSlice *value, const Spot *spot, const char *holder)
{
	while (only_refers(node))
	{
		CHECK_FOR_INTERRUPTS();
		node = node->reference;
		holder = "$ref";
	}
	if (node->anything)
		return true;
	if (node->nothing)
	{
		if (judgement->problems)
			explain_nothing(judgement, spot, holder);
		return false;
	}
	if (node->shared && ++judgement->steps > STEPS_FORGOTTEN)
		return judge_once(judgement, node, value, spot);
	return judge_keywords(judgement, node, value, spot);
}

/* Is a document as a schema asks? */
bool
schema_allows(Schema *schema, const JsonbSlice *document)
{
	OpenObject	open;
	Judgement	judgement = {.open = &open};
	bool		good;

	open.object = NULL;
	good = judge(&judgement, schema->root, document, NULL, NULL);
	if (judgement.memory)
		memory_destroy(judgement.memory);
	return good;
}

/* List all that keeps a document from being as a schema asks. */
void
list_schema_problems(Schema *schema, const JsonbSlice *document, ProblemList *problems)
{
	OpenObject	open;
	Judgement	judgement = {.open = &open};

	if (schema_allows(schema, document))
		return;
	open.object = NULL;
	judgement.problems = problems;
	judge(&judgement, schema->root, document, NULL, NULL);
}
