/*
 * verbs/request.h
 *		Reads requests of JSON, as transact() is given them.
 *
 * What a request concerns is peeked at before any is performed, as far as it can
 * be told; its form is judged at its turn.
 */
#ifndef ESGF_STAC_VERBS_REQUEST_H
#define ESGF_STAC_VERBS_REQUEST_H

#include "base/compat.h"
#include "json/slice.h"
#include "verbs/methods.h"

pg_noreturn extern void bad_request(const char *member, const char *problem);
extern bool read_whole_number(const JsonbValue *value, int64 *number);
extern void read_request(const JsonbValue *source, ItemRequest *request);
extern void check_request_names(ItemRequest *request);
extern text *peek_at_string(const JsonbContainer *object, int depth, const JsonKey *path);
extern bool peek_at_request(const JsonbValue *source, ItemRequest *request);

#endif							/* ESGF_STAC_VERBS_REQUEST_H */
