/*
 * json.h
 *		Finds values in JSON text, and leaves their spelling alone: a number may
 *		be longer than any type holds. What is no JSON is not found, but not
 *		every error in what is passed over is noticed.
 */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buffer.h"

/* A value's text; where it stands is whoever's it is. */
typedef struct Json
{
	const char *start;
	size_t		length;
} Json;

extern bool json_whole(const char *text, size_t length, Json *value);
extern bool json_member(Json object, const char *name, Json *value);
extern bool json_entry(Json object, size_t *place, Json *name, Json *value);
extern bool json_element(Json array, size_t *place, Json *element);
extern bool json_string(Json value, Buffer *text);
extern bool json_integer(Json value, int64_t *number);
extern bool json_is_null(Json value);

#endif							/* LIB_JSON_H */
