/*
 * json/tree.c
 *		A document while it is changed: see json/tree.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "json/text_size.h"
#include "json/tree.h"
#include "json/writer.h"

/* What a member costs at most beside its key and its value: entries, padding, a container's header. */
#define MEMBER_SIZE		32

typedef struct Piece
{
	struct Piece *left;
	struct Piece *right;
	uint32		priority;
	uint32		stamp;
	uint32		total;			/* children in this subtree of pieces */
	uint32		count;			/* children in this piece */
	const JsonbContainer *source;	/* of a run; NULL for a child of its own */
	uint32		first;			/* a run's first child, or member */
	JsonbSlice	key;			/* a member's, of its own */
	JsonNode	value;			/* a child's, of its own */
} Piece;

/* Pieces that are allocated at once: 512 bytes' worth, up to 8 KB. */
#define ALLOTTED_FIRST	(512 / sizeof(Piece))
#define ALLOTTED_MAX	(8192 / sizeof(Piece))

struct JsonOpened
{
	Piece	   *pieces;			/* NULL: empty */
	uint32		stamp;
	bool		object;
};

/* Begin to change a document. */
void
tree_init(JsonTree *tree, Jsonb *source)
{
	JsonbSlice	slice;

	slice_of_jsonb(source, &slice);
	tree->root = node_of_slice(&slice);
	tree->source = source;
	tree->size = tree->bound = VARSIZE(source);
	tree->random = UINT64CONST(0x9E3779B97F4A7C15);
	tree->stamp = 0;
	tree->spare = tree->allotted = 0;
}

/* A node is about to stand at two places: let no change reach both. */
void
tree_share(JsonTree *tree)
{
	tree->stamp++;
}

/* A value is about to be put somewhere: an opened one may be all that there is, and be there again. */
void
tree_grow(JsonTree *tree, const JsonNode *value, uint32 key_len)
{
	tree->size += value->slice.len;
	tree->bound += Min(value->opened ? tree->bound : value->slice.len, PG_UINT32_MAX) + key_len + MEMBER_SIZE;
}

/* Next priority; the same changes always make the same tree (xorshift64). */
static uint32
next_priority(JsonTree *tree)
{
	tree->random ^= tree->random << 13;
	tree->random ^= tree->random >> 7;
	tree->random ^= tree->random << 17;
	return (uint32) (tree->random >> 32);
}

static inline uint32
piece_total(const Piece *piece)
{
	return piece == NULL ? 0 : piece->total;
}

static inline void
update_total(Piece *piece)
{
	piece->total = piece_total(piece->left) + piece->count + piece_total(piece->right);
}

/* Room for a piece. The server rounds what is allocated to a power of two: so there are many in one. */
static Piece *
new_piece(JsonTree *tree)
{
	if (tree->spare == 0)
	{
		tree->allotted = tree->allotted == 0 ? ALLOTTED_FIRST : Min(tree->allotted * 2 + 1, ALLOTTED_MAX);
		tree->spare = tree->allotted;
		tree->pieces = palloc(sizeof(Piece) * tree->spare);
	}
	return &tree->pieces[--tree->spare];
}

static Piece *
make_piece(JsonTree *tree, uint32 count)
{
	Piece	   *piece = new_piece(tree);

	memset(piece, 0, sizeof(Piece));
	piece->priority = next_priority(tree);
	piece->stamp = tree->stamp;
	piece->total = piece->count = count;
	return piece;
}

/* A run of children, or of an object's members; NULL if there are none. */
static Piece *
make_run(JsonTree *tree, const JsonbContainer *source, uint32 first, uint32 count)
{
	Piece	   *piece;

	if (count == 0)
		return NULL;
	piece = make_piece(tree, count);
	piece->source = source;
	piece->first = first;
	return piece;
}

/* The piece itself if it is at one place only, else a copy to change. */
static Piece *
own_piece(JsonTree *tree, Piece *piece)
{
	Piece	   *copy;

	if (piece->stamp == tree->stamp)
		return piece;
	copy = new_piece(tree);
	*copy = *piece;
	copy->stamp = tree->stamp;
	return copy;
}

/* Join two sequences. */
static Piece *
join_pieces(JsonTree *tree, Piece *left, Piece *right)
{
	check_stack_depth();

	if (left == NULL)
		return right;
	if (right == NULL)
		return left;
	if (left->priority >= right->priority)
	{
		left = own_piece(tree, left);
		left->right = join_pieces(tree, left->right, right);
		update_total(left);
		return left;
	}
	right = own_piece(tree, right);
	right->left = join_pieces(tree, left, right->left);
	update_total(right);
	return right;
}

/* Cut a sequence into its first "count" children and the rest. */
static void
split_pieces(JsonTree *tree, Piece *piece, uint32 count, Piece **left, Piece **right)
{
	uint32		before;

	check_stack_depth();

	if (piece == NULL)
	{
		*left = *right = NULL;
		return;
	}
	before = piece_total(piece->left);
	if (count <= before)
	{
		piece = own_piece(tree, piece);
		split_pieces(tree, piece->left, count, left, &piece->left);
		update_total(piece);
		*right = piece;
	}
	else if (count >= before + piece->count)
	{
		piece = own_piece(tree, piece);
		split_pieces(tree, piece->right, count - before - piece->count, &piece->right, right);
		update_total(piece);
		*left = piece;
	}
	else
	{
		Piece	   *rest = make_run(tree, piece->source, piece->first + count - before, piece->count - (count - before));

		piece = own_piece(tree, piece);
		*right = join_pieces(tree, rest, piece->right);
		piece->right = NULL;
		piece->count = count - before;
		update_total(piece);
		*left = piece;
	}
}

/* Open a container for change, or take a copy of a shared one. */
static struct JsonOpened *
open_node(JsonTree *tree, JsonNode *node)
{
	struct JsonOpened *opened = node->opened;

	if (opened != NULL && opened->stamp == tree->stamp)
		return opened;
	node->opened = palloc(sizeof(struct JsonOpened));
	if (opened != NULL)
		*node->opened = *opened;
	else
	{
		const JsonbContainer *source = slice_container(&node->slice);

		node->opened->object = JsonContainerIsObject(source);
		node->opened->pieces = make_run(tree, source, 0, JsonContainerSize(source));
	}
	node->opened->stamp = tree->stamp;
	return node->opened;
}

bool
node_is_object(const JsonNode *node)
{
	return node->opened != NULL ? node->opened->object : slice_is_object(&node->slice);
}

bool
node_is_array(const JsonNode *node)
{
	return node->opened != NULL ? !node->opened->object : slice_is_array(&node->slice);
}

/* Number of a container's elements or members. */
uint32
node_count(const JsonNode *node)
{
	return node->opened != NULL ? piece_total(node->opened->pieces) :
		JsonContainerSize(slice_container(&node->slice));
}

/*
 * Look for a key in an object. *place is the member's number, or where it
 * would stand.
 */
bool
node_find(const JsonNode *node, const char *key, uint32 keylen, uint32 *place)
{
	const Piece *piece;
	uint32		before = 0;

	if (node->opened == NULL)
		return find_key(slice_container(&node->slice), 0, node_count(node), key, keylen, place);

	for (piece = node->opened->pieces; piece != NULL;)
	{
		uint32		within = 0;
		bool		found;

		if (piece->source != NULL)
			found = find_key(piece->source, piece->first, piece->count, key, keylen, &within);
		else
		{
			int			order = compare_keys(piece->key.data, piece->key.len, key, keylen);

			found = order == 0;
			within = order < 0 ? 1 : 0;
		}
		if (!found && within == 0)
			piece = piece->left;
		else
		{
			before += piece_total(piece->left) + within;
			if (found || within < piece->count)
			{
				*place = before;
				return found;
			}
			piece = piece->right;
		}
	}
	*place = before;
	return false;
}

/* The value of an element or member, to read only. */
JsonNode
node_child(const JsonNode *node, uint32 place)
{
	const JsonbContainer *source;
	JsonbSlice	slice;

	if (node->opened == NULL)
		source = slice_container(&node->slice);
	else
	{
		const Piece *piece = node->opened->pieces;
		uint32		before;

		while (place < (before = piece_total(piece->left)) || place >= before + piece->count)
		{
			if (place < before)
				piece = piece->left;
			else
			{
				place -= before + piece->count;
				piece = piece->right;
			}
		}
		if (piece->source == NULL)
			return piece->value;
		source = piece->source;
		place = piece->first + place - before;
	}
	if (JsonContainerIsObject(source))
		place += JsonContainerSize(source);
	container_child(source, place, &slice);
	return node_of_slice(&slice);
}

/* The value of an element or member, to be changed in place. */
JsonNode *
node_change(JsonTree *tree, JsonNode *node, uint32 place)
{
	struct JsonOpened *opened = open_node(tree, node);
	Piece	   *left;
	Piece	   *child;
	Piece	   *right;

	split_pieces(tree, opened->pieces, place, &left, &right);
	split_pieces(tree, right, 1, &child, &right);
	child = own_piece(tree, child);
	if (child->source != NULL)
	{
		if (opened->object)
			container_child(child->source, child->first, &child->key);
		container_child(child->source,
						child->first + (opened->object ? JsonContainerSize(child->source) : 0),
						&child->value.slice);
		child->source = NULL;
	}
	opened->pieces = join_pieces(tree, join_pieces(tree, left, child), right);
	return &child->value;
}

/* Insert an element, or with a key a member, before the one at "place". */
void
node_insert(JsonTree *tree, JsonNode *node, uint32 place,
			const JsonbSlice *key, const JsonNode *value)
{
	struct JsonOpened *opened = open_node(tree, node);
	Piece	   *child = make_piece(tree, 1);
	Piece	   *left;
	Piece	   *right;

	if (key != NULL)
		child->key = *key;
	child->value = *value;
	split_pieces(tree, opened->pieces, place, &left, &right);
	opened->pieces = join_pieces(tree, join_pieces(tree, left, child), right);
}

/* Remove an element or member. */
void
node_remove(JsonTree *tree, JsonNode *node, uint32 place)
{
	struct JsonOpened *opened = open_node(tree, node);
	Piece	   *left;
	Piece	   *child;
	Piece	   *right;

	split_pieces(tree, opened->pieces, place, &left, &right);
	split_pieces(tree, right, 1, &child, &right);
	opened->pieces = join_pieces(tree, left, right);
}

/* Place a cursor on a run; on the keys or on the values of members. */
static void
init_run(JsonbCursor *run, const Piece *piece, bool keys)
{
	uint32		first = piece->first;

	if (!keys && JsonContainerIsObject(piece->source))
		first += JsonContainerSize(piece->source);
	cursor_init(run, piece->source, first);
}

/* Does a run hold the children that follow under a cursor? Keys, or values. */
static pg_noinline bool
run_equals(const Piece *piece, JsonbCursor *cursor, bool keys)
{
	JsonbCursor run;
	JsonbSlice	child;
	JsonbSlice	value;

	init_run(&run, piece, keys);
	for (uint32 i = 0; i < piece->count; i++)
	{
		cursor_next(&run, &child);
		cursor_next(cursor, &value);
		if (!slices_equal(&child, &value))
			return false;
	}
	return true;
}

/* Do pieces hold the children that follow under a cursor? */
static bool
pieces_equal(const Piece *piece, JsonbCursor *cursor, bool keys)
{
	JsonbSlice	value;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();

	for (; piece != NULL; piece = piece->right)
	{
		if (!pieces_equal(piece->left, cursor, keys))
			return false;
		if (piece->source != NULL)
		{
			if (!run_equals(piece, cursor, keys))
				return false;
			continue;
		}
		cursor_next(cursor, &value);
		if (keys ? !slices_equal(&piece->key, &value) : !node_equals(&piece->value, &value))
			return false;
	}
	return true;
}

/* Is a node equal to a value, as jsonb's "=" has it? */
bool
node_equals(const JsonNode *node, const JsonbSlice *value)
{
	JsonbCursor cursor;

	if (node->opened == NULL)
		return slices_equal(&node->slice, value);
	if (!(node->opened->object ? slice_is_object(value) : slice_is_array(value)) ||
		node_count(node) != JsonContainerSize(slice_container(value)))
		return false;
	cursor_init(&cursor, slice_container(value), 0);
	return (!node->opened->object || pieces_equal(node->opened->pieces, &cursor, true)) &&
		pieces_equal(node->opened->pieces, &cursor, false);
}

static void write_node(JsonbWriter *writer, JsonbFrame *parent, const JsonNode *node);

/* Write a run of children; of an object's members the keys or the values. */
static pg_noinline void
write_run(JsonbWriter *writer, JsonbFrame *frame, const Piece *piece, bool keys)
{
	JsonbCursor run;

	init_run(&run, piece, keys);
	writer_run(writer, frame, &run, piece->count);
}

/* Write pieces in order, their keys or their values. */
static void
write_pieces(JsonbWriter *writer, JsonbFrame *frame, const Piece *piece, bool keys)
{
	check_stack_depth();

	for (; piece != NULL; piece = piece->right)
	{
		if (piece->left != NULL)
			write_pieces(writer, frame, piece->left, keys);
		if (piece->source != NULL)
			write_run(writer, frame, piece, keys);
		else if (keys)
			writer_child(writer, frame, &piece->key);
		else
			write_node(writer, frame, &piece->value);
	}
}

/* Write a node; what was not opened is copied as bytes. */
static void
write_node(JsonbWriter *writer, JsonbFrame *parent, const JsonNode *node)
{
	JsonbFrame	frame;

	CHECK_FOR_INTERRUPTS();

	if (node->opened == NULL)
	{
		writer_child(writer, parent, &node->slice);
		return;
	}
	writer_begin(writer, &frame, parent,
				 node_count(node) | (node->opened->object ? JB_FOBJECT : JB_FARRAY));
	if (node->opened->object)
		write_pieces(writer, &frame, node->opened->pieces, true);
	write_pieces(writer, &frame, node->opened->pieces, false);
	writer_end(writer, &frame);
}

static uint64 node_text_size(const JsonNode *node, uint64 max);

/* The size of pieces as text, without what is between them. */
static uint64
pieces_text_size(const Piece *piece, bool object, uint64 max)
{
	uint64		size = 0;
	JsonbCursor run;

	check_stack_depth();
	for (; piece != NULL && size <= max; piece = piece->right)
	{
		if (piece->left != NULL)
			size += pieces_text_size(piece->left, object, max - size);
		if (size > max)
			break;
		if (piece->source == NULL)
		{
			size += object ? slice_text_size(&piece->key, max) : 0;
			size += size <= max ? node_text_size(&piece->value, max - size) : 0;
			continue;
		}
		for (int keys = object; keys >= 0 && size <= max; keys--)
		{
			init_run(&run, piece, keys);
			size += run_text_size(&run, piece->count, max - size);
		}
	}
	return size;
}

/* The size of a node as text, counted up to max. */
static uint64
node_text_size(const JsonNode *node, uint64 max)
{
	uint64		entries;
	uint64		size;

	CHECK_FOR_INTERRUPTS();
	if (node->opened == NULL)
		return slice_text_size(&node->slice, max);
	entries = (uint64) node_count(node) * (node->opened->object ? 2 : 1);
	size = BRACKETS_SIZE + (entries > 0 ? (entries - 1) * SEPARATOR_SIZE : 0);
	return size > max ? size : size + pieces_text_size(node->opened->pieces, node->opened->object, max - size);
}

/* Would the changed document have grown beyond so many bytes of text? It is not written to find out. */
bool
tree_exceeds(const JsonTree *tree, uint64 max)
{
	if (tree->bound <= max)
		return false;
	max = Max(max, text_size(tree->source, MAX_TEXT));
	return node_text_size(&tree->root, max) > max;
}

/* The changed document; the source itself if nothing was changed. */
Jsonb *
tree_finish(JsonTree *tree)
{
	JsonbWriter writer;
	JsonbSlice	source;

	if (tree->root.opened != NULL)
	{
		writer_init(&writer, tree->size);
		write_node(&writer, NULL, &tree->root);
		return writer_finish(&writer);
	}
	slice_of_jsonb(tree->source, &source);
	if (tree->root.slice.type == source.type && tree->root.slice.data == source.data)
		return tree->source;
	return slice_to_jsonb(&tree->root.slice);
}
