/*
 * json/json_patch.c
 *		RFC 6902, JSON patch: see json/json_patch.h.
 *
 * The form of all operations is checked before the first is applied. They are
 * applied to a tree of changes, which is written once; an error leaves nothing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"
#include "json/json_patch.h"
#include "json/pointer.h"
#include "json/text_size.h"
#include "json/tree.h"

#define DETAIL_CHARACTERS	200

/* The type of a member that an operation does not have: no such entry. */
#define ABSENT				JENTRY_TYPEMASK

static const char *const kind_names[] = {
	[OP_ADD] = "add",
	[OP_REMOVE] = "remove",
	[OP_REPLACE] = "replace",
	[OP_MOVE] = "move",
	[OP_COPY] = "copy",
	[OP_TEST] = "test"
};

/* Append a member of an operation to the detail, cut to a readable length. */
static void
describe_member(StringInfo detail, const char *name, const JsonbSlice *member)
{
	int			len;

	if (member->type != JENTRY_ISSTRING)
		return;
	len = pg_mbcharcliplen(member->data, member->len, DETAIL_CHARACTERS);
	appendStringInfo(detail, "%s %s \"%.*s%s\"", detail->data[detail->len - 1] == ':' ? "" : ",",
					 name, len, member->data, len < (int) member->len ? "..." : "");
}

/* Name an operation for an error's detail. */
static char *
describe_operation(const Operation *operation)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail, "Operation %u:", operation->index);
	describe_member(&detail, "op", &operation->op);
	describe_member(&detail, "path", &operation->path);
	describe_member(&detail, "from", &operation->from);
	if (detail.data[detail.len - 1] == ':')
		detail.data[detail.len - 1] = '\0';
	return without_controls(psprintf("%s.", detail.data));
}

/* A pointer of an operation, cut to a readable length, but not within "~0" or "~1". */
static char *
readable_pointer(const JsonbSlice *pointer)
{
	int			len = pg_mbcharcliplen(pointer->data, pointer->len, DETAIL_CHARACTERS);

	if (len == (int) pointer->len)
		return pnstrdup(pointer->data, len);
	if (pointer->data[len - 1] == '~')
		len--;
	return psprintf("%.*s...", len, pointer->data);
}

/* Refuse a patch for its form. */
pg_noreturn static void
bad_patch(const Operation *operation, const char *problem)
{
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_PATCH), errtable_of(operation->patch->table),
			 errmsg("bad JSON patch: %s", problem),
			 errdetail_internal("%s", describe_operation(operation))));
}

/* Refuse a patch for the state of the document, at one of the operation's pointers. */
pg_noreturn static void
does_not_apply(const Operation *operation, const JsonbSlice *path, const char *problem)
{
	ProblemList problems = {0};

	add_pointed_problem(&problems, readable_pointer(path), problem);
	ereport(ERROR,
			(errproblem(PROBLEM_PATCH_DOES_NOT_APPLY), errtable_of(operation->patch->table),
			 errmsg("JSON patch does not apply: %s", problem),
			 errdetail_beside(&problems, describe_operation(operation))));
}

/* Read the members of an operation that mean something. */
static void
read_operation(const JsonbSlice *source, Operation *operation)
{
	MemberCursor member;

	operation->op.type = operation->path.type = ABSENT;
	operation->from.type = operation->value.type = ABSENT;
	if (!slice_is_object(source))
		bad_patch(operation, "an operation is an object");

	members_init(&member, slice_container(source));
	while (members_next(&member))
	{
		if (slice_is_string(&member.key, "op"))
			operation->op = member.value;
		else if (slice_is_string(&member.key, "path"))
			operation->path = member.value;
		else if (slice_is_string(&member.key, "from") ||
				 (operation->patch->from_alias && operation->from.type == ABSENT &&
				  slice_is_string(&member.key, operation->patch->from_alias)))
			operation->from = member.value;
		else if (slice_is_string(&member.key, "value"))
			operation->value = member.value;
	}

	if (operation->op.type != JENTRY_ISSTRING)
		bad_patch(operation, "an operation has a string \"op\"");
	for (int kind = 0; kind < (int) lengthof(kind_names); kind++)
	{
		if (slice_is_string(&operation->op, kind_names[kind]))
		{
			operation->kind = kind;
			return;
		}
	}
	bad_patch(operation, "\"op\" is none of add, remove, replace, move, copy, test");
}

/* Check a member that must be a pointer. */
static void
check_pointer(const Operation *operation, const JsonbSlice *member, const char *missing)
{
	const char *problem;

	if (member->type != JENTRY_ISSTRING)
		bad_patch(operation, missing);
	problem = pointer_problem(member);
	if (problem != NULL)
		bad_patch(operation, problem);
}

/* Check all that can be known of an operation without the document. */
static void
check_operation(const Operation *operation)
{
	const JsonbSlice *path = &operation->path;
	const JsonbSlice *from = &operation->from;

	check_pointer(operation, path, "an operation has a string \"path\"");
	if (operation->kind == OP_MOVE || operation->kind == OP_COPY)
		check_pointer(operation, from, "\"move\" and \"copy\" have a string \"from\"");
	else if (operation->kind != OP_REMOVE && operation->value.type == ABSENT)
		bad_patch(operation, "\"add\", \"replace\" and \"test\" have a \"value\"");

	if (operation->kind == OP_MOVE && path->len > from->len && path->data[from->len] == '/' &&
		memcmp(path->data, from->data, from->len) == 0)
		bad_patch(operation, "a value cannot be moved into itself");
}

/* The place of the child that a token means, which must be there. */
static uint32
find_place(const Operation *operation, const JsonbSlice *path, const JsonNode *node, const JsonbSlice *token)
{
	uint32		place;

	if (node_is_array(node))
	{
		if (token_is_end(token))
			place = node_count(node);
		else if (!token_to_index(token, &place))
			does_not_apply(operation, path, "an array has no such index");
		if (place >= node_count(node))
			does_not_apply(operation, path, "the array index is out of bounds");
	}
	else if (!node_is_object(node) || !node_find(node, token->data, token->len, &place))
		does_not_apply(operation, path, "there is nothing at this path");
	return place;
}

/* The value at a pointer, to read only. */
static JsonNode
read_path(const JsonTree *tree, const Operation *operation, const JsonbSlice *path)
{
	JsonNode	node = tree->root;
	JsonPointer pointer;
	JsonbSlice	token;

	for (pointer_init(&pointer, path); !pointer_at_end(&pointer);)
	{
		pointer_next(&pointer, &token);
		node = node_child(&node, find_place(operation, path, &node, &token));
	}
	return node;
}

/* The container around a pointer's place, to be changed, and the last token. */
static JsonNode *
open_parent(JsonTree *tree, const Operation *operation, const JsonbSlice *path, JsonbSlice *last)
{
	JsonNode   *node = &tree->root;
	JsonPointer pointer;

	pointer_init(&pointer, path);
	for (pointer_next(&pointer, last); !pointer_at_end(&pointer); pointer_next(&pointer, last))
		node = node_change(tree, node, find_place(operation, path, node, last));
	return node;
}

/* Put a value where there is none yet, or in place of a member. */
static void
add_value(JsonTree *tree, const Operation *operation, const JsonNode *value, AddHook before_add)
{
	JsonNode   *parent;
	JsonbSlice	token;
	uint32		place;

	if (before_add)
		before_add(tree, operation->path.data, operation->path.len);
	tree_grow(tree, value, operation->path.len);
	if (operation->path.len == 0)
	{
		tree->root = *value;
		return;
	}

	parent = open_parent(tree, operation, &operation->path, &token);
	if (node_is_array(parent))
	{
		if (token_is_end(&token))
			place = node_count(parent);
		else if (!token_to_index(&token, &place))
			does_not_apply(operation, &operation->path, "an array has no such index");
		else if (place > node_count(parent))
			does_not_apply(operation, &operation->path, "the array index is out of bounds");
		node_insert(tree, parent, place, NULL, value);
	}
	else if (!node_is_object(parent))
		does_not_apply(operation, &operation->path, "there is nothing at this path");
	else if (node_find(parent, token.data, token.len, &place))
		*node_change(tree, parent, place) = *value;
	else
		node_insert(tree, parent, place, &token, value);
}

/* Take the value away that stands at a pointer. */
static void
remove_value(JsonTree *tree, const Operation *operation, const JsonbSlice *path)
{
	JsonNode   *parent;
	JsonbSlice	token;

	if (path->len == 0)
		does_not_apply(operation, path, "the whole document cannot be removed");
	parent = open_parent(tree, operation, path, &token);
	node_remove(tree, parent, find_place(operation, path, parent, &token));
}

/* Put a value in the place of the one that stands there. */
static void
replace_value(JsonTree *tree, const Operation *operation, const JsonNode *value)
{
	JsonNode   *parent;
	JsonbSlice	token;

	tree_grow(tree, value, operation->path.len);
	if (operation->path.len == 0)
	{
		tree->root = *value;
		return;
	}
	parent = open_parent(tree, operation, &operation->path, &token);
	*node_change(tree, parent, find_place(operation, &operation->path, parent, &token)) = *value;
}

/* Do what one operation says. */
static void
apply_operation(JsonTree *tree, const Operation *operation, AddHook before_add)
{
	JsonNode	value;

	switch (operation->kind)
	{
		case OP_ADD:
			value = node_of_slice(&operation->value);
			add_value(tree, operation, &value, before_add);
			break;
		case OP_REMOVE:
			remove_value(tree, operation, &operation->path);
			break;
		case OP_REPLACE:
			value = node_of_slice(&operation->value);
			replace_value(tree, operation, &value);
			break;
		case OP_MOVE:
			/* From the root it can only go to the root. */
			if (operation->from.len == 0)
				break;
			value = read_path(tree, operation, &operation->from);
			remove_value(tree, operation, &operation->from);
			add_value(tree, operation, &value, before_add);
			break;
		case OP_COPY:
			value = read_path(tree, operation, &operation->from);
			if (value.opened != NULL)
				tree_share(tree);
			add_value(tree, operation, &value, before_add);
			break;
		case OP_TEST:
			value = read_path(tree, operation, &operation->path);
			if (!node_equals(&value, &operation->value))
				does_not_apply(operation, &operation->path, "the value at this path differs");
			break;
		case OP_NOTHING:
			break;
	}
}

/* Read a patch whose form is right, whatever the document. */
JsonPatch *
read_json_patch(const Jsonb *operations, const char *table, const char *from_alias)
{
	JsonPatch  *patch = palloc(sizeof(JsonPatch));
	JsonbCursor cursor;
	JsonbSlice	source;

	if (!JB_ROOT_IS_ARRAY(operations) || JB_ROOT_IS_SCALAR(operations))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_PATCH), errtable_of(table),
				 errmsg("bad JSON patch: a patch is an array of operations"),
				 JB_ROOT_IS_OBJECT(operations) ?
				 errhint("An object is a JSON merge patch, for jsonb_merge_patch().") :
				 errhint("An operation is {\"op\": ..., \"path\": ..., \"value\": ...}, as RFC 6902 has it.")));

	patch->table = table;
	patch->from_alias = from_alias;
	patch->count = JB_ROOT_COUNT(operations);
	patch->operations = palloc_extended(sizeof(Operation) * Max(1, patch->count), MCXT_ALLOC_HUGE);
	cursor_init(&cursor, &operations->root, 0);
	for (uint32 i = 0; i < patch->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&cursor, &source);
		patch->operations[i].index = i;
		patch->operations[i].patch = patch;
		read_operation(&source, &patch->operations[i]);
		check_operation(&patch->operations[i]);
	}
	return patch;
}

/* Apply a patch; answers the target itself, if it is not changed. */
Jsonb *
json_patch(Jsonb *target, const JsonPatch *patch, AddHook before_add, uint64 max_text)
{
	JsonTree	tree;

	tree_init(&tree, target);
	for (uint32 i = 0; i < patch->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		apply_operation(&tree, &patch->operations[i], before_add);
	}
	if (tree_exceeds(&tree, max_text))
		document_too_large(patch->table, max_text);
	return tree_finish(&tree);
}

PG_FUNCTION_INFO_V1(jsonb_patch);
Datum
jsonb_patch(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(json_patch(PG_GETARG_JSONB_P(0), read_json_patch(PG_GETARG_JSONB_P(1), NULL, NULL), NULL, MAX_TEXT));
}
