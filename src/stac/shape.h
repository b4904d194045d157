/*
 * stac/shape.h
 *		What a JSON object must look like, as tables.
 *
 * A node is one value of a document, a slice of it; where it is absent, its data is
 * NULL.  A member tells what an object may or must have under a name, and the
 * check that its value has to pass.  check_members() walks the members of a
 * table and those of an object side by side, because jsonb keeps keys sorted:
 * shorter before longer, then by their bytes.  Tables stand in that order, and
 * members that a table does not name always pass.
 */
#ifndef ESGF_STAC_STAC_SHAPE_H
#define ESGF_STAC_STAC_SHAPE_H

#include "base/problems.h"
#include "json/slice.h"

typedef void (*Check) (const JsonbSlice *node, const Place *place, ProblemList *problems);

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

/* Is it there, and not null? */
static inline bool
is_given(const JsonbSlice *node)
{
	return node->data != NULL && !JBE_ISNULL(node->type);
}

extern void check_members(const JsonbContainer *object, const Member *members, int count,
						  JsonbSlice *found, const Place *place, ProblemList *problems);
extern void check_object(const JsonbSlice *node, const Member *members, int count,
						 const Place *place, ProblemList *problems);
extern void check_elements(const JsonbSlice *node, Check check,
						   const Place *place, ProblemList *problems);
extern void check_values(const JsonbSlice *node, Check check,
						 const Place *place, ProblemList *problems);
extern void check_boolean(const JsonbSlice *node, const Place *place, ProblemList *problems);
extern void check_string(const JsonbSlice *node, const Place *place, ProblemList *problems);
extern void check_text(const JsonbSlice *node, const Place *place, ProblemList *problems);
extern void check_strings(const JsonbSlice *node, const Place *place, ProblemList *problems);

#endif							/* ESGF_STAC_STAC_SHAPE_H */
