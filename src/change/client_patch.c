/*
 * change/client_patch.c
 *		The patches that clients send for an item, as they really send them:
 *		see change/client_patch.h.
 *
 * Tolerated beyond the RFCs, because clients in use do it: the operations
 * wrapped in an object; a `remove p` doubled by an `add p null` behind it, or
 * further on, which means remove; an alternate added to an asset that has none
 * yet.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"
#include "change/client_patch.h"
#include "json/edit.h"
#include "json/pointer.h"
#include "json/slice.h"
#include "json/writer.h"

/* Members that STAC requires, which no merge patch may null. */
static const char *const required_members[] = {
	"type", "stac_version", "stac_extensions", "id", "collection",
	"geometry", "bbox", "properties", "links", "assets"
};

PG_FUNCTION_INFO_V1(esgf_apply_patch);

/* Is a string just this? */
static bool
is_string(const JsonbValue *string, const char *text)
{
	return (size_t) string->val.string.len == strlen(text) && memcmp(string->val.string.val, text, strlen(text)) == 0;
}

/* The operations of a JSON patch; NULL if it is a merge patch. */
static Jsonb *
operations_of(Jsonb *patch)
{
	JsonbValue	operations;

	if (!JB_ROOT_IS_OBJECT(patch))
		return patch;
	if (JB_ROOT_COUNT(patch) != 1 ||
		!document_get(&patch->root, &operations, JSON_PATH(JSON_KEY("operations"))))
		return NULL;
	return JsonbValueToJsonb(&operations);
}

/* Refuse a patch whose form is wrong, whatever the item, or the collection. */
void
check_patch_form(Jsonb *patch, const char *table)
{
	Jsonb	   *operations = operations_of(patch);
	JsonbValue	value;

	if (operations)
		check_json_patch(operations, table);
	else if (document_get(&patch->root, &value, JSON_PATH(JSON_KEY("patch"))) &&
			 value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_PATCH), errtable_of(table),
				 errmsg("bad patch: its operations stand in a member \"patch\""),
				 errhint("Send the array of operations itself.")));
}

/* Get a member of an operation that is a string. */
static bool
operation_string(const JsonbValue *operation, const char *name, JsonbValue *value)
{
	JsonKey		key = {name, strlen(name)};

	return document_get(operation->val.binary.data, value, 1, &key) && value->type == jbvString;
}

/* May a change at this path alter what stands at a pointer? Nothing is missed. */
static bool
path_touches(const JsonbValue *path, const char *pointer)
{
	return memcmp(path->val.string.val, pointer, Min((size_t) path->val.string.len, strlen(pointer))) == 0;
}

/* Does a merge patch say something at a pointer, or above it? */
static bool
merge_patch_touches(const Jsonb *patch, const char *pointer)
{
	JsonbSlice	string = {JENTRY_ISSTRING, strlen(pointer), pointer};
	JsonPointer steps;
	const JsonbContainer *object = &patch->root;

	pointer_init(&steps, &string);
	while (!pointer_at_end(&steps))
	{
		JsonbSlice	token;
		JsonKey		key;
		JsonbValue	value;

		pointer_next(&steps, &token);
		key = (JsonKey) {token.data, token.len};
		if (!document_get(object, &value, 1, &key))
			return false;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			return true;
		object = value.val.binary.data;
	}
	return true;
}

/* May a patch of proper form alter what stands at a pointer? It may also not. */
bool
patch_touches(Jsonb *patch, const char *pointer)
{
	Jsonb	   *operations = operations_of(patch);
	JsonbIterator *iterator;
	JsonbValue	value;
	JsonbValue	path;

	if (operations == NULL)
		return merge_patch_touches(patch, pointer);
	iterator = JsonbIteratorInit(&operations->root);
	JsonbIteratorNext(&iterator, &value, true);
	while (JsonbIteratorNext(&iterator, &value, true) == WJB_ELEM)
	{
		if (operation_string(&value, "path", &path) && path_touches(&path, pointer))
			return true;
		if (operation_string(&value, "from", &path) && path_touches(&path, pointer))
			return true;
	}
	return false;
}

/* What an operation does to the value at its path, as far as a doubled remove is concerned. */
typedef enum Effect
{
	EFFECT_REMOVES,
	EFFECT_NULLS,				/* `add p null` */
	EFFECT_WRITES,
	EFFECT_NONE
} Effect;

typedef struct PathEffect
{
	JsonbValue	path;			/* points into the patch */
	uint32		index;			/* of the operation */
	Effect		effect;
} PathEffect;

/* Find out what an operation of proper form does at its path. */
static Effect
operation_effect(const JsonbValue *operation)
{
	JsonbValue	op;
	JsonbValue	value;

	operation_string(operation, "op", &op);
	if (is_string(&op, "remove"))
		return EFFECT_REMOVES;
	if (is_string(&op, "test"))
		return EFFECT_NONE;
	if (is_string(&op, "add") &&
		document_get(operation->val.binary.data, &value, JSON_PATH(JSON_KEY("value"))) && value.type == jbvNull)
		return EFFECT_NULLS;
	return EFFECT_WRITES;
}

/* Order effects by their paths, and at each path as the operations are. */
static int
compare_effects(const void *a, const void *b, void *arg)
{
	const PathEffect *ea = a;
	const PathEffect *eb = b;
	int			result = compare_bytes(ea->path.val.string.val, ea->path.val.string.len,
									   eb->path.val.string.val, eb->path.val.string.len);

	return result ? result : ea->index < eb->index ? -1 : 1;
}

/* The operations that only double a remove: `add p null` after a `remove p`, with no write at p between. */
static Bitmapset *
find_doubled_removes(PathEffect *effects, uint32 count)
{
	Bitmapset  *doubled = NULL;
	bool		removed = false;

	qsort_interruptible(effects, count, sizeof(PathEffect), compare_effects, NULL);
	for (uint32 i = 0; i < count; i++)
	{
		if (i > 0 && !values_equal(&effects[i].path, &effects[i - 1].path))
			removed = false;
		if (effects[i].effect == EFFECT_NULLS && removed)
			doubled = bms_add_member(doubled, effects[i].index);
		if (effects[i].effect != EFFECT_NONE)
			removed = effects[i].effect == EFFECT_REMOVES;
	}
	return doubled;
}

/* The operations without those that only double a remove; often the same array. */
static Jsonb *
without_doubled_removes(Jsonb *operations)
{
	uint32		count = JB_ROOT_COUNT(operations);
	PathEffect *effects = palloc_extended(sizeof(PathEffect) * Max(1, count), MCXT_ALLOC_HUGE);
	Bitmapset  *doubled;
	JsonbIterator *iterator = JsonbIteratorInit(&operations->root);
	JsonbValue	operation;
	uint32		i = 0;

	JsonbIteratorNext(&iterator, &operation, true);
	for (; JsonbIteratorNext(&iterator, &operation, true) == WJB_ELEM; i++)
	{
		CHECK_FOR_INTERRUPTS();
		operation_string(&operation, "path", &effects[i].path);
		effects[i].index = i;
		effects[i].effect = operation_effect(&operation);
	}
	doubled = find_doubled_removes(effects, count);
	pfree(effects);
	return doubled ? array_without(&operations->root, doubled) : operations;
}

/* Make the `alternate` of an asset that gets its first entry, at "/assets/<key>/alternate/<node>". */
static void
make_alternate(DocumentEdit *edit, const char *path, int len)
{
	static const uint32 empty_object = JB_FOBJECT;
	JsonPointer pointer = {path, path + len};
	JsonbSlice	tokens[4];
	JsonKey		keys[3];
	JsonbValue	empty;
	int			count;

	for (count = 0; count < 4 && !pointer_at_end(&pointer); count++)
		pointer_next(&pointer, &tokens[count]);
	if (count < 4 || !pointer_at_end(&pointer) || tokens[0].len != 6 || memcmp(tokens[0].data, "assets", 6) != 0 ||
		tokens[2].len != 9 || memcmp(tokens[2].data, "alternate", 9) != 0)
		return;
	for (int i = 0; i < 3; i++)
		keys[i] = (JsonKey) {tokens[i].data, tokens[i].len};
	empty.type = jbvBinary;
	empty.val.binary.len = sizeof(empty_object);
	empty.val.binary.data = (JsonbContainer *) &empty_object;
	if (document_has(edit, 2, keys) && !document_has(edit, 3, keys))
		document_set(edit, &empty, 3, keys);
}

/* A merge patch without nulls for members that STAC requires, or refused for them. */
static Jsonb *
without_required_nulls(Jsonb *patch, bool ignore_null_members)
{
	DocumentEdit *edit = NULL;

	for (int i = 0; i < (int) lengthof(required_members); i++)
	{
		JsonKey		key = {required_members[i], strlen(required_members[i])};
		JsonbValue	value;

		if (!document_get(&patch->root, &value, 1, &key) || value.type != jbvNull)
			continue;
		if (!ignore_null_members)
			ereport(ERROR,
					(errproblem(PROBLEM_BAD_PATCH), errtable_of("item"),
					 errmsg("bad merge patch: null removes \"%s\", which every item must have", required_members[i]),
					 errdetail_pointer(psprintf("/%s", required_members[i]), "must not be null"),
					 errhint("Leave out what you do not change; for a client that cannot, set null_members of the collection to ignore.")));
		if (edit == NULL)
			edit = document_edit(patch);
		document_remove(edit, 1, &key);
	}
	return edit ? document_finish(edit) : patch;
}

/* What a patch, of proper form and as its collection takes it, is to be. */
Jsonb *
prepare_patch(Jsonb *patch, bool ignore_null_members)
{
	Jsonb	   *operations = operations_of(patch);

	return operations ? without_doubled_removes(operations) : without_required_nulls(patch, ignore_null_members);
}

/* What a prepared patch makes of an item's document. */
Jsonb *
apply_patch(Jsonb *document, Jsonb *patch, uint64 max_text)
{
	if (JB_ROOT_IS_OBJECT(patch))
		return merge_patch(document, patch);
	return json_patch(document, patch, "item", make_alternate, max_text);
}

/* apply_patch(document, patch): what a patch makes of a collection's document. */
Datum
esgf_apply_patch(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = PG_GETARG_JSONB_P(0);
	Jsonb	   *patch = PG_GETARG_JSONB_P(1);
	Jsonb	   *operations;

	check_patch_form(patch, "collection");
	operations = operations_of(patch);
	if (operations == NULL)
		PG_RETURN_JSONB_P(merge_patch(document, patch));
	PG_RETURN_JSONB_P(json_patch(document, without_doubled_removes(operations), "collection", make_alternate, COLLECTION_DOCUMENT_MAX));
}
