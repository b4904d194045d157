/*
 * json/pointer.h
 *		RFC 6901, JSON pointer: "/a/b/0", where "~1" stands for "/" and "~0"
 *		for "~".
 *
 * token		one step of a pointer, unescaped: a key, or an index, "-" being
 *				the one after an array's last.
 */
#ifndef ESGF_STAC_JSON_POINTER_H
#define ESGF_STAC_JSON_POINTER_H

#include "json/slice.h"

typedef struct JsonPointer
{
	const char *next;			/* at a "/", or the end */
	const char *end;
} JsonPointer;

/* Start at the beginning of a pointer that was checked. */
static inline void
pointer_init(JsonPointer *pointer, const JsonbSlice *string)
{
	pointer->next = string->data;
	pointer->end = string->data + string->len;
}

static inline bool
pointer_at_end(const JsonPointer *pointer)
{
	return pointer->next == pointer->end;
}

extern const char *pointer_problem(const JsonbSlice *string);
extern void pointer_next(JsonPointer *pointer, JsonbSlice *token);
extern bool token_is_end(const JsonbSlice *token);
extern bool token_to_index(const JsonbSlice *token, uint32 *index);

#endif							/* ESGF_STAC_JSON_POINTER_H */
