/*
 * schema/format.h
 *		The values of "format" that can be asserted, each a form that strings have.
 */
#ifndef ESGF_STAC_SCHEMA_FORMAT_H
#define ESGF_STAC_SCHEMA_FORMAT_H

#include "json/slice.h"

typedef struct Format
{
	const char *name;
	bool		(*has_form) (const char *text, int len);
} Format;

extern const Format *find_format(JsonKey name);
extern bool is_iri(const char *text, int len);

#endif							/* ESGF_STAC_SCHEMA_FORMAT_H */
