/*
 * outbox/event.h
 *		The outbox: one row, complete and never changed, for each thing that
 *		happened.
 */
#ifndef ESGF_STAC_OUTBOX_EVENT_H
#define ESGF_STAC_OUTBOX_EVENT_H

#include "access/htup.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* What an event says; a Datum of 0 is SQL NULL. */
typedef struct Event
{
	Datum		aggregatetype;	/* text */
	Datum		aggregateid;	/* text */
	const char *type;
	int64		version;
	Datum		payload;		/* jsonb, as stored */
	TimestampTz occurred_at;
	Datum		reason;			/* text */
	Datum		streams;		/* text[] */
	Datum		left_streams;	/* text[] */
	Datum		request;		/* jsonb */
	Datum		validated_against;	/* jsonb */
	Datum		warnings;		/* jsonb */
} Event;

extern void check_turn(HeapTuple row, const char *table, Datum id);
extern void write_event(const Event *event, pg_uuid_t *id);

#endif							/* ESGF_STAC_OUTBOX_EVENT_H */
