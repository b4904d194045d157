/*
 * change.h
 *		What changed between two versions of an item's document?
 *
 * Stamps are `created` and `updated` of the item, of an asset, of a location:
 * clients write "now" into them at each try, so they alone are no change.
 * Flags are `latest` and `retracted` of the item.
 */
#ifndef ESGF_STAC_CHANGE_H
#define ESGF_STAC_CHANGE_H

#include "postgres.h"

#include "problems.h"
#include "utils/jsonb.h"

extern bool same_but_for_stamps(const Jsonb *a, const Jsonb *b);
extern bool same_but_for_stamps_and_flags(const Jsonb *a, const Jsonb *b);
extern void find_changed_content(const Jsonb *old, const Jsonb *new, ProblemList *problems);

#endif							/* ESGF_STAC_CHANGE_H */
