/*
 * outbox/event.c
 *		Writes events: see outbox/event.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "access/identity.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/insertion.h"
#include "base/occasion.h"
#include "base/statement.h"
#include "base/table_cache.h"
#include "json/text_size.h"
#include "outbox/event.h"

PG_FUNCTION_INFO_V1(esgf_delete_events);
PG_FUNCTION_INFO_V1(esgf_can_be_sent);

/* Columns of the table, in their order. */
typedef enum OutboxColumn
{
	OUTBOX_SEQ = 1, OUTBOX_ID, OUTBOX_AGGREGATETYPE, OUTBOX_AGGREGATEID, OUTBOX_TYPE, OUTBOX_VERSION, OUTBOX_PAYLOAD,
	OUTBOX_OCCURRED_AT, OUTBOX_REASON, OUTBOX_BATCH, OUTBOX_STREAMS, OUTBOX_LEFT_STREAMS, OUTBOX_REQUEST,
	OUTBOX_IDENTITY, OUTBOX_REQUEST_ID, OUTBOX_XID, OUTBOX_VALIDATED_AGAINST, OUTBOX_WARNINGS
} OutboxColumn;

#define OUTBOX_COLUMNS OUTBOX_WARNINGS

static const MadeTable outbox = {
	"outbox", false, 0, OUTBOX_COLUMNS,
	{{INT8OID, true}, {UUIDOID, true}, {TEXTOID, true}, {TEXTOID, true}, {TEXTOID, true}, {INT8OID, true}, {JSONBOID, false},
	{TIMESTAMPTZOID, true}, {TEXTOID, false}, {TEXTOID, false}, {TEXTARRAYOID, false}, {TEXTARRAYOID, false}, {JSONBOID, false},
	{JSONBOID, true}, {TEXTOID, false}, {XID8OID, true}, {JSONBOID, false}, {JSONBOID, false}}
};

/* The server makes no message of 1 GB, and a document is not all that is in one. */
#define LARGEST_SENT UINT64CONST(1000000000)

/* Random bytes, drawn many at once: each draw costs as much as an entry in an index. */
static void
draw_random(unsigned char *bytes, int count)
{
	static unsigned char pool[1024];
	static int	left = 0;

	if (left < count)
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		left = sizeof(pool);
	}
	left -= count;
	memcpy(bytes, pool + left, count);
}

/*
 * A UUID of the time, version 7 of RFC 9562: events that are written together
 * stand together in an index.
 */
static void
make_uuid(pg_uuid_t *uuid)
{
	uint64		milliseconds = (uint64) (GetCurrentTimestamp() / 1000 +
										 INT64CONST(1000) * SECS_PER_DAY * (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE));

	draw_random(uuid->data + 6, UUID_LEN - 6);
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

/* What its defaults are expected to be: then they need no statement. */
typedef struct OutboxDefaults
{
	Oid			seq;			/* the sequence; InvalidOid: they are others */
} OutboxDefaults;

/* Find out what the defaults of the outbox are. */
static void *
find_defaults(void)
{
	OutboxDefaults *defaults = palloc0(sizeof(OutboxDefaults));
	Relation	table = table_open(table_oid(outbox.name), AccessShareLock);
	Node	   *seq = build_column_default(table, OUTBOX_SEQ);
	Node	   *xid = build_column_default(table, OUTBOX_XID);

	if (seq && IsA(seq, NextValueExpr) && xid && IsA(xid, FuncExpr) && ((FuncExpr *) xid)->funcid == F_PG_CURRENT_XACT_ID)
		defaults->seq = ((NextValueExpr *) seq)->seqid;
	table_close(table, NoLock);
	return defaults;
}

static TableCache defaults_cache = {"outbox", find_defaults};

/* Write the row of an event without a statement; false: the outbox is not as we made it. */
static bool
insert_event(const Datum *values, const bool *nulls)
{
	Insertion	insertion;
	const OutboxDefaults *defaults = cached_rows(&defaults_cache);
	Oid			sequence = defaults->seq;

	if (!OidIsValid(sequence) || !begin_insertion(&insertion, &outbox))
		return false;
	memcpy(insertion.slot->tts_values, values, sizeof(Datum) * OUTBOX_COLUMNS);
	memcpy(insertion.slot->tts_isnull, nulls, sizeof(bool) * OUTBOX_COLUMNS);
	insertion.slot->tts_values[OUTBOX_SEQ - 1] = Int64GetDatum(nextval_internal(sequence, false));
	insertion.slot->tts_isnull[OUTBOX_SEQ - 1] = false;
	insertion.slot->tts_values[OUTBOX_XID - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	insertion.slot->tts_isnull[OUTBOX_XID - 1] = false;
	insert_row(&insertion);
	end_insertion(&insertion);
	return true;
}

/* Write the row of an event by a statement, which gives it its defaults. */
static void
insert_event_by_statement(Datum *values, const bool *nulls)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, reason, batch,"
		" streams, left_streams, request, identity, request_id, validated_against, warnings)"
		" VALUES ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $17, $18)",
		OUTBOX_COLUMNS, {INT8OID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, JSONBOID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
		TEXTARRAYOID, TEXTARRAYOID, JSONBOID, JSONBOID, TEXTOID, XID8OID, JSONBOID, JSONBOID}
	};
	char		flags[OUTBOX_COLUMNS];

	for (int i = 0; i < OUTBOX_COLUMNS; i++)
		flags[i] = nulls[i] ? 'n' : ' ';
	SPI_connect();
	run_statement_as_owner(&statement, values, flags);
	SPI_finish();
}

/* Write one event and tell its id. */
void
write_event(const Event *event, pg_uuid_t *id)
{
	Datum		values[OUTBOX_COLUMNS] = {0};
	bool		nulls[OUTBOX_COLUMNS];
	text	   *request_id = identity_text("request_id");

	make_uuid(id);
	values[OUTBOX_ID - 1] = UUIDPGetDatum(id);
	values[OUTBOX_AGGREGATETYPE - 1] = event->aggregatetype;
	values[OUTBOX_AGGREGATEID - 1] = event->aggregateid;
	values[OUTBOX_TYPE - 1] = CStringGetTextDatum(event->type);
	values[OUTBOX_VERSION - 1] = Int64GetDatum(event->version);
	values[OUTBOX_PAYLOAD - 1] = event->payload;
	values[OUTBOX_OCCURRED_AT - 1] = TimestampTzGetDatum(event->occurred_at);
	values[OUTBOX_REASON - 1] = event->reason;
	values[OUTBOX_BATCH - 1] = PointerGetDatum(identity_text("batch"));
	values[OUTBOX_STREAMS - 1] = event->streams;
	values[OUTBOX_LEFT_STREAMS - 1] = event->left_streams;
	values[OUTBOX_REQUEST - 1] = event->request;
	values[OUTBOX_IDENTITY - 1] = JsonbPGetDatum(current_identity());
	values[OUTBOX_REQUEST_ID - 1] = PointerGetDatum(request_id ? request_id : current_request_id());
	values[OUTBOX_VALIDATED_AGAINST - 1] = event->validated_against;
	values[OUTBOX_WARNINGS - 1] = event->warnings;
	for (int i = 0; i < OUTBOX_COLUMNS; i++)
		nulls[i] = values[i] == (Datum) 0 && i != OUTBOX_OCCURRED_AT - 1;
	if (!insert_event(values, nulls))
		insert_event_by_statement(values, nulls);
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
