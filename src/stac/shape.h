/*
 * stac/shape.h
 *		What a JSON object must look like, as tables.
 *
 * A node is one value of a document, read in place: nothing is unpacked or
 * copied.  A member tells what an object may or must have under a name, and the
 * check that its value has to pass.  check_members() walks the members of a
 * table and those of an object side by side, because jsonb keeps keys sorted:
 * shorter before longer, then by their bytes.  Tables stand in that order, and
 * members that a table does not name always pass.
 */
#ifndef ESGF_STAC_STAC_SHAPE_H
#define ESGF_STAC_STAC_SHAPE_H

#include "postgres.h"

#include "base/problems.h"
#include "utils/jsonb.h"

typedef struct JsonNode
{
	JEntry		entry;			/* its type */
	const char *data;			/* NULL: absent */
	uint32		length;			/* of data, in bytes */
} JsonNode;

/* A way through the children of a container, first to last. */
typedef struct Cursor
{
	const JsonbContainer *container;
	const char *data;			/* where offsets count from */
	uint32		next;
	uint32		end;
	uint32		offset;
} Cursor;

typedef void (*Check) (const JsonNode *node, const Place *place, ProblemList *problems);

typedef enum Presence
{
	REQUIRED,					/* there; the check sees null too */
	REQUIRED_OR_NULL,			/* there, perhaps null */
	OPTIONAL					/* perhaps null, which counts as absent */
} Presence;

typedef struct Member
{
	const char *name;
	int			length;
	Presence	presence;
	Check		check;			/* NULL: any value */
} Member;

#define MEMBER(name, presence, check) {(name), sizeof(name) - 1, (presence), (check)}

#define node_is_object(node) \
	(JBE_ISCONTAINER((node)->entry) && JsonContainerIsObject(node_container(node)))
#define node_is_array(node) \
	(JBE_ISCONTAINER((node)->entry) && JsonContainerIsArray(node_container(node)))
#define node_container(node)	((const JsonbContainer *) (node)->data)
#define node_count(node)		JsonContainerSize(node_container(node))
#define node_equals(node, text) \
	(JBE_ISSTRING((node)->entry) && (node)->length == sizeof(text) - 1 && \
	 memcmp((node)->data, (text), sizeof(text) - 1) == 0)

/* Is it there, and not null? */
static inline bool
is_given(const JsonNode *node)
{
	return node->data != NULL && !JBE_ISNULL(node->entry);
}

/* Step to the next child; its length leaves out the padding before it. */
static inline bool
next_node(Cursor *cursor, JsonNode *node)
{
	uint32		start = cursor->offset;

	if (cursor->next >= cursor->end)
		return false;

	node->entry = cursor->container->children[cursor->next++];
	JBE_ADVANCE_OFFSET(cursor->offset, node->entry);
	if (JBE_ISNUMERIC(node->entry) || JBE_ISCONTAINER(node->entry))
		start = INTALIGN(start);
	node->data = cursor->data + start;
	node->length = cursor->offset - start;
	return true;
}

extern Cursor elements_of(const JsonbContainer *array);
extern Cursor keys_of(const JsonbContainer *object);
extern Cursor values_of(const JsonbContainer *object);

extern void check_members(const JsonbContainer *object, const Member *members, int count,
						  JsonNode *found, const Place *place, ProblemList *problems);
extern void check_object(const JsonNode *node, const Member *members, int count,
						 const Place *place, ProblemList *problems);
extern void check_elements(const JsonNode *node, Check check,
						   const Place *place, ProblemList *problems);
extern void check_values(const JsonNode *node, Check check,
						 const Place *place, ProblemList *problems);
extern void check_boolean(const JsonNode *node, const Place *place, ProblemList *problems);
extern void check_string(const JsonNode *node, const Place *place, ProblemList *problems);
extern void check_text(const JsonNode *node, const Place *place, ProblemList *problems);
extern void check_strings(const JsonNode *node, const Place *place, ProblemList *problems);

#endif							/* ESGF_STAC_STAC_SHAPE_H */
