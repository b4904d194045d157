/*
 * change/same.h
 *		Are two documents, or what they say of an asset, the same?
 *
 * flags		`latest` and `retracted` of the item.
 */
#ifndef ESGF_STAC_CHANGE_SAME_H
#define ESGF_STAC_CHANGE_SAME_H

#include "change/location.h"

extern bool same_but_for_stamps(const Jsonb *a, const Jsonb *b);
extern bool same_but_for_stamps_and_flags(const Jsonb *a, const Jsonb *b);
extern bool same_content(const JsonbContainer *old, const JsonbContainer *new);
extern bool same_location(const Location *a, const Location *b);
extern bool is_stamp_or_flag(JsonKey property);

#endif							/* ESGF_STAC_CHANGE_SAME_H */
