/*
 * schema/keywords.c
 *		Every keyword of every draft: which of our drafts have it, what value it
 *		can have, and what it asks.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/errors.h"
#include "schema/compile.h"
#include "schema/number.h"
#include "schema/reference.h"

#define DRAFTS_ALL		(DRAFT_07 | DRAFT_2019_09 | DRAFT_2020_12)
#define DRAFTS_LATER	(DRAFT_2019_09 | DRAFT_2020_12)

typedef void (*ReadKeyword) (KeywordReader *reader, const JsonbSlice *value);

typedef struct Keyword
{
	const char *name;
	int			drafts;
	ReadKeyword read;			/* NULL: not implemented */
} Keyword;

/* Refuse the value of the keyword in hand. */
#define BAD_VALUE(reader, must) \
	bad_schema((reader)->place, "\"%s\" must %s", (reader)->keyword, (must))

static void *
keep0(KeywordReader *reader, Size size)
{
	return MemoryContextAllocZero(reader->compiler->schema->context, size);
}

static ObjectRules *
object_rules(KeywordReader *reader)
{
	if (reader->node->object == NULL)
	{
		reader->node->object = keep0(reader, sizeof(ObjectRules));
		reader->node->object->max = UNLIMITED;
	}
	return reader->node->object;
}

static ArrayRules *
array_rules(KeywordReader *reader)
{
	if (reader->node->array == NULL)
	{
		reader->node->array = keep0(reader, sizeof(ArrayRules));
		reader->node->array->max = UNLIMITED;
		reader->node->array->min_contains = 1;
		reader->node->array->max_contains = UNLIMITED;
	}
	return reader->node->array;
}

static StringRules *
string_rules(KeywordReader *reader)
{
	if (reader->node->string == NULL)
	{
		reader->node->string = keep0(reader, sizeof(StringRules));
		reader->node->string->max = UNLIMITED;
	}
	return reader->node->string;
}

static NumberRules *
number_rules(KeywordReader *reader)
{
	if (reader->node->number == NULL)
		reader->node->number = keep0(reader, sizeof(NumberRules));
	return reader->node->number;
}

static Combination *
combination(KeywordReader *reader)
{
	if (reader->node->combination == NULL)
		reader->node->combination = keep0(reader, sizeof(Combination));
	return reader->node->combination;
}

/* ---- values ---- */

static void
need_string(KeywordReader *reader, const JsonbSlice *value)
{
	if (!JBE_ISSTRING(value->type))
		BAD_VALUE(reader, "be a string");
}

static bool
need_boolean(KeywordReader *reader, const JsonbSlice *value)
{
	if (!JBE_ISBOOL(value->type))
		BAD_VALUE(reader, "be true or false");
	return JBE_ISBOOL_TRUE(value->type);
}

static Numeric
need_number(KeywordReader *reader, const JsonbSlice *value)
{
	if (!JBE_ISNUMERIC(value->type))
		BAD_VALUE(reader, "be a number");
	return slice_numeric(value);
}

static const JsonbContainer *
need_object(KeywordReader *reader, const JsonbSlice *value)
{
	if (!slice_is_object(value))
		BAD_VALUE(reader, "be an object");
	return slice_container(value);
}

/* A whole number from 0 on; one beyond all lengths is the largest of ours. */
static uint32
need_limit(KeywordReader *reader, const JsonbSlice *value)
{
	Datum		largest;
	uint32		limit = UNLIMITED;

	if (!JBE_ISNUMERIC(value->type) || !is_whole(slice_numeric(value)) || number_sign(slice_numeric(value)) < 0)
		BAD_VALUE(reader, "be a whole number, and not negative");
	largest = DirectFunctionCall1(int8_numeric, Int64GetDatum(UNLIMITED));
	if (compare_numbers(slice_numeric(value), DatumGetNumeric(largest)) < 0)
		limit = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(slice_numeric(value))));
	return limit;
}

/* The strings of an array, each of which must stand there once. */
static JsonKey *
need_strings(KeywordReader *reader, const JsonbSlice *value, const Place *place, uint32 *count)
{
	JsonKey    *keys;
	JsonbCursor elements;
	JsonbSlice	element;
	KeyTable   *seen = NULL;

	if (!slice_is_array(value))
		bad_schema(place, "\"%s\" must have an array of strings", reader->keyword);
	*count = JsonContainerSize(slice_container(value));
	keys = keep0(reader, sizeof(JsonKey) * Max(*count, 1));
	if (*count > 1)
		seen = make_key_table();
	cursor_init(&elements, slice_container(value), 0);
	for (uint32 i = 0; elements_next(&elements, &element); i++)
	{
		bool		found = false;

		CHECK_FOR_INTERRUPTS();
		if (!JBE_ISSTRING(element.type))
			bad_schema(place, "\"%s\" must have an array of strings", reader->keyword);
		keys[i] = slice_key(&element);
		if (seen)
			enter_entry(seen, keys[i], &found);
		if (found)
			bad_schema(place, "\"%s\" must not have a string twice", reader->keyword);
	}
	return keys;
}

static int
compare_key_pointers(const void *a, const void *b)
{
	const JsonKey *x = a;
	const JsonKey *y = b;

	return compare_keys(x->data, x->len, y->data, y->len);
}

static SchemaNode *
need_schema(KeywordReader *reader, const JsonbSlice *value, const Place *place)
{
	if (!slice_is_object(value) && !JBE_ISBOOL(value->type))
		bad_schema(place, "\"%s\" must have a schema here, an object or a boolean", reader->keyword);
	return read_schema(reader->compiler, value, reader->scope, place);
}

/* Schemas in an array that is not empty. */
static void
need_schemas(KeywordReader *reader, const JsonbSlice *value, NodeList *list)
{
	JsonbCursor elements;
	JsonbSlice	element;

	if (!slice_is_array(value) || JsonContainerSize(slice_container(value)) == 0)
		BAD_VALUE(reader, "be an array of schemas that is not empty");
	list->nodes = keep0(reader, sizeof(SchemaNode *) * JsonContainerSize(slice_container(value)));
	cursor_init(&elements, slice_container(value), 0);
	while (elements_next(&elements, &element))
	{
		const Place *here = keep_place(reader->compiler, reader->place, (JsonKey) {NULL, 0}, list->count);

		list->nodes[list->count++] = need_schema(reader, &element, here);
	}
}

/* ---- keywords, as doc/schemas.md lists them ---- */

static void
read_nothing(KeywordReader *reader, const JsonbSlice *value)
{
}

static void
read_anchor(KeywordReader *reader, const JsonbSlice *value)
{
	need_string(reader, value);
	for (uint32 i = 0; i < value->len; i++)
	{
		char		c = value->data[i];
		bool		first = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!first && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '.')))
			BAD_VALUE(reader, "be a name, of letters, digits, \"-\", \"_\" and \".\"");
	}
	if (value->len == 0)
		BAD_VALUE(reader, "not be empty");
}

static void
read_reference(KeywordReader *reader, const JsonbSlice *value)
{
	need_string(reader, value);
	add_reference(reader, slice_key(value));
}

static void
read_definitions(KeywordReader *reader, const JsonbSlice *value)
{
	MemberCursor members;

	members_init(&members, need_object(reader, value));
	while (members_next(&members))
	{
		const Place *here = keep_place(reader->compiler, reader->place, slice_key(&members.key), 0);

		need_schema(reader, &members.value, here);
	}
}

static void
read_flag(KeywordReader *reader, const JsonbSlice *value)
{
	need_boolean(reader, value);
}

static void
read_array(KeywordReader *reader, const JsonbSlice *value)
{
	if (!slice_is_array(value))
		BAD_VALUE(reader, "be an array");
}

static void
read_unused_schema(KeywordReader *reader, const JsonbSlice *value)
{
	need_schema(reader, value, reader->place);
}

static uint8
type_of_name(const JsonbSlice *name)
{
	static const struct
	{
		const char *name;
		uint8		type;
	}			types[] = {
		{"null", TYPE_NULL}, {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER | TYPE_INTEGER},
		{"string", TYPE_STRING}, {"array", TYPE_ARRAY}, {"object", TYPE_OBJECT}
	};

	for (int i = 0; i < (int) lengthof(types); i++)
		if (slice_is_string(name, types[i].name))
			return types[i].type;
	return 0;
}

static void
read_type(KeywordReader *reader, const JsonbSlice *value)
{
	JsonbCursor elements;
	JsonbSlice	element;
	uint32		count;

	reader->node->types = 0;
	if (slice_is_array(value))
	{
		need_strings(reader, value, reader->place, &count);
		cursor_init(&elements, slice_container(value), 0);
		while (elements_next(&elements, &element))
		{
			uint8		type = type_of_name(&element);

			if (type == 0)
				reader->node->types = 0;
			if (type == 0)
				break;
			reader->node->types |= type;
		}
	}
	else
		reader->node->types = type_of_name(value);
	if (reader->node->types == 0)
		BAD_VALUE(reader, "be null, boolean, integer, number, string, array or object, or an array of these");
}

static void
read_enum(KeywordReader *reader, const JsonbSlice *value)
{
	MemoryContext old;

	read_array(reader, value);
	old = MemoryContextSwitchTo(reader->compiler->schema->context);
	reader->node->values = make_value_set(slice_container(value));
	MemoryContextSwitchTo(old);
}

static void
read_const(KeywordReader *reader, const JsonbSlice *value)
{
	reader->node->constant = keep0(reader, sizeof(JsonbSlice));
	*reader->node->constant = *value;
}

static void
read_multiple_of(KeywordReader *reader, const JsonbSlice *value)
{
	number_rules(reader)->multiple_of = need_number(reader, value);
	if (number_sign(slice_numeric(value)) <= 0)
		BAD_VALUE(reader, "be greater than 0");
}

static void
read_minimum(KeywordReader *reader, const JsonbSlice *value)
{
	number_rules(reader)->minimum = need_number(reader, value);
}

static void
read_maximum(KeywordReader *reader, const JsonbSlice *value)
{
	number_rules(reader)->maximum = need_number(reader, value);
}

static void
read_exclusive_minimum(KeywordReader *reader, const JsonbSlice *value)
{
	number_rules(reader)->exclusive_minimum = need_number(reader, value);
}

static void
read_exclusive_maximum(KeywordReader *reader, const JsonbSlice *value)
{
	number_rules(reader)->exclusive_maximum = need_number(reader, value);
}

static void
read_min_length(KeywordReader *reader, const JsonbSlice *value)
{
	string_rules(reader)->min = need_limit(reader, value);
}

static void
read_max_length(KeywordReader *reader, const JsonbSlice *value)
{
	string_rules(reader)->max = need_limit(reader, value);
}

/* A regular expression, which stands at a place. */
static Pattern *
need_pattern(KeywordReader *reader, JsonKey source, const Place *place)
{
	MemoryContext old = MemoryContextSwitchTo(reader->compiler->schema->context);
	const char *problem = NULL;
	Pattern    *pattern = make_pattern(source, place, &reader->compiler->schema->automaton_budget, &problem);

	MemoryContextSwitchTo(old);
	if (problem)
		bad_schema(place, "\"%s\" %s", reader->keyword, problem);
	return pattern;
}

static void
read_pattern(KeywordReader *reader, const JsonbSlice *value)
{
	need_string(reader, value);
	string_rules(reader)->pattern = need_pattern(reader, slice_key(value), reader->place);
}

/* A format, which is an annotation unless those of the document are asserted. */
static void
read_format(KeywordReader *reader, const JsonbSlice *value)
{
	const Format *format;

	need_string(reader, value);
	format = reader->scope->document->source.assert_formats ? find_format(slice_key(value)) : NULL;
	if (format)
		string_rules(reader)->format = format;
}

static void
read_items(KeywordReader *reader, const JsonbSlice *value)
{
	ArrayRules *rules = array_rules(reader);

	if (slice_is_array(value) && reader->scope->draft != DRAFT_2020_12)
	{
		need_schemas(reader, value, &rules->first);
		rules->first_keyword = "items";
	}
	else
		reader->items = need_schema(reader, value, reader->place);
}

static void
read_prefix_items(KeywordReader *reader, const JsonbSlice *value)
{
	need_schemas(reader, value, &array_rules(reader)->first);
	array_rules(reader)->first_keyword = "prefixItems";
}

static void
read_additional_items(KeywordReader *reader, const JsonbSlice *value)
{
	reader->additional_items = need_schema(reader, value, reader->place);
}

static void
read_contains(KeywordReader *reader, const JsonbSlice *value)
{
	array_rules(reader)->contains = need_schema(reader, value, reader->place);
}

static void
read_min_contains(KeywordReader *reader, const JsonbSlice *value)
{
	array_rules(reader)->min_contains = need_limit(reader, value);
	array_rules(reader)->contains_counted = true;
}

static void
read_max_contains(KeywordReader *reader, const JsonbSlice *value)
{
	array_rules(reader)->max_contains = need_limit(reader, value);
}

static void
read_min_items(KeywordReader *reader, const JsonbSlice *value)
{
	array_rules(reader)->min = need_limit(reader, value);
}

static void
read_max_items(KeywordReader *reader, const JsonbSlice *value)
{
	array_rules(reader)->max = need_limit(reader, value);
}

static void
read_unique_items(KeywordReader *reader, const JsonbSlice *value)
{
	array_rules(reader)->unique = need_boolean(reader, value);
}

static void
read_required(KeywordReader *reader, const JsonbSlice *value)
{
	uint32		count;
	JsonKey    *keys = need_strings(reader, value, reader->place, &count);
	MemberRule *required = palloc_extended(sizeof(MemberRule) * Max((Size) count, 1), MCXT_ALLOC_HUGE);

	qsort(keys, count, sizeof(JsonKey), compare_key_pointers);
	for (uint32 i = 0; i < count; i++)
		required[i] = (MemberRule) {.key = keys[i],.required = true};
	join_members(reader->compiler, object_rules(reader), required, count);
	pfree(required);
}

static void
read_properties(KeywordReader *reader, const JsonbSlice *value)
{
	const JsonbContainer *object = need_object(reader, value);
	MemberRule *properties = palloc_extended(sizeof(MemberRule) * Max((Size) JsonContainerSize(object), 1), MCXT_ALLOC_HUGE);
	uint32		count = 0;
	MemberCursor members;

	members_init(&members, object);
	while (members_next(&members))
	{
		const Place *here = keep_place(reader->compiler, reader->place, slice_key(&members.key), 0);

		properties[count++] = (MemberRule) {.key = slice_key(&members.key),.node = need_schema(reader, &members.value, here)};
	}
	join_members(reader->compiler, object_rules(reader), properties, count);
	pfree(properties);
}

static void
read_pattern_properties(KeywordReader *reader, const JsonbSlice *value)
{
	ObjectRules *rules = object_rules(reader);
	MemberCursor members;

	members_init(&members, need_object(reader, value));
	rules->patterns = keep0(reader, sizeof(PatternRule) * Max(JsonContainerSize(slice_container(value)), 1));
	while (members_next(&members))
	{
		const Place *here = keep_place(reader->compiler, reader->place, slice_key(&members.key), 0);
		PatternRule *rule = &rules->patterns[rules->pattern_count++];

		rule->pattern = need_pattern(reader, slice_key(&members.key), here);
		rule->node = need_schema(reader, &members.value, here);
	}
}

static void
read_additional_properties(KeywordReader *reader, const JsonbSlice *value)
{
	object_rules(reader)->additional = need_schema(reader, value, reader->place);
}

static void
read_property_names(KeywordReader *reader, const JsonbSlice *value)
{
	object_rules(reader)->names = need_schema(reader, value, reader->place);
}

static void
read_min_properties(KeywordReader *reader, const JsonbSlice *value)
{
	object_rules(reader)->min = need_limit(reader, value);
}

static void
read_max_properties(KeywordReader *reader, const JsonbSlice *value)
{
	object_rules(reader)->max = need_limit(reader, value);
}

/* Dependencies of names, of schemas, or of both. */
static void
add_dependencies(KeywordReader *reader, const JsonbSlice *value, bool names, bool schemas)
{
	ObjectRules *rules = object_rules(reader);
	MemberCursor members;
	DependencyRule *all;

	members_init(&members, need_object(reader, value));
	all = keep0(reader, sizeof(DependencyRule) * Max(rules->dependency_count + JsonContainerSize(slice_container(value)), 1));
	if (rules->dependency_count > 0)
		memcpy(all, rules->dependencies, sizeof(DependencyRule) * rules->dependency_count);
	rules->dependencies = all;
	while (members_next(&members))
	{
		const Place *here = keep_place(reader->compiler, reader->place, slice_key(&members.key), 0);
		DependencyRule *rule = &rules->dependencies[rules->dependency_count++];

		rule->key = slice_key(&members.key);
		rule->keyword = reader->keyword;
		if (names && (!schemas || slice_is_array(&members.value)))
			rule->required = need_strings(reader, &members.value, here, &rule->required_count);
		else
			rule->node = need_schema(reader, &members.value, here);
	}
}

static void
read_dependencies(KeywordReader *reader, const JsonbSlice *value)
{
	add_dependencies(reader, value, true, true);
}

static void
read_dependent_required(KeywordReader *reader, const JsonbSlice *value)
{
	add_dependencies(reader, value, true, false);
}

static void
read_dependent_schemas(KeywordReader *reader, const JsonbSlice *value)
{
	add_dependencies(reader, value, false, true);
}

static void
read_all_of(KeywordReader *reader, const JsonbSlice *value)
{
	need_schemas(reader, value, &combination(reader)->all);
}

static void
read_any_of(KeywordReader *reader, const JsonbSlice *value)
{
	need_schemas(reader, value, &combination(reader)->any);
}

static void
read_one_of(KeywordReader *reader, const JsonbSlice *value)
{
	need_schemas(reader, value, &combination(reader)->one);
}

static void
read_not(KeywordReader *reader, const JsonbSlice *value)
{
	combination(reader)->not = need_schema(reader, value, reader->place);
}

static void
read_if(KeywordReader *reader, const JsonbSlice *value)
{
	combination(reader)->condition = need_schema(reader, value, reader->place);
}

static void
read_then(KeywordReader *reader, const JsonbSlice *value)
{
	combination(reader)->consequence = need_schema(reader, value, reader->place);
}

static void
read_else(KeywordReader *reader, const JsonbSlice *value)
{
	combination(reader)->alternative = need_schema(reader, value, reader->place);
}

/* In jsonb's order of keys. "$id" and "$schema" were read before. */
static const Keyword keywords[] = {
	{"id", 0, NULL},
	{"if", DRAFTS_ALL, read_if},
	{"$id", DRAFTS_ALL, need_string},
	{"not", DRAFTS_ALL, read_not},
	{"$ref", DRAFTS_ALL, read_reference},
	{"else", DRAFTS_ALL, read_else},
	{"enum", DRAFTS_ALL, read_enum},
	{"then", DRAFTS_ALL, read_then},
	{"type", DRAFTS_ALL, read_type},
	{"$defs", DRAFTS_ALL, read_definitions},
	{"allOf", DRAFTS_ALL, read_all_of},
	{"anyOf", DRAFTS_ALL, read_any_of},
	{"const", DRAFTS_ALL, read_const},
	{"items", DRAFTS_ALL, read_items},
	{"oneOf", DRAFTS_ALL, read_one_of},
	{"title", DRAFTS_ALL, need_string},
	{"format", DRAFTS_ALL, read_format},
	{"$anchor", DRAFTS_LATER, read_anchor},
	{"$schema", DRAFTS_ALL, need_string},
	{"default", DRAFTS_ALL, read_nothing},
	{"extends", 0, NULL},
	{"maximum", DRAFTS_ALL, read_maximum},
	{"minimum", DRAFTS_ALL, read_minimum},
	{"pattern", DRAFTS_ALL, read_pattern},
	{"$comment", DRAFTS_ALL, need_string},
	{"contains", DRAFTS_ALL, read_contains},
	{"disallow", 0, NULL},
	{"examples", DRAFTS_ALL, read_array},
	{"maxItems", DRAFTS_ALL, read_max_items},
	{"minItems", DRAFTS_ALL, read_min_items},
	{"readOnly", DRAFTS_ALL, read_flag},
	{"required", DRAFTS_ALL, read_required},
	{"maxLength", DRAFTS_ALL, read_max_length},
	{"minLength", DRAFTS_ALL, read_min_length},
	{"writeOnly", DRAFTS_ALL, read_flag},
	{"deprecated", DRAFTS_ALL, read_flag},
	{"multipleOf", DRAFTS_ALL, read_multiple_of},
	{"properties", DRAFTS_ALL, read_properties},
	{"$dynamicRef", 0, NULL},
	{"$vocabulary", 0, NULL},
	{"definitions", DRAFTS_ALL, read_definitions},
	{"description", DRAFTS_ALL, need_string},
	{"divisibleBy", 0, NULL},
	{"maxContains", DRAFTS_LATER, read_max_contains},
	{"minContains", DRAFTS_LATER, read_min_contains},
	{"prefixItems", DRAFT_2020_12, read_prefix_items},
	{"uniqueItems", DRAFTS_ALL, read_unique_items},
	{"dependencies", DRAFT_07, read_dependencies},
	{"$recursiveRef", 0, NULL},
	{"contentSchema", DRAFTS_LATER, read_unused_schema},
	{"maxProperties", DRAFTS_ALL, read_max_properties},
	{"minProperties", DRAFTS_ALL, read_min_properties},
	{"propertyNames", DRAFTS_ALL, read_property_names},
	{"$dynamicAnchor", 0, NULL},
	{"additionalItems", DRAFT_07 | DRAFT_2019_09, read_additional_items},
	{"contentEncoding", DRAFTS_ALL, need_string},
	{"$recursiveAnchor", 0, NULL},
	{"contentMediaType", DRAFTS_ALL, need_string},
	{"dependentSchemas", DRAFTS_LATER, read_dependent_schemas},
	{"exclusiveMaximum", DRAFTS_ALL, read_exclusive_maximum},
	{"exclusiveMinimum", DRAFTS_ALL, read_exclusive_minimum},
	{"unevaluatedItems", 0, NULL},
	{"dependentRequired", DRAFTS_LATER, read_dependent_required},
	{"patternProperties", DRAFTS_ALL, read_pattern_properties},
	{"additionalProperties", DRAFTS_ALL, read_additional_properties},
	{"unevaluatedProperties", 0, NULL},
};

static const struct
{
	const char *url;
	const char *name;
	Draft		draft;
}			drafts[] = {
	{"http://json-schema.org/draft-07/schema", "draft-07", DRAFT_07},
	{"https://json-schema.org/draft/2019-09/schema", "2019-09", DRAFT_2019_09},
	{"https://json-schema.org/draft/2020-12/schema", "2020-12", DRAFT_2020_12},
};

static const char *
draft_name(Draft draft)
{
	for (int i = 0; i < (int) lengthof(drafts); i++)
		if (drafts[i].draft == draft)
			return drafts[i].name;
	return "";
}

/* The draft that "$schema" names; DRAFT_NONE where it is none of ours. */
Draft
draft_of_url(const JsonbSlice *url)
{
	int			len = url->len;

	if (!JBE_ISSTRING(url->type))
		return DRAFT_NONE;
	if (len > 0 && url->data[len - 1] == '#')
		len--;
	for (int i = 0; i < (int) lengthof(drafts); i++)
		if (bytes_are(url->data, len, drafts[i].url))
			return drafts[i].draft;
	return DRAFT_NONE;
}

/* The keyword of a name; NULL where it is none of any draft. */
static const Keyword *
find_keyword(const JsonbSlice *name)
{
	int			low = 0;
	int			high = lengthof(keywords);

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const Keyword *keyword = &keywords[middle];
		int			order = compare_keys(keyword->name, strlen(keyword->name), name->data, name->len);

		if (order == 0)
			return keyword;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* What hangs on several keywords. */
static void
settle(KeywordReader *reader)
{
	SchemaNode *node = reader->node;

	if (reader->items)
	{
		node->array->rest = reader->items;
		node->array->rest_keyword = "items";
	}
	else if (reader->additional_items && node->array && node->array->first.count > 0)
	{
		node->array->rest = reader->additional_items;
		node->array->rest_keyword = "additionalItems";
	}
	if (node->combination && node->combination->condition == NULL)
		node->combination->consequence = node->combination->alternative = NULL;
}

/* Read the keywords of a schema into its node. */
void
read_keywords(KeywordReader *reader, const JsonbContainer *object, const Place *place)
{
	MemberCursor members;

	members_init(&members, object);
	while (members_next(&members))
	{
		const Keyword *keyword = find_keyword(&members.key);

		CHECK_FOR_INTERRUPTS();
		if (keyword == NULL)
			continue;
		reader->keyword = keyword->name;
		reader->place = keep_place(reader->compiler, place, slice_key(&members.key), 0);
		if (keyword->read == NULL)
			bad_schema(reader->place, "\"%s\" is not implemented", keyword->name);
		if ((keyword->drafts & reader->scope->draft) == 0)
			bad_schema(reader->place, "\"%s\" is no keyword of %s", keyword->name, draft_name(reader->scope->draft));
		keyword->read(reader, &members.value);
	}
	settle(reader);
}
