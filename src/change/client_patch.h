/*
 * change/client_patch.h
 *		The patches that clients send for an item: merge patches (an object) and
 *		JSON patches (an array, or an object whose only member is `operations`).
 */
#ifndef ESGF_STAC_CHANGE_CLIENT_PATCH_H
#define ESGF_STAC_CHANGE_CLIENT_PATCH_H

#include "utils/jsonb.h"

extern void check_patch_form(Jsonb *patch, const char *table);
extern bool patch_touches(Jsonb *patch, const char *pointer);
extern Jsonb *prepare_patch(Jsonb *patch, bool ignore_null_members);
extern Jsonb *apply_patch(Jsonb *document, Jsonb *patch, uint64 max_text);

#endif							/* ESGF_STAC_CHANGE_CLIENT_PATCH_H */
