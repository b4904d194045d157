/*
 * outbox/event.c
 *		Writes events: see outbox/event.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "access/identity.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/occasion.h"
#include "base/statement.h"
#include "json/text_size.h"
#include "outbox/event.h"

PG_FUNCTION_INFO_V1(esgf_delete_events);
PG_FUNCTION_INFO_V1(esgf_can_be_sent);

/* The server makes no message of 1 GB, and a document is not all that is in one. */
#define LARGEST_SENT UINT64CONST(1000000000)

/*
 * A UUID of the time, version 7 of RFC 9562: events that are written together
 * stand together in an index.
 */
static void
make_uuid(pg_uuid_t *uuid)
{
	uint64		milliseconds = (uint64) (GetCurrentTimestamp() / 1000 +
										 INT64CONST(1000) * SECS_PER_DAY * (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE));

	if (!pg_strong_random(uuid->data, UUID_LEN))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < 6; i++)
		uuid->data[i] = (unsigned char) (milliseconds >> (40 - 8 * i));
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x70;
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
}

/*
 * Refuse an event whose row has been changed again before its turn came, as by a
 * function that the statement calls with what it has changed: the later event
 * is written already, and events tell of versions in their order.
 */
void
check_turn(HeapTuple row, const char *table, Datum id)
{
	HeapTupleHeader header = row->t_data;

	if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) ||
		!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 err_generic_string(PG_DIAG_SCHEMA_NAME, "esgf_stac"), errtable_of(table),
			 errmsg("one statement changes %s \"%s\" twice", table, TextDatumGetCString(id)),
			 errhint("Use two statements: the second one sees what the first has done.")));
}

/* Write one event and tell its id; SPI is connected. */
void
write_event(const Event *event, pg_uuid_t *id)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at,"
		" reason, streams, left_streams, request, batch, request_id, identity, validated_against, warnings)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		16, {UUIDOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, JSONBOID, TIMESTAMPTZOID,
		TEXTOID, TEXTARRAYOID, TEXTARRAYOID, JSONBOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, JSONBOID}
	};
	Datum		values[16];
	char		nulls[16];

	make_uuid(id);
	values[0] = UUIDPGetDatum(id);
	values[1] = event->aggregatetype;
	values[2] = event->aggregateid;
	values[3] = CStringGetTextDatum(event->type);
	values[4] = Int64GetDatum(event->version);
	values[5] = event->payload;
	values[6] = TimestampTzGetDatum(event->occurred_at);
	values[7] = event->reason;
	values[8] = event->streams;
	values[9] = event->left_streams;
	values[10] = event->request;
	values[11] = PointerGetDatum(identity_text("batch"));
	values[12] = PointerGetDatum(identity_text("request_id"));
	if (values[12] == (Datum) 0)
		values[12] = PointerGetDatum(current_request_id());
	values[13] = JsonbPGetDatum(current_identity());
	values[14] = event->validated_against;
	values[15] = event->warnings;
	for (int i = 0; i < 16; i++)
		nulls[i] = i != 6 && values[i] == (Datum) 0 ? 'n' : ' ';
	run_statement_as_owner(&statement, values, nulls);
}

/*
 * delete_events(before, below, max_events): a batch of prune_outbox(). Events go
 * in the order of seq, up to the first that stays: who finds the event that he
 * read last knows by that that no later one is gone. (One of the future, by a
 * clock that was wrong, is as old as its neighbours.)
 */
Datum
esgf_delete_events(PG_FUNCTION_ARGS)
{
	static Statement statement = {
		"WITH oldest AS MATERIALIZED (SELECT o.seq, o.xid OPERATOR(pg_catalog.<) $2"
		" AND (o.occurred_at OPERATOR(pg_catalog.<) $1 OR o.occurred_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()) AS goes"
		" FROM esgf_stac.outbox AS o ORDER BY o.seq LIMIT $3),"
		" gone AS (DELETE FROM esgf_stac.outbox WHERE seq OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT o.seq FROM oldest AS o WHERE NOT EXISTS (SELECT FROM oldest AS s WHERE NOT s.goes)"
		" OR o.seq OPERATOR(pg_catalog.<) (SELECT pg_catalog.min(s.seq) FROM oldest AS s WHERE NOT s.goes))) RETURNING xid),"
		" noted AS (UPDATE esgf_stac.catalogue AS c SET pruned = g.xid"
		" FROM (SELECT xid FROM gone ORDER BY xid DESC LIMIT 1) AS g WHERE g.xid OPERATOR(pg_catalog.>) c.pruned)"
		" SELECT pg_catalog.count(*) FROM gone",
		3, {TIMESTAMPTZOID, XID8OID, INT4OID}
	};
	Datum		values[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	Occasion	occasion = {BY_CLEANING};
	int64		count;
	bool		isnull;

	require_writable_catalogue();
	SPI_connect();
	run_on_occasion(&occasion, &statement, values, NULL);
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PG_RETURN_INT64(count);
}

/* can_be_sent(document): is its text short enough? */
Datum
esgf_can_be_sent(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_ARGISNULL(0) || !text_exceeds(PG_GETARG_JSONB_P(0), LARGEST_SENT));
}
