/*
 * change/client_patch.h
 *		The patches that clients send for an item: merge patches (an object) and
 *		JSON patches (an array, or an object whose only member is `operations`).
 */
#ifndef ESGF_STAC_CHANGE_CLIENT_PATCH_H
#define ESGF_STAC_CHANGE_CLIENT_PATCH_H

#include "postgres.h"

#include "item/collection.h"
#include "utils/jsonb.h"

extern void check_patch_form(Jsonb *patch, const char *table);
extern bool patch_touches(Jsonb *patch, const char *pointer);
extern Jsonb *prepare_patch(Jsonb *patch, const CollectionSettings *settings);
extern Jsonb *apply_patch(Jsonb *document, Jsonb *patch, const CollectionSettings *settings);

#endif							/* ESGF_STAC_CHANGE_CLIENT_PATCH_H */
