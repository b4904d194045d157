/*
 * base/receipt.h
 *		What a verb asks of the triggers below it, and what they did, which is
 *		its answer: a receipt.
 */
#ifndef ESGF_STAC_BASE_RECEIPT_H
#define ESGF_STAC_BASE_RECEIPT_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

typedef struct Receipt
{
	bool		changed;
	bool		created;		/* where there was no active item before */
	int64		version;
	const char *action;			/* the event's type without its first word */
	pg_uuid_t	event_id;
} Receipt;

/* The change that the triggers recorded last; demotions do not count. */
extern Receipt last_receipt;

/* What the verb under way was asked to do, for its event. */
typedef struct RequestUnderWay
{
	const text *collection_id;
	const text *item_id;		/* NULL: it is about the collection itself */
	const Jsonb *as_submitted;	/* NULL: the document says it all, or nobody asked */
	text	   *request_id;		/* the idempotency key, or NULL */
	bool		states_reason;	/* its UPDATE says why, if by saying nothing */
} RequestUnderWay;

extern RequestUnderWay request_under_way;

/*
 * Set while import_items() inserts an item: it keeps the times that it has, and
 * its appearing is no event. All other rules are those of a publication.
 */
extern bool importing;

extern const Jsonb *request_about(Datum collection_id, Datum item_id);
extern void record_receipt(int64 version, const char *action, const pg_uuid_t *event_id);

#endif							/* ESGF_STAC_BASE_RECEIPT_H */
