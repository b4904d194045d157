/*
 * skip.c
 *		Events that cannot be sent, because their text is longer than a message may
 *		be: pgoutput fails at them each time. skip_event() in the database has one
 *		passed over.
 *
 * The stream then begins behind all that the WAL has now. What that leaves out is
 * repeated from the outbox, but for that event.
 */
#include "catalogue/skip.h"

#include <stdlib.h>

#include "lib/log.h"

/* Append to a query of the outbox that what is to be passed over does not count */
void
skip_condition(const Catalogue *catalogue, Buffer *query)
{
	buffer_printf(query, " AND NOT EXISTS (SELECT FROM esgf_stac.dead_letter d"
				  " WHERE d.stream = '%s' AND d.skipped AND d.event_id = outbox.id)", catalogue->settings->stream);
}

/* The server failed: if an event cannot be sent, name it, and say what to do */
void
skip_tell(Consumer *consumer, const char *problem)
{
	Catalogue  *catalogue = consumer->catalogue;
	Buffer		query = {0};
	Buffer		failure = {0};
	Buffer		text = {0};
	PGresult   *event = NULL;

	if (PQtransactionStatus(catalogue->sql) != PQTRANS_IDLE)
		return;
	if (undelivered_query(catalogue, consumer->row.horizon, &query, "id, type, aggregatetype, aggregateid, version", &failure))
	{
		skip_condition(catalogue, &query);
		buffer_text(&query, " AND NOT esgf_stac_internal.can_be_sent(payload) ORDER BY xid, seq LIMIT 1");
		event = database_query(catalogue->sql, &failure, query.data, 0, NULL);
	}
	if (event != NULL && PQntuples(event) > 0)
	{
		buffer_printf(&text, "%s (%s of %s %s, version %s); SELECT esgf_stac.skip_event('%s', '%s') has it passed over: %s",
					  PQgetvalue(event, 0, 0), PQgetvalue(event, 0, 1), PQgetvalue(event, 0, 2), PQgetvalue(event, 0, 3),
					  PQgetvalue(event, 0, 4), catalogue->settings->stream, PQgetvalue(event, 0, 0), problem);
		log_problem("event-too-large", "an event cannot be sent: %s", text.data);
		standstill_tell(consumer, "an event cannot be sent", text.data);
		standstill_at_event(consumer);
	}
	PQclear(event);
	buffer_free(&query);
	buffer_free(&failure);
	buffer_free(&text);
}

/* Count the undelivered events that are to be passed over; -1: that cannot be told now */
static int
count_skips(const Catalogue *catalogue)
{
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream};
	PGresult   *result;
	int			count = -1;

	if (PQtransactionStatus(catalogue->sql) != PQTRANS_IDLE)
		return -1;
	result = database_query(catalogue->sql, &problem,
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
skip_asked(const Catalogue *catalogue)
{
	return count_skips(catalogue) > catalogue->skips;
}

/* If there are events to be passed over, let the stream begin behind them */
ExitStatus
skip_prepare(Consumer *consumer)
{
	Catalogue  *catalogue = consumer->catalogue;
	ExitStatus	status;

	catalogue->skips = count_skips(catalogue);
	if (catalogue->skips <= 0)
		return STATUS_RUNNING;
	consumer->standstill.stuck = false;
	status = catalogue_wal_end(catalogue, &catalogue->slot_position);
	if (status == STATUS_RUNNING)
		log_line(LOG_NOTE, "%d events are passed over; the others before " LSN_FORMAT " come from the outbox",
				 catalogue->skips, LSN_PARTS(catalogue->slot_position));
	return status;
}
