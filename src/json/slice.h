/*
 * json/slice.h
 *		Reading jsonb where it lies.
 *
 * slice		one value inside a jsonb: its type and its bytes, without the
 *				padding before them. A container's bytes do not depend on where
 *				they stand, so that a slice can be copied anywhere as it is.
 * children		a container's entries in stored order: an array's elements; an
 *				object's keys, sorted by length and then bytes, then its values.
 * cursor		walks children without looking up each offset anew.
 */
#ifndef ESGF_STAC_JSON_SLICE_H
#define ESGF_STAC_JSON_SLICE_H

#include "utils/jsonb.h"

#include "base/bytes.h"
#include "base/compat.h"

/* A member's key, not necessarily null-terminated. */
typedef struct JsonKey
{
	const char *data;
	int			len;
} JsonKey;

typedef struct JsonbSlice
{
	JEntry		type;			/* one of JENTRY_IS..., no other bits */
	uint32		len;
	const char *data;
} JsonbSlice;

typedef struct JsonbCursor
{
	const JsonbContainer *container;
	const char *base;			/* start of the children's data */
	uint32		index;			/* next child */
	uint32		offset;			/* where its data starts, padding included */
} JsonbCursor;

/* Walks the members of an object. */
typedef struct MemberCursor
{
	JsonbCursor keys;
	JsonbCursor values;
	JsonbSlice	key;			/* the member in hand */
	JsonbSlice	value;
} MemberCursor;

/* Are two keys the same? */
static inline bool
keys_equal(JsonKey a, JsonKey b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* A string as a key. */
static inline JsonKey
slice_key(const JsonbSlice *string)
{
	return (JsonKey) {string->data, string->len};
}

/* The container that a slice is. */
static inline const JsonbContainer *
slice_container(const JsonbSlice *slice)
{
	Assert(slice->type == JENTRY_ISCONTAINER);
	return (const JsonbContainer *) slice->data;
}

static inline bool
slice_is_object(const JsonbSlice *slice)
{
	return slice->type == JENTRY_ISCONTAINER && JsonContainerIsObject(slice_container(slice));
}

static inline bool
slice_is_array(const JsonbSlice *slice)
{
	return slice->type == JENTRY_ISCONTAINER && JsonContainerIsArray(slice_container(slice));
}

/* Are two values of the same bytes? Equal ones, as numbers are, need not be. */
static inline bool
slices_identical(const JsonbSlice *a, const JsonbSlice *b)
{
	return a->type == b->type && a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static inline bool
slice_is_string(const JsonbSlice *slice, const char *text)
{
	return slice->type == JENTRY_ISSTRING && bytes_are(slice->data, slice->len, text);
}

/* Length of a container's JEntry array; an object has two entries a member. */
static inline uint32
container_entries(const JsonbContainer *container)
{
	uint32		count = JsonContainerSize(container);

	return JsonContainerIsObject(container) ? count * 2 : count;
}

/* Are children of this type stored from a multiple of four bytes on? */
static inline bool
entry_is_aligned(JEntry type)
{
	return type == JENTRY_ISCONTAINER || type == JENTRY_ISNUMERIC;
}

/* Place a cursor on a child, which may be one past the last. */
static inline void
cursor_init(JsonbCursor *cursor, const JsonbContainer *container, uint32 index)
{
	cursor->container = container;
	cursor->base = (const char *) (container->children + container_entries(container));
	cursor->index = index;
	cursor->offset = index == 0 ? 0 : getJsonbOffset(container, index);
}

/* Read the child under the cursor and step to the next one. */
static inline void
cursor_next(JsonbCursor *cursor, JsonbSlice *child)
{
	JEntry		entry = cursor->container->children[cursor->index++];
	uint32		start = cursor->offset;

	JBE_ADVANCE_OFFSET(cursor->offset, entry);
	child->type = entry & JENTRY_TYPEMASK;
	if (entry_is_aligned(child->type))
		start = INTALIGN(start);
	child->data = cursor->base + start;
	child->len = cursor->offset - start;
}

/* Read the next element of an array; false after the last. */
static inline bool
elements_next(JsonbCursor *elements, JsonbSlice *element)
{
	if (elements->index == JsonContainerSize(elements->container))
		return false;
	cursor_next(elements, element);
	return true;
}

static inline void
members_init(MemberCursor *members, const JsonbContainer *object)
{
	cursor_init(&members->keys, object, 0);
	cursor_init(&members->values, object, JsonContainerSize(object));
}

/* Take the next member in hand; false after the last. */
static inline bool
members_next(MemberCursor *members)
{
	if (members->keys.index == JsonContainerSize(members->keys.container))
		return false;
	cursor_next(&members->keys, &members->key);
	cursor_next(&members->values, &members->value);
	return true;
}

/* Take the next member in hand that is an object; false after the last. */
static inline bool
objects_next(MemberCursor *members)
{
	while (members_next(members))
		if (slice_is_object(&members->value))
			return true;
	return false;
}

/*
 * Of two containers the first "same" bytes are the same: how many are then of
 * the children at one place?
 */
static inline uint32
same_of_child(const JsonbContainer *container, uint32 same, const JsonbSlice *child)
{
	uint32		data = offsetof(JsonbContainer, children) +
	container_entries(container) * sizeof(JEntry);
	uint32		start;

	if (same <= data || child->len == 0)
		return 0;
	start = child->data - (const char *) container;
	return same <= start ? 0 : Min(same - start, child->len);
}

/* Order of keys in an object: by length, then by bytes. */
static inline int
compare_keys(const char *a, uint32 alen, const char *b, uint32 blen)
{
	if (alen != blen)
		return alen < blen ? -1 : 1;
	return memcmp(a, b, alen);
}

extern const JsonbContainer empty_object;

extern void slice_of_jsonb(const Jsonb *jsonb, JsonbSlice *slice);
extern void slice_of_value(const JsonbValue *value, JsonbSlice *slice);
extern void slice_to_value(const JsonbSlice *slice, JsonbValue *value);
extern void container_child(const JsonbContainer *container, uint32 index, JsonbSlice *child);
extern bool find_key(const JsonbContainer *object, uint32 first, uint32 count,
					 const char *key, uint32 keylen, uint32 *place);
extern uint32 first_difference(const char *a, const char *b, uint32 from, uint32 len);
extern bool slices_equal(const JsonbSlice *a, const JsonbSlice *b);
extern uint64 hash_slice(const JsonbSlice *value, uint64 seed);

#endif							/* ESGF_STAC_JSON_SLICE_H */
