/*
 * json/tree.h
 *		A document while it is changed, place by place, before it is written.
 *
 * node			a value: bytes of a jsonb, or a container opened for change.
 * opened		a container as a sequence of pieces in stored order.
 * piece		a run of consecutive children of some container, untouched, or
 *				one child (for objects one member) of its own.
 *
 * Pieces form a treap: a binary tree by position, a heap by random priority, so
 * that each change costs the logarithm of the number of changes, whatever the
 * size of the container.  A subtree can stand at several places: after
 * tree_share() what exists is copied before it is changed (the "stamp").
 */
#ifndef ESGF_STAC_JSON_TREE_H
#define ESGF_STAC_JSON_TREE_H

#include "json/slice.h"

typedef struct JsonNode
{
	JsonbSlice	slice;			/* its type always; its bytes unless opened */
	struct JsonOpened *opened;	/* NULL: untouched */
} JsonNode;

typedef struct JsonTree
{
	JsonNode	root;
	Jsonb	   *source;
	Size		size;			/* of source and values: a guess at the result */
	uint64		bound;			/* the result has no more bytes */
	uint64		random;			/* state of the generator of priorities */
	uint32		stamp;			/* what has another stamp is shared */
	struct Piece *pieces;		/* room for so many more */
	uint32		spare;
	uint32		allotted;
} JsonTree;

extern void tree_init(JsonTree *tree, Jsonb *source);
extern void tree_share(JsonTree *tree);
extern void tree_grow(JsonTree *tree, const JsonNode *value, uint32 key_len);
extern bool tree_exceeds(const JsonTree *tree, uint64 max);
extern Jsonb *tree_finish(JsonTree *tree);

extern bool node_is_object(const JsonNode *node);
extern bool node_is_array(const JsonNode *node);
extern uint32 node_count(const JsonNode *node);
extern bool node_find(const JsonNode *node, const char *key, uint32 keylen, uint32 *place);
extern JsonNode node_child(const JsonNode *node, uint32 place);
extern bool node_equals(const JsonNode *node, const JsonbSlice *value);

extern JsonNode *node_change(JsonTree *tree, JsonNode *node, uint32 place);
extern void node_insert(JsonTree *tree, JsonNode *node, uint32 place,
						const JsonbSlice *key, const JsonNode *value);
extern void node_remove(JsonTree *tree, JsonNode *node, uint32 place);

/* A node of untouched bytes. */
static inline JsonNode
node_of_slice(const JsonbSlice *slice)
{
	return (JsonNode) {*slice, NULL};
}

#endif							/* ESGF_STAC_JSON_TREE_H */
