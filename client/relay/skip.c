/*
 * skip.c
 *		Events that cannot be sent, because their text is longer than a message may
 *		be: pgoutput fails at them each time. skip_event() in the database has one
 *		passed over.
 *
 * The stream then begins behind all that the WAL has now. What that leaves out is
 * repeated from the outbox, but for that event.
 */
#include "relay/relay.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lib/log.h"

/* Append to a query of the outbox that what is to be passed over does not count */
void
skip_condition(const Relay *relay, Buffer *query)
{
	buffer_printf(query, " AND NOT EXISTS (SELECT FROM esgf_stac.dead_letter d"
				  " WHERE d.stream = '%s' AND d.skipped AND d.event_id = outbox.id)", relay->options.stream);
}

/* The server failed: if an event cannot be sent, name it, and say what to do */
void
skip_tell(Relay *relay, const char *problem)
{
	Buffer		query = {0};
	Buffer		failure = {0};
	Buffer		text = {0};
	PGresult   *event = NULL;

	if (PQtransactionStatus(relay->sql) != PQTRANS_IDLE)
		return;
	if (undelivered_query(relay, &query, "id, type, aggregatetype, aggregateid, version", &failure))
	{
		skip_condition(relay, &query);
		buffer_text(&query, " AND NOT esgf_stac_internal.can_be_sent(payload) ORDER BY xid, seq LIMIT 1");
		event = database_query(relay->sql, &failure, query.data, 0, NULL);
	}
	if (event != NULL && PQntuples(event) > 0)
	{
		buffer_printf(&text, "%s (%s of %s %s, version %s); SELECT esgf_stac.skip_event('%s', '%s') has it passed over: %s",
					  PQgetvalue(event, 0, 0), PQgetvalue(event, 0, 1), PQgetvalue(event, 0, 2), PQgetvalue(event, 0, 3),
					  PQgetvalue(event, 0, 4), relay->options.stream, PQgetvalue(event, 0, 0), problem);
		log_problem("event-too-large", "an event cannot be sent: %s", text.data);
		consumer_problem(relay, "an event cannot be sent", text.data);
		relay->stuck = true;
		relay->stuck_at = relay->delivered;
	}
	PQclear(event);
	buffer_free(&query);
	buffer_free(&failure);
	buffer_free(&text);
}

/* Count the undelivered events that are to be passed over; -1: that cannot be told now */
static int
count_skips(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.stream};
	PGresult   *result;
	int			count = -1;

	if (PQtransactionStatus(relay->sql) != PQTRANS_IDLE)
		return -1;
	result = database_query(relay->sql, &problem,
							"SELECT count(*) FROM esgf_stac.dead_letter d"
							"  JOIN esgf_stac.consumer c ON c.stream = d.stream"
							"  JOIN esgf_stac.outbox o ON o.aggregatetype = CASE WHEN d.item_id IS NULL THEN 'collection' ELSE d.collection_id END"
							"   AND o.aggregateid = coalesce(d.item_id, d.collection_id) AND o.version = d.version"
							" WHERE d.stream = $1 AND d.skipped AND d.event_id = o.id AND o.xid >= c.horizon"
							"   AND (c.delivered IS NULL OR NOT pg_visible_in_snapshot(o.xid, c.delivered))", 1, parameters);
	if (result != NULL)
		count = atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	buffer_free(&problem);
	return count;
}

/* Has somebody called skip_event() since the session began? */
bool
skip_asked(Relay *relay)
{
	return count_skips(relay) > relay->skips;
}

/* If there are events to be passed over, let the stream begin behind them */
ExitStatus
skip_prepare(Relay *relay)
{
	Buffer		problem = {0};
	PGresult   *result;

	relay->skips = count_skips(relay);
	if (relay->skips <= 0)
		return STATUS_RUNNING;
	relay->stuck = false;
	result = database_query(relay->sql, &problem, "SELECT pg_current_wal_insert_lsn()", 0, NULL);
	if (result == NULL)
		return database_lost(&problem);
	lsn_parse(PQgetvalue(result, 0, 0), &relay->slot_position);
	PQclear(result);
	log_line(LOG_NOTE, "%d events are passed over; the others before " LSN_FORMAT " come from the outbox",
			 relay->skips, LSN_PARTS(relay->slot_position));
	return STATUS_RUNNING;
}
