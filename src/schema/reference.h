/*
 * schema/reference.h
 *		RFC 3986: what a reference means beside a base, and its fragment.
 */
#ifndef ESGF_STAC_SCHEMA_REFERENCE_H
#define ESGF_STAC_SCHEMA_REFERENCE_H

#include "json/slice.h"

extern JsonKey resolve_reference(JsonKey base, JsonKey reference);
extern JsonKey without_fragment(JsonKey url);
extern JsonKey fragment_of(JsonKey url);
extern bool decode_fragment(JsonKey fragment, JsonKey *decoded);

#endif							/* ESGF_STAC_SCHEMA_REFERENCE_H */
