/*
 * item_request.h
 *		A request to change one item, as a verb or transact() is given it.
 *
 * A precondition names the state that the item must be in: its version
 * (if_match), or the time of its last change (if_unmodified_since).
 */
#ifndef ESGF_STAC_ITEM_REQUEST_H
#define ESGF_STAC_ITEM_REQUEST_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "receipt.h"
#include "utils/jsonb.h"

typedef enum Method
{
	METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_RESTORE, METHOD_RETRACT, METHOD_REINSTATE
} Method;

typedef struct ItemRequest
{
	Method		method;
	text	   *collection_id;
	text	   *item_id;		/* of a POST: taken from the document */
	Jsonb	   *body;			/* the document or the patch */
	text	   *reason;
	const int64 *if_match;		/* NULL: no such precondition */
	const TimestampTz *if_unmodified_since;
	const Jsonb *as_submitted;	/* for the event; NULL where the document says it all */
} ItemRequest;

extern Jsonb *describe_request(const ItemRequest *request);
extern void perform_item_request(ItemRequest *request, Receipt *receipt);

#endif							/* ESGF_STAC_ITEM_REQUEST_H */
