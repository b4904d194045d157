/*
 * schema/compile.c
 *		Compiles a schema: reads every place that is one, follows references, and
 *		refuses circles. See schema/compile.h, and schema/keywords.c for what a
 *		keyword asks.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "json/pointer.h"
#include "schema/compile.h"
#include "schema/metaschema.h"
#include "schema/reference.h"

/* What all automata of a schema may take. */
#define AUTOMATA_MAX (16 * 1024 * 1024)

/* So many schemas of a value are joined into one list. */
#define JOINT_MAX 64

/* So many members are joined into one list. */
#define JOINT_MEMBERS_MAX 256

/* Bytes of a resource's URL: each reference in it is read beside that. */
#define URL_MAX 2000

/* A reference is told up to so many bytes. */
#define REFERENCE_SHOWN 200

/* Where a resource's or an anchor's schema lies. */
typedef struct Target
{
	JsonbSlice	schema;
	Scope	   *scope;
} Target;

typedef struct Reference
{
	SchemaNode *node;			/* that has it */
	ReadDocument *document;
	JsonKey		base;
	JsonKey		written;
	const Place *place;			/* where it stands */
} Reference;

/* The node of a place in a document. */
typedef struct PlaceEntry
{
	const char *data;
	SchemaNode *node;
	Scope	   *scope;			/* of its keywords */
	char		status;
} PlaceEntry;

#define SH_PREFIX place_table
#define SH_ELEMENT_TYPE PlaceEntry
#define SH_KEY_TYPE const char *
#define SH_KEY data
#define SH_HASH_KEY(table, key) murmurhash32((uint32) ((uintptr_t) (key) >> 2))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Refuse a schema for what stands at a place. */
void
bad_schema(const Place *place, const char *format,...)
{
	StringInfoData detail;

	initStringInfo(&detail);
	for (;;)
	{
		va_list		arguments;
		int			needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&detail, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_SCHEMA), errtable_of("schema"),
			 errmsg("schema is not well-formed, or asks what is not implemented"),
			 errdetail_place(place, detail.data)));
}

/* ---- places ---- */

/* A place that lives as long as the schema; an element's has no key. */
const Place *
keep_place(const Compiler *compiler, const Place *parent, JsonKey key, uint32 index)
{
	Place	   *place = MemoryContextAlloc(compiler->schema->context, sizeof(Place));

	*place = (Place) {parent, key.data, key.len, index};
	return place;
}

/* The key of a resource, or of an anchor in it. */
static JsonKey
target_key(JsonKey url, JsonKey anchor)
{
	StringInfoData key;

	if (anchor.len == 0)
		return url;
	initStringInfo(&key);
	appendBinaryStringInfo(&key, url.data, url.len);
	appendStringInfoChar(&key, '#');
	appendBinaryStringInfo(&key, anchor.data, anchor.len);
	return (JsonKey) {key.data, key.len};
}

/* Note where a URL, or an anchor there, leads within a document; the first to have it keeps it. */
static void
add_target(JsonKey url, JsonKey anchor, const JsonbSlice *schema, Scope *scope)
{
	ReadDocument *document = scope->document;
	bool		found;
	KeyEntry   *entry = enter_entry(document->urls, target_key(url, anchor), &found);
	Target	   *target;

	if (found)
		return;
	target = palloc(sizeof(Target));
	target->schema = *schema;
	target->scope = scope;
	document->targets = lappend(document->targets, target);
	entry->count = list_length(document->targets);
}

static Target *
find_target(ReadDocument *document, JsonKey url, JsonKey anchor)
{
	KeyEntry   *entry = find_entry(document->urls, target_key(url, anchor));

	return entry ? list_nth(document->targets, entry->count - 1) : NULL;
}

/* Note a reference of the schema in hand, to be followed when all is read. */
void
add_reference(KeywordReader *reader, JsonKey url)
{
	Reference  *reference = palloc(sizeof(Reference));

	reference->node = reader->node;
	reference->document = reader->scope->document;
	reference->base = reader->scope->base;
	reference->written = url;
	reference->place = reader->place;
	reader->compiler->references = lappend(reader->compiler->references, reference);
}

/* Look for a member of an object. */
static bool
find_member(const JsonbContainer *object, JsonKey key, JsonbSlice *value)
{
	uint32		count = JsonContainerSize(object);
	uint32		place;

	if (!find_key(object, 0, count, key.data, key.len, &place))
		return false;
	container_child(object, count + place, value);
	return true;
}

#define FIND_MEMBER(object, name, value) find_member((object), (JsonKey) {(name), sizeof(name) - 1}, (value))

/*
 * The scope of a schema that has an "$id": another resource, or, in draft-07, an
 * anchor in the same one.
 */
static Scope *
scope_of_id(Compiler *compiler, const JsonbSlice *schema, const JsonbSlice *id, Scope *outer, const Place *place)
{
	Place		here = MEMBER_PLACE(place, "$id");
	Scope	   *scope = outer;
	JsonKey		url;

	if (!JBE_ISSTRING(id->type))
		bad_schema(&here, "\"$id\" must be a string");
	url = resolve_reference(outer->base, slice_key(id));
	if (url.len > URL_MAX)
		bad_schema(&here, "\"$id\" must be of at most %d bytes, with the one that it is relative to", URL_MAX);
	if (fragment_of(url).len > 0 && outer->draft != DRAFT_07)
		bad_schema(&here, "\"$id\" must have no fragment");
	if (without_fragment(slice_key(id)).len > 0)
	{
		scope = palloc(sizeof(Scope));
		*scope = *outer;
		scope->base = without_fragment(url);
		scope->root = *schema;
		add_target(scope->base, (JsonKey) {"", 0}, schema, scope);
	}
	if (fragment_of(url).len > 0)
		add_target(scope->base, fragment_of(url), schema, scope);
	return scope;
}

/* Read the schema that an object is into its node. */
static void
read_object(Compiler *compiler, SchemaNode *node, const JsonbSlice *schema, Scope *scope, const Place *place)
{
	const JsonbContainer *object = slice_container(schema);
	KeywordReader reader = {compiler, scope, node};
	JsonbSlice	value;
	Place		here = MEMBER_PLACE(place, "$ref");

	/* Beside a reference draft-07 sees nothing. */
	if (scope->draft == DRAFT_07 && FIND_MEMBER(object, "$ref", &value))
	{
		if (!JBE_ISSTRING(value.type))
			bad_schema(&here, "\"$ref\" must be a string");
		reader.place = keep_place(compiler, place, (JsonKey) {here.key, here.length}, 0);
		add_reference(&reader, slice_key(&value));
		return;
	}
	if (FIND_MEMBER(object, "$schema", &value) && draft_of_url(&value) != scope->draft)
	{
		here = (Place) MEMBER_PLACE(place, "$schema");
		bad_schema(&here, "\"$schema\" must name the draft of the whole document");
	}
	if (scope->draft != DRAFT_07 && FIND_MEMBER(object, "$anchor", &value) && JBE_ISSTRING(value.type))
		add_target(scope->base, slice_key(&value), schema, scope);
	read_keywords(&reader, object, place);
}

/* The node of a schema, which is read if it was not yet. */
SchemaNode *
read_schema(Compiler *compiler, const JsonbSlice *value, Scope *scope, const Place *place)
{
	PlaceEntry *entry;
	SchemaNode *node;
	JsonbSlice	id;
	bool		found;

	check_stack_depth();
	if (JBE_ISBOOL(value->type))
		return JBE_ISBOOL_TRUE(value->type) ? compiler->everything : compiler->nothing;
	if (!slice_is_object(value))
		bad_schema(place, "a schema must be an object or a boolean");

	entry = place_table_insert(compiler->places, value->data, &found);
	if (found)
		return entry->node;
	node = MemoryContextAllocZero(compiler->schema->context, sizeof(SchemaNode));
	node->types = TYPE_ANY;
	if (FIND_MEMBER(slice_container(value), "$id", &id) &&
		!(scope->draft == DRAFT_07 && FIND_MEMBER(slice_container(value), "$ref", &(JsonbSlice) {0})))
		scope = scope_of_id(compiler, value, &id, scope, place);
	entry->node = node;
	entry->scope = scope;
	compiler->nodes = lappend(compiler->nodes, node);
	read_object(compiler, node, value, scope, place);
	return node;
}

/* Read a whole document; answers its root's node. */
static SchemaNode *
read_document(Compiler *compiler, const SchemaSource *source)
{
	ReadDocument *document = palloc0(sizeof(ReadDocument));
	Scope	   *scope = palloc0(sizeof(Scope));
	Place		here = MEMBER_PLACE(NULL, "$schema");
	JsonbSlice	value;

	document->source = *source;
	document->urls = make_key_table();
	compiler->documents = lappend(compiler->documents, document);
	slice_of_jsonb(source->document, &scope->root);
	scope->document = document;
	scope->base = source->url;
	scope->draft = DRAFT_07;
	if (slice_is_object(&scope->root) && FIND_MEMBER(slice_container(&scope->root), "$schema", &value))
	{
		scope->draft = draft_of_url(&value);
		if (scope->draft == DRAFT_NONE)
			bad_schema(&here, "\"$schema\" must name draft-07, 2019-09 or 2020-12 by its URL");
	}
	add_target(source->url, (JsonKey) {"", 0}, &scope->root, scope);
	return read_schema(compiler, &scope->root, scope, NULL);
}

/* ---- references ---- */

/* A URL as it is told; what is too long is cut. */
static char *
shown_url(JsonKey url)
{
	bool		whole = url.len <= REFERENCE_SHOWN;

	return psprintf("%.*s%s", whole ? url.len : pg_mbcliplen(url.data, url.len, REFERENCE_SHOWN), url.data, whole ? "" : "...");
}

/*
 * A reference leads nowhere, in a document or, where that is NULL, to none: where
 * nobody keeps documents, or it is its own, that is wrong. Another one may come
 * to be there.
 */
static SchemaNode *
leads_nowhere(Compiler *compiler, const Reference *reference, const ReadDocument *document, const char *why)
{
	JsonKey		url = resolve_reference(reference->base, reference->written);
	MemoryContext old;
	UnmetReference *unmet;

	if (compiler->lookup == NULL || document == reference->document)
		bad_schema(reference->place, "\"$ref\" leads nowhere: %s %s", shown_url(url), why);
	old = MemoryContextSwitchTo(compiler->schema->context);
	unmet = palloc0(sizeof(UnmetReference));
	unmet->holder = pnstrdup(reference->document->source.url.data, reference->document->source.url.len);
	unmet->pointer = place_pointer(reference->place);
	unmet->url = shown_url(url);
	unmet->there = document != NULL;
	MemoryContextSwitchTo(old);
	*compiler->unmet_end = unmet;
	compiler->unmet_end = &unmet->next;
	return compiler->everything;
}

/* The document that is meant by a URL: with the keeper of documents, or built in. */
static bool
look_up(Compiler *compiler, JsonKey url, SchemaSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(compiler->schema->context);
	bool		found = compiler->lookup && compiler->lookup(compiler->keeper, url, source);

	if (!found && bytes_are(url.data, url.len, METASCHEMA_URL))
	{
		source->url = (JsonKey) {METASCHEMA_URL, strlen(METASCHEMA_URL)};
		source->document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(metaschema)));
		source->assert_formats = false;
		found = true;
	}
	MemoryContextSwitchTo(old);
	return found;
}

/* The document that is meant by a URL, read now or earlier; NULL: there is none. */
static ReadDocument *
find_document(Compiler *compiler, JsonKey url)
{
	bool		known;
	uint32		number = enter_entry(compiler->urls, url, &known)->count;
	SchemaSource source;

	if (!known && look_up(compiler, url, &source))
	{
		number = enter_entry(compiler->urls, source.url, &known)->count;
		if (number == 0)
		{
			read_document(compiler, &source);
			number = list_length(compiler->documents);
		}
		find_entry(compiler->urls, source.url)->count = number;
		find_entry(compiler->urls, url)->count = number;
	}
	return number > 0 ? list_nth(compiler->documents, number - 1) : NULL;
}

/* The scope of what lies at a place, if a schema was read there. */
static void
enter_scope(Compiler *compiler, const JsonbSlice *value, Scope **scope)
{
	PlaceEntry *entry = value->type == JENTRY_ISCONTAINER ? place_table_lookup(compiler->places, value->data) : NULL;

	if (entry && entry->scope)
		*scope = entry->scope;
}

/* Follow a JSON pointer from a resource's schema. */
static SchemaNode *
follow_pointer(Compiler *compiler, const Reference *reference, const Target *resource, JsonKey fragment)
{
	JsonbSlice	string = {JENTRY_ISSTRING, fragment.len, fragment.data};
	JsonbSlice	value = resource->schema;
	Scope	   *scope = resource->scope;
	const Place *place = NULL;
	JsonPointer pointer;

	if (pointer_problem(&string))
		return leads_nowhere(compiler, reference, scope->document, "has no JSON pointer");
	enter_scope(compiler, &value, &scope);
	for (pointer_init(&pointer, &string); !pointer_at_end(&pointer);)
	{
		MemoryContext old = MemoryContextSwitchTo(compiler->schema->context);
		JsonbSlice	token;
		uint32		index;

		pointer_next(&pointer, &token);
		MemoryContextSwitchTo(old);
		place = keep_place(compiler, place, slice_key(&token), 0);
		if (slice_is_object(&value))
		{
			if (!find_member(slice_container(&value), slice_key(&token), &value))
				return leads_nowhere(compiler, reference, scope->document, "is not there");
		}
		else if (slice_is_array(&value) && token_to_index(&token, &index) &&
				 index < JsonContainerSize(slice_container(&value)))
			container_child(slice_container(&value), index, &value);
		else
			return leads_nowhere(compiler, reference, scope->document, "is not there");
		enter_scope(compiler, &value, &scope);
	}
	if (!slice_is_object(&value) && !JBE_ISBOOL(value.type))
		return leads_nowhere(compiler, reference, scope->document, "is no schema");
	return read_schema(compiler, &value, scope, place);
}

/* The node to which a reference leads: in its own document, or in another. */
static SchemaNode *
follow_reference(Compiler *compiler, const Reference *reference)
{
	JsonKey		url = resolve_reference(reference->base, reference->written);
	ReadDocument *document = reference->document;
	Target	   *resource = find_target(document, without_fragment(url), (JsonKey) {"", 0});
	Target	   *anchor;
	Scope	   *scope;
	JsonKey		fragment;
	MemoryContext old;
	bool		decoded;

	if (resource == NULL)
	{
		document = find_document(compiler, without_fragment(url));
		if (document == NULL)
			return leads_nowhere(compiler, reference, NULL, "is not known here");
		resource = find_target(document, document->source.url, (JsonKey) {"", 0});
	}
	/* Places keep pieces of it. */
	old = MemoryContextSwitchTo(compiler->schema->context);
	decoded = decode_fragment(fragment_of(url), &fragment);
	MemoryContextSwitchTo(old);
	if (!decoded)
		return leads_nowhere(compiler, reference, document, "has no JSON pointer");
	if (fragment.len == 0 || fragment.data[0] == '/')
		return follow_pointer(compiler, reference, resource, fragment);
	scope = resource->scope;
	enter_scope(compiler, &resource->schema, &scope);
	anchor = find_target(document, scope->base, fragment);
	if (anchor == NULL)
		return leads_nowhere(compiler, reference, document, "is not there");
	return read_schema(compiler, &anchor->schema, anchor->scope, NULL);
}

/* Follow all references; more may come up on the way. */
static void
follow_references(Compiler *compiler)
{
	for (int i = 0; i < list_length(compiler->references); i++)
	{
		Reference  *reference = list_nth(compiler->references, i);

		CHECK_FOR_INTERRUPTS();
		reference->node->reference = follow_reference(compiler, reference);
		reference->node->reference->shared = true;
	}
}

/* ---- circles ---- */

enum
{
	MARK_NONE,
	MARK_ON_THE_WAY,
	MARK_DONE,
	MARK_SIMPLIFIED
};

/* A step of a walk through schemas of the same value. */
typedef struct Step
{
	const struct Step *before;
	const SchemaNode *from;
	bool		by_reference;
} Step;

static void walk(Compiler *compiler, SchemaNode *node, const Step *before);

/* The reference of a node. */
static const Reference *
reference_of(Compiler *compiler, const SchemaNode *node)
{
	ListCell   *cell;

	foreach(cell, compiler->references)
	{
		const Reference *reference = lfirst(cell);

		if (reference->node == node)
			return reference;
	}
	elog(ERROR, "no reference of this schema");
}

/* Refuse a circle, which ends where it began, for a reference of the root's document: that closes it. */
pg_noreturn static void
refuse_circle(Compiler *compiler, const SchemaNode *start, const Step *last)
{
	const Reference *closing = NULL;

	for (const Step *step = last; step; step = step->before)
	{
		const Reference *reference = step->by_reference ? reference_of(compiler, step->from) : NULL;

		if (reference && (reference->document == linitial(compiler->documents) || closing == NULL))
			closing = reference;
		if (step->from == start)
			break;
	}
	if (closing == NULL)
		elog(ERROR, "circle of schemas without a reference");
	bad_schema(closing->place, "\"$ref\" leads in a circle that does not descend into the document");
}

static void
walk_to(Compiler *compiler, const SchemaNode *from, SchemaNode *to, bool by_reference, const Step *before)
{
	Step		step = {before, from, by_reference};

	if (to == NULL || to->mark == MARK_DONE)
		return;
	if (to->mark == MARK_ON_THE_WAY)
		refuse_circle(compiler, to, &step);
	walk(compiler, to, &step);
}

static void
walk_list(Compiler *compiler, const SchemaNode *from, const NodeList *list, const Step *before)
{
	for (uint32 i = 0; i < list->count; i++)
		walk_to(compiler, from, list->nodes[i], false, before);
}

/* Walk on from a node to all that judge the same value. */
static void
walk(Compiler *compiler, SchemaNode *node, const Step *before)
{
	const Combination *combination = node->combination;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	node->mark = MARK_ON_THE_WAY;
	walk_to(compiler, node, node->reference, true, before);
	if (combination)
	{
		walk_list(compiler, node, &combination->all, before);
		walk_list(compiler, node, &combination->any, before);
		walk_list(compiler, node, &combination->one, before);
		walk_to(compiler, node, combination->not, false, before);
		walk_to(compiler, node, combination->condition, false, before);
		walk_to(compiler, node, combination->consequence, false, before);
		walk_to(compiler, node, combination->alternative, false, before);
	}
	for (uint32 i = 0; node->object && i < node->object->dependency_count; i++)
		walk_to(compiler, node, node->object->dependencies[i].node, false, before);
	node->mark = MARK_DONE;
}

/* Refuse references that lead in a circle without descending into the document. */
static void
refuse_circles(Compiler *compiler)
{
	ListCell   *cell;

	foreach(cell, compiler->references)
	{
		Reference  *reference = lfirst(cell);

		if (reference->node->mark == MARK_NONE)
			walk(compiler, reference->node, NULL);
	}
}

/* ---- what is simpler and says the same ---- */

/* Does a node have nothing but a reference? */
static bool
is_reference(const SchemaNode *node)
{
	return node->reference && node->types == TYPE_ANY && !node->values && !node->constant && !node->number &&
		!node->string && !node->array && !node->object && !node->combination;
}

/* The node itself, or the one to which bare references lead, all of them at once from now on; but false is told by whom it is held. */
static SchemaNode *
shortcut(SchemaNode *node)
{
	SchemaNode *end = node;

	while (end && is_reference(end) && !end->reference->nothing)
		end = end->reference;
	while (node != end)
	{
		SchemaNode *next = node->reference;

		node->reference = end;
		node = next;
	}
	return end;
}

static void
shorten_list(NodeList *list)
{
	for (uint32 i = 0; i < list->count; i++)
		list->nodes[i] = shortcut(list->nodes[i]);
}

static void
shorten_references(SchemaNode *node)
{
	Combination *combination = node->combination;
	ObjectRules *object = node->object;
	ArrayRules *array = node->array;

	node->reference = shortcut(node->reference);
	if (combination)
	{
		shorten_list(&combination->all);
		shorten_list(&combination->any);
		shorten_list(&combination->one);
		combination->not = shortcut(combination->not);
		combination->condition = shortcut(combination->condition);
		combination->consequence = shortcut(combination->consequence);
		combination->alternative = shortcut(combination->alternative);
	}
	if (object)
	{
		for (uint32 i = 0; i < object->member_count; i++)
			object->members[i].node = shortcut(object->members[i].node);
		for (uint32 i = 0; i < object->pattern_count; i++)
			object->patterns[i].node = shortcut(object->patterns[i].node);
		for (uint32 i = 0; i < object->dependency_count; i++)
			object->dependencies[i].node = shortcut(object->dependencies[i].node);
		object->additional = shortcut(object->additional);
		object->names = shortcut(object->names);
	}
	if (array)
	{
		shorten_list(&array->first);
		array->rest = shortcut(array->rest);
		array->contains = shortcut(array->contains);
	}
}

/* Do rules for objects ask nothing but that members are there? */
static bool
only_require(const ObjectRules *rules)
{
	for (uint32 i = 0; i < rules->member_count; i++)
		if (rules->members[i].node)
			return false;
	return !rules->patterns && !rules->additional && !rules->names &&
		!rules->dependencies && rules->min == 0 && rules->max == UNLIMITED;
}

/* Can two rules for objects, both there, be one? */
static bool
can_join_object_rules(const ObjectRules *a, const ObjectRules *b)
{
	return (uint64) a->member_count + b->member_count <= JOINT_MEMBERS_MAX && (only_require(a) || only_require(b));
}

/* Let rules for objects ask of members what others do as well, in the order of their keys: at most one has a schema for each. */
void
join_members(const Compiler *compiler, ObjectRules *rules, const MemberRule *more, uint32 count)
{
	const MemberRule *own = rules->members;
	uint32		own_count = rules->member_count;
	MemberRule *joint = MemoryContextAllocExtended(compiler->schema->context, sizeof(MemberRule) * ((Size) own_count + count + 1), MCXT_ALLOC_HUGE);

	rules->members = joint;
	for (uint32 i = 0, j = 0; i < own_count || j < count; joint++)
	{
		int			order = i == own_count ? 1 : j == count ? -1 :
		compare_keys(own[i].key.data, own[i].key.len, more[j].key.data, more[j].key.len);

		CHECK_FOR_INTERRUPTS();
		*joint = order <= 0 ? own[i] : more[j];
		if (order == 0)
		{
			joint->node = own[i].node ? own[i].node : more[j].node;
			joint->required = own[i].required || more[j].required;
		}
		i += order <= 0;
		j += order >= 0;
	}
	rules->member_count = joint - rules->members;
}

/* Rules for objects that ask what both of two do, of which one only requires. */
static ObjectRules *
join_object_rules(Compiler *compiler, const ObjectRules *a, const ObjectRules *b)
{
	ObjectRules *joint = MemoryContextAlloc(compiler->schema->context, sizeof(ObjectRules));
	const ObjectRules *other = only_require(a) ? a : b;

	*joint = other == a ? *b : *a;
	join_members(compiler, joint, other->members, other->member_count);
	return joint;
}

/* One of two things where at most one is there, or both are the same. */
#define IS_FREE(a, b) ((a) == NULL || (b) == NULL || (a) == (b))
#define EITHER(a, b) ((a) ? (a) : (b))

/* Does at most one of two combinations have an "if", or have both the same, with what follows from it? */
static bool
condition_is_free(const Combination *a, const Combination *b)
{
	return !a->condition || !b->condition ||
		(a->condition == b->condition && a->consequence == b->consequence && a->alternative == b->alternative);
}

/* Can two combinations be one? */
static bool
can_join(const Combination *a, const Combination *b)
{
	return a == NULL || b == NULL ||
		(IS_FREE(a->any.nodes, b->any.nodes) && IS_FREE(a->one.nodes, b->one.nodes) && IS_FREE(a->not, b->not) &&
		 condition_is_free(a, b) && a->all.count + b->all.count <= JOINT_MAX);
}

static Combination *
join_combinations(Compiler *compiler, const Combination *a, const Combination *b)
{
	Combination *joint = MemoryContextAlloc(compiler->schema->context, sizeof(Combination));

	*joint = a->condition ? *a : *b;
	joint->any = a->any.nodes ? a->any : b->any;
	joint->one = a->one.nodes ? a->one : b->one;
	joint->not = EITHER(a->not, b->not);
	joint->all.count = 0;
	joint->all.nodes = MemoryContextAlloc(compiler->schema->context, sizeof(SchemaNode *) * (a->all.count + b->all.count + 1));
	for (uint32 i = 0; i < a->all.count + b->all.count; i++)
	{
		SchemaNode *node = i < a->all.count ? a->all.nodes[i] : b->all.nodes[i - a->all.count];
		uint32		same = 0;

		while (same < joint->all.count && joint->all.nodes[same] != node)
			same++;
		if (same == joint->all.count)
			joint->all.nodes[joint->all.count++] = node;
	}
	return joint;
}

/* Does a combination say nothing? */
static bool
is_empty(const Combination *combination)
{
	return combination->all.count == 0 && combination->any.count == 0 && combination->one.count == 0 &&
		!combination->not && !combination->condition;
}

/* A combination, perhaps none, with more in its "allOf". */
static Combination *
with_all(Compiler *compiler, const Combination *combination, const NodeList *more)
{
	Combination *result = MemoryContextAllocZero(compiler->schema->context, sizeof(Combination));
	uint32		count = combination ? combination->all.count : 0;

	if (combination)
		*result = *combination;
	result->all.nodes = MemoryContextAllocExtended(compiler->schema->context, sizeof(SchemaNode *) * ((Size) count + more->count), MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < count; i++)
		result->all.nodes[i] = combination->all.nodes[i];
	for (uint32 i = 0; i < more->count; i++)
		result->all.nodes[count + i] = more->nodes[i];
	result->all.count = count + more->count;
	return result;
}

/* Let a node ask what another one does as well, if it has room for that; nobody can tell them apart. */
static bool
absorb(Compiler *compiler, SchemaNode *node, const SchemaNode *other)
{
	if (other->nothing || (node->types != other->types && node->types != TYPE_ANY && other->types != TYPE_ANY) ||
		!IS_FREE(node->values, other->values) || !IS_FREE(node->constant, other->constant) ||
		!IS_FREE(node->reference, other->reference) || !IS_FREE(node->number, other->number) ||
		!IS_FREE(node->string, other->string) || !IS_FREE(node->array, other->array) ||
		!(IS_FREE(node->object, other->object) || can_join_object_rules(node->object, other->object)) ||
		!can_join(node->combination, other->combination))
		return false;
	node->types &= other->types;
	node->values = EITHER(node->values, other->values);
	node->constant = EITHER(node->constant, other->constant);
	node->reference = EITHER(node->reference, other->reference);
	node->number = EITHER(node->number, other->number);
	node->string = EITHER(node->string, other->string);
	node->array = EITHER(node->array, other->array);
	node->object = IS_FREE(node->object, other->object) ? EITHER(node->object, other->object) :
		join_object_rules(compiler, node->object, other->object);
	node->combination = IS_FREE(node->combination, other->combination) ? EITHER(node->combination, other->combination) :
		join_combinations(compiler, node->combination, other->combination);
	return true;
}

/*
 * Let a node absorb what stands in its "allOf": whole vocabularies say there, in
 * a schema for each, which members are required.
 */
static void
simplify(Compiler *compiler, SchemaNode *node)
{
	NodeList	all = {0};
	uint32		kept = 0;

	if (node->mark == MARK_SIMPLIFIED)
		return;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	node->mark = MARK_SIMPLIFIED;
	if (node->combination)
	{
		all = node->combination->all;
		node->combination->all = (NodeList) {0};
		if (is_empty(node->combination))
			node->combination = NULL;
	}
	for (uint32 i = 0; i < all.count; i++)
	{
		simplify(compiler, all.nodes[i]);
		if (!absorb(compiler, node, all.nodes[i]))
			all.nodes[kept++] = all.nodes[i];
	}
	all.count = kept;
	if (kept > 0)
		node->combination = with_all(compiler, node->combination, &all);
	node->anything = !node->nothing && !node->reference && node->types == TYPE_ANY && !node->values &&
		!node->constant && !node->number && !node->string && !node->array && !node->object && !node->combination;
}

/* Make a schema of a document; "lookup" is NULL where nobody keeps others. */
Schema *
compile_schema(const SchemaSource *source, MemoryContext parent, SchemaLookup lookup, void *keeper)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac schema", ALLOCSET_DEFAULT_SIZES);
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac schema compiler", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	Compiler	compiler = {0};
	SchemaSource root = *source;
	Jsonb	   *copy;
	bool		found;
	ListCell   *cell;

	compiler.schema = MemoryContextAllocZero(context, sizeof(Schema));
	compiler.schema->context = context;
	compiler.schema->automaton_budget = AUTOMATA_MAX;
	compiler.unmet_end = &compiler.schema->unmet;
	compiler.lookup = lookup;
	compiler.keeper = keeper;
	compiler.urls = make_key_table();
	compiler.places = place_table_create(work, 256, NULL);
	compiler.everything = MemoryContextAllocZero(context, sizeof(SchemaNode));
	compiler.everything->types = TYPE_ANY;
	compiler.everything->anything = true;
	compiler.nothing = MemoryContextAllocZero(context, sizeof(SchemaNode));
	compiler.nothing->nothing = true;

	copy = MemoryContextAllocExtended(context, VARSIZE(source->document), MCXT_ALLOC_HUGE);
	memcpy(copy, source->document, VARSIZE(source->document));
	compiler.schema->document = root.document = copy;
	if (root.url.len > 0)
		enter_entry(compiler.urls, root.url, &found)->count = 1;
	else
		root.url.data = "";
	compiler.schema->root = read_document(&compiler, &root);
	follow_references(&compiler);
	refuse_circles(&compiler);
	foreach(cell, compiler.nodes)
		shorten_references(lfirst(cell));
	foreach(cell, compiler.nodes)
		simplify(&compiler, lfirst(cell));
	compiler.schema->root = shortcut(compiler.schema->root);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	/* A schema that is refused goes with whoever asked. */
	MemoryContextSetParent(context, parent);
	return compiler.schema;
}
