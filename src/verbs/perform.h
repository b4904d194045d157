/*
 * verbs/perform.h
 *		A request to change one item, as a verb or transact() is given it.
 *
 * A precondition names the state that the item must be in: its version
 * (if_match; 0: it must not exist), or the time of its last change
 * (if_unmodified_since).
 */
#ifndef ESGF_STAC_VERBS_PERFORM_H
#define ESGF_STAC_VERBS_PERFORM_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "base/occasion.h"

typedef enum Method
{
	METHOD_POST,
	METHOD_PUT,
	METHOD_UPSERT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_RESTORE,
	METHOD_RETRACT,
	METHOD_REINSTATE,
	METHOD_ADD_REPLICA,
	METHOD_REMOVE_REPLICA,
	METHOD_CHECK
} Method;

typedef struct ItemRequest
{
	Method		method;
	text	   *collection_id;
	text	   *item_id;		/* of a POST: taken from the document */
	Jsonb	   *body;			/* the document, the patch or the alternates */
	text	   *node;			/* of a replica */
	text	   *reason;
	text	   *request_id;
	bool		has_if_match;
	int64		if_match;
	bool		has_if_unmodified_since;
	TimestampTz if_unmodified_since;
	Occasion	occasion;		/* of the statement that does it */
} ItemRequest;

extern bool find_method(const char *name, int len, Method *method);
extern void check_request_lengths(const ItemRequest *request);
extern text *document_id(Jsonb *document);
extern List *lock_items_of_requests(List *requests);
extern void forget_empty_datasets(List *requests);
extern void perform_item_request(ItemRequest *request);

#endif							/* ESGF_STAC_VERBS_PERFORM_H */
