/*
 * json/build.h
 *		Objects of our own making, member by member.
 */
#ifndef ESGF_STAC_JSON_BUILD_H
#define ESGF_STAC_JSON_BUILD_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

extern void push_key(JsonbParseState **state, const char *key);
extern void push_string_member(JsonbParseState **state, const char *key, const char *value, int len);
extern void push_if_given(JsonbParseState **state, const char *key, const char *value);
extern JsonbValue *push_problems(JsonbParseState **state, const List *problems, bool with_slugs);
extern void set_to_jsonb(JsonbValue *value, const Jsonb *jsonb);
extern Jsonb *with_member(Jsonb *object, const char *key, const Jsonb *value);
extern void push_number_member(JsonbParseState **state, const char *key, int64 value);

#endif							/* ESGF_STAC_JSON_BUILD_H */
