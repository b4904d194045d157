/*
 * base/receipt.c
 *		What triggers and verbs tell each other: see base/receipt.h.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "base/receipt.h"

Receipt		last_receipt;
bool		importing = false;
RequestUnderWay request_under_way;

/* Are two texts the same, byte by byte? NULL is only NULL. */
static bool
same_text(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) && memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/*
 * What the verb under way asked of an item, or, where item_id is 0, of a
 * collection; NULL for one that is changed beside it, by somebody's trigger.
 */
const Jsonb *
request_about(Datum collection_id, Datum item_id)
{
	const text *item = item_id ? DatumGetTextPP(item_id) : NULL;

	if (!same_text(request_under_way.collection_id, DatumGetTextPP(collection_id)) || !same_text(request_under_way.item_id, item))
		return NULL;
	return request_under_way.as_submitted;
}

/* Write down what was done. */
void
record_receipt(int64 version, const char *action, const pg_uuid_t *event_id)
{
	last_receipt.changed = true;
	last_receipt.version = version;
	last_receipt.action = action;
	last_receipt.event_id = *event_id;
}
