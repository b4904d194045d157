/*
 * stac/format.h
 *		The strings of a STAC document that must have a form: ids, times, URLs,
 *		versions of STAC.
 */
#ifndef ESGF_STAC_STAC_FORMAT_H
#define ESGF_STAC_STAC_FORMAT_H

#include "datatype/timestamp.h"

#include "base/limits.h"

/* Two ids and a "|" between them are an OpenSearch _id: at most 512 bytes. */
#define ID_MAX_LENGTH NAME_MAX_LENGTH

#define is_time(text, length) parse_time((text), (length), NULL)

extern const char *id_problem(const char *id, int length);
extern bool parse_time(const char *text, int length, TimestampTz *time);
extern bool is_web_url(const char *text, int length);
extern bool is_stac_version(const char *text, int length);

#endif							/* ESGF_STAC_STAC_FORMAT_H */
