/*
 * json/edit.c
 *		Documents as the other nouns use them: see json/edit.h.
 */
#include "postgres.h"

#include "json/edit.h"
#include "json/tree.h"

bool
documents_equal(const Jsonb *a, const Jsonb *b)
{
	JsonbSlice	aslice;
	JsonbSlice	bslice;

	slice_of_jsonb(a, &aslice);
	slice_of_jsonb(b, &bslice);
	return slices_equal(&aslice, &bslice);
}

bool
values_equal(const JsonbValue *a, const JsonbValue *b)
{
	JsonbSlice	aslice;
	JsonbSlice	bslice;

	slice_of_value(a, &aslice);
	slice_of_value(b, &bslice);
	return slices_equal(&aslice, &bslice);
}

bool
document_slice(const JsonbContainer *container, JsonbSlice *slice, int depth, const JsonKey *path)
{
	uint32		place;

	*slice = (JsonbSlice) {JENTRY_ISCONTAINER, 0, (const char *) container};
	for (int i = 0; i < depth; i++)
	{
		const JsonbContainer *object;

		if (!slice_is_object(slice))
			return false;
		object = slice_container(slice);
		if (!find_key(object, 0, JsonContainerSize(object), path[i].data, path[i].len, &place))
			return false;
		container_child(object, JsonContainerSize(object) + place, slice);
	}
	return true;
}

bool
document_get(const JsonbContainer *container, JsonbValue *value, int depth, const JsonKey *path)
{
	JsonbSlice	slice;

	if (!document_slice(container, &slice, depth, path))
		return false;
	slice_to_value(&slice, value);
	return true;
}

const JsonbContainer *
document_object(const JsonbContainer *container, int depth, const JsonKey *path)
{
	JsonbSlice	slice;

	return document_slice(container, &slice, depth, path) && slice_is_object(&slice) ? slice_container(&slice) : NULL;
}

const JsonbContainer *
document_array(const JsonbContainer *container, int depth, const JsonKey *path)
{
	JsonbSlice	slice;

	return document_slice(container, &slice, depth, path) && slice_is_array(&slice) ? slice_container(&slice) : NULL;
}

/* Begin to change a document. */
DocumentEdit *
document_edit(Jsonb *document)
{
	JsonTree   *tree = palloc(sizeof(JsonTree));

	tree_init(tree, document);
	return tree;
}

/* How far does a path lead through objects? *node is the last one reached. */
static int
follow_path(const DocumentEdit *edit, int depth, const JsonKey *path, JsonNode *node)
{
	uint32		place;
	int			i;

	*node = edit->root;
	for (i = 0; i < depth; i++)
	{
		if (!node_is_object(node) || !node_find(node, path[i].data, path[i].len, &place))
			break;
		*node = node_child(node, place);
	}
	return i;
}

bool
document_has(const DocumentEdit *edit, int depth, const JsonKey *path)
{
	JsonNode	there;

	return follow_path(edit, depth, path, &there) == depth && there.slice.type != JENTRY_ISNULL;
}

/* The object that a path leads to, which is there, to be changed. */
static JsonNode *
open_path(DocumentEdit *edit, int depth, const JsonKey *path)
{
	JsonNode   *node = &edit->root;
	uint32		place;

	for (int i = 0; i < depth; i++)
	{
		node_find(node, path[i].data, path[i].len, &place);
		node = node_change(edit, node, place);
	}
	return node;
}

bool
document_set(DocumentEdit *edit, const JsonbValue *value, int depth, const JsonKey *path)
{
	JsonNode	there;
	JsonNode	new = {{0}};
	JsonNode   *object;
	uint32		place;
	uint32		key_len = 0;
	int			known = follow_path(edit, depth, path, &there);

	slice_of_value(value, &new.slice);
	if (known == depth)
	{
		if (there.opened == NULL && slices_identical(&there.slice, &new.slice))
			return true;
		*open_path(edit, depth, path) = new;
	}
	else
	{
		if (!node_is_object(&there))
			return false;
		object = open_path(edit, known, path);
		for (; known < depth; known++)
		{
			JsonbSlice	key = {JENTRY_ISSTRING, path[known].len, path[known].data};
			JsonNode	missing = {{JENTRY_ISCONTAINER, sizeof(uint32), (const char *) &empty_object}};

			node_find(object, key.data, key.len, &place);
			node_insert(edit, object, place, &key, known == depth - 1 ? &new : &missing);
			object = node_change(edit, object, place);
			key_len += key.len;
		}
	}
	tree_grow(edit, &new, key_len);
	return true;
}

bool
document_remove(DocumentEdit *edit, int depth, const JsonKey *path)
{
	JsonNode	there;
	JsonNode   *object;
	uint32		place;

	if (follow_path(edit, depth, path, &there) < depth || depth == 0)
		return false;
	object = open_path(edit, depth - 1, path);
	node_find(object, path[depth - 1].data, path[depth - 1].len, &place);
	node_remove(edit, object, place);
	return true;
}

Jsonb *
document_finish(DocumentEdit *edit)
{
	return tree_finish(edit);
}
