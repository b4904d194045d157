/*
 * verbs/request_key.h
 *		Idempotency keys: what transact() has answered, by client and request_id.
 *
 * All keys of a call are entered before anything else, in one order: of two
 * calls with the same keys one waits for the other, and none ever for a key
 * that the other will come to later.  A key whose request is refused is
 * forgotten when the call ends.
 */
#ifndef ESGF_STAC_VERBS_REQUEST_KEY_H
#define ESGF_STAC_VERBS_REQUEST_KEY_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef struct RequestKey
{
	text	   *request_id;
	Datum		digest;			/* of the request that goes with it */
} RequestKey;

extern const char *request_id_problem(const text *request_id);
extern RequestKey *make_request_key(text *request_id, const JsonbValue *request);
extern void enter_keys(List *keys);
extern Jsonb *remembered_outcome(const RequestKey *key);
extern void remember_outcome(const RequestKey *key, Jsonb *outcome);
extern void forget_unanswered_key(const RequestKey *key);

#endif							/* ESGF_STAC_VERBS_REQUEST_KEY_H */
