/*
 * receipt.c
 *		What triggers and verbs tell each other: see receipt.h.
 */
#include "postgres.h"

#include "receipt.h"

Receipt		last_receipt;
RequestUnderWay request_under_way;

/* Write down what was done. */
void
record_receipt(int64 version, const char *action, const pg_uuid_t *event_id)
{
	last_receipt.changed = true;
	last_receipt.version = version;
	last_receipt.action = action;
	last_receipt.event_id = *event_id;
}
