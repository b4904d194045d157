/*
 * change/client_patch.c
 *		The patches that clients send for an item, as they really send them:
 *		see change/client_patch.h.
 *
 * Tolerated beyond the RFCs, because clients in use do it: the operations
 * wrapped in an object; `from_` for `from`; a `remove p` doubled by an
 * `add p null` behind it, or further on, which means remove; an alternate added
 * to an asset that has none yet.
 */
#include "postgres.h"

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

/* May a change at this path alter what stands at a pointer? Nothing is missed. */
static bool
path_touches(const JsonbSlice *path, const char *pointer)
{
	return path->type == JENTRY_ISSTRING && memcmp(path->data, pointer, Min((size_t) path->len, strlen(pointer))) == 0;
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

/* May a patch alter what stands at a pointer? It may also not. */
bool
patch_touches(const Patch *patch, const char *pointer)
{
	if (patch->kind == PATCH_MERGE)
		return merge_patch_touches(patch->body, pointer);
	for (uint32 i = 0; i < patch->operations->count; i++)
	{
		const Operation *operation = &patch->operations->operations[i];

		if (path_touches(&operation->path, pointer) || path_touches(&operation->from, pointer))
			return true;
	}
	return false;
}

/* Is an operation `add p null`? */
static bool
adds_null(const Operation *operation)
{
	return operation->kind == OP_ADD && operation->value.type == JENTRY_ISNULL;
}

/* Order operations by their paths, and at each path as they are. */
static int
compare_operations(const void *a, const void *b, void *arg)
{
	const Operation *oa = *(Operation *const *) a;
	const Operation *ob = *(Operation *const *) b;
	int			result = compare_bytes(oa->path.data, oa->path.len, ob->path.data, ob->path.len);

	return result ? result : oa->index < ob->index ? -1 : 1;
}

/* Is there an `add p null` after a remove, which may be of p? */
static bool
may_double_removes(const JsonPatch *patch)
{
	bool		removed = false;

	for (uint32 i = 0; i < patch->count; i++)
	{
		if (removed && adds_null(&patch->operations[i]))
			return true;
		removed = removed || patch->operations[i].kind == OP_REMOVE;
	}
	return false;
}

/* Take out what only doubles a remove: `add p null` after a `remove p`, with no write at p between. */
static void
take_out_doubled_removes(JsonPatch *patch)
{
	Operation **sorted;
	bool		removed = false;

	if (!may_double_removes(patch))
		return;
	sorted = palloc_extended(sizeof(Operation *) * patch->count, MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < patch->count; i++)
		sorted[i] = &patch->operations[i];
	qsort_interruptible(sorted, patch->count, sizeof(Operation *), compare_operations, NULL);
	for (uint32 i = 0; i < patch->count; i++)
	{
		if (i > 0 && !slices_equal(&sorted[i]->path, &sorted[i - 1]->path))
			removed = false;
		if (removed && adds_null(sorted[i]))
			sorted[i]->kind = OP_NOTHING;
		if (sorted[i]->kind != OP_TEST)
			removed = sorted[i]->kind == OP_REMOVE;
	}
	pfree(sorted);
}

/* Read a patch, or refuse it for its form, whatever the item, or the collection. */
Patch *
read_patch(Jsonb *submitted, const char *table)
{
	Patch	   *patch = palloc0(sizeof(Patch));
	Jsonb	   *operations = operations_of(submitted);
	JsonbValue	value;

	if (operations)
	{
		patch->kind = PATCH_OPERATIONS;
		patch->operations = read_json_patch(operations, table, "from_");
		take_out_doubled_removes(patch->operations);
		return patch;
	}
	if (document_get(&submitted->root, &value, JSON_PATH(JSON_KEY("patch"))) &&
		value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_PATCH), errtable_of(table),
				 errmsg("bad patch: its operations stand in a member \"patch\""),
				 errhint("Send the array of operations itself.")));
	patch->body = submitted;
	return patch;
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
	if (count < 4 || !pointer_at_end(&pointer) || !bytes_are(tokens[0].data, tokens[0].len, "assets") ||
		!bytes_are(tokens[2].data, tokens[2].len, "alternate"))
		return;
	for (int i = 0; i < 3; i++)
		keys[i] = (JsonKey) {tokens[i].data, tokens[i].len};
	empty.type = jbvBinary;
	empty.val.binary.len = sizeof(empty_object);
	empty.val.binary.data = (JsonbContainer *) &empty_object;
	if (document_has(edit, 2, keys) && !document_has(edit, 3, keys))
		document_set(edit, &empty, 3, keys);
}

/* Drop from a merge patch nulls for members that STAC requires, or refuse it for them. Operations may be all that is left. */
void
settle_required_members(Patch *patch, bool ignore_nulls)
{
	DocumentEdit *edit = NULL;

	if (patch->kind != PATCH_MERGE)
		return;
	for (int i = 0; i < (int) lengthof(required_members); i++)
	{
		JsonKey		key = {required_members[i], strlen(required_members[i])};
		JsonbValue	value;

		if (!document_get(&patch->body->root, &value, 1, &key) || value.type != jbvNull)
			continue;
		if (!ignore_nulls)
			ereport(ERROR,
					(errproblem(PROBLEM_BAD_PATCH), errtable_of("item"),
					 errmsg("bad merge patch: null removes \"%s\", which every item must have", required_members[i]),
					 errdetail_pointer(psprintf("/%s", required_members[i]), "must not be null"),
					 errhint("Leave out what you do not change; for a client that cannot, set null_members of the collection to ignore.")));
		if (edit == NULL)
			edit = document_edit(patch->body);
		document_remove(edit, 1, &key);
	}
	if (edit)
		*patch = *read_patch(document_finish(edit), "item");
}

/* What a patch makes of a document. */
Jsonb *
apply_patch(Jsonb *document, const Patch *patch, uint64 max_text)
{
	if (patch->kind == PATCH_MERGE)
		return merge_patch(document, patch->body);
	return json_patch(document, patch->operations, make_alternate, max_text);
}
