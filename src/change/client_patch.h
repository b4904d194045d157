/*
 * change/client_patch.h
 *		The patches that clients send: merge patches (an object) and JSON patches
 *		(an array, or an object whose only member is `operations`).
 *
 * A patch is read once, which judges its form, and again where unset members went
 * from it; what it says is asked of what was read.
 */
#ifndef ESGF_STAC_CHANGE_CLIENT_PATCH_H
#define ESGF_STAC_CHANGE_CLIENT_PATCH_H

#include "json/json_patch.h"

typedef enum PatchKind
{
	PATCH_MERGE,
	PATCH_OPERATIONS
} PatchKind;

typedef struct Patch
{
	PatchKind	kind;
	Jsonb	   *body;			/* of a merge patch */
	JsonPatch  *operations;		/* of a JSON patch */
} Patch;

extern Patch *read_patch(Jsonb *submitted, const char *table);
extern void settle_required_members(Patch *patch, bool ignore_nulls);
extern bool patch_touches(const Patch *patch, const char *pointer);
extern Jsonb *apply_patch(Jsonb *document, const Patch *patch, uint64 max_text);

#endif							/* ESGF_STAC_CHANGE_CLIENT_PATCH_H */
