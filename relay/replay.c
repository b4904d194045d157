/*
 * replay.c
 *		What comes before the stream: events that a new slot will not deliver,
 *		again from the outbox; or, to seed an empty index, every published item.
 *
 * Both begin after the slot was made, so that nothing falls between. What comes
 * twice is told apart by its version.
 */
#include "relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

/* Items of one short transaction of a snapshot. */
#define PAGE_SIZE "1000"

static void
clear_result(void *result)
{
	PQclear(result);
}

/* Hand over a row of the outbox, with its memory */
static ExitStatus
send_row(Relay *relay, PGresult *row)
{
	char	   *values[COLUMN_COUNT];
	Event		event;

	for (int column = 0; column < COLUMN_COUNT; column++)
		values[column] = PQgetisnull(row, 0, column) ? NULL : PQgetvalue(row, 0, column);
	event_from_columns(&event, values, (size_t) PQgetlength(row, 0, COLUMN_PAYLOAD), relay->options.stream);
	event.memory = row;
	event.release = clear_result;
	return batch_add(relay, &event);
}

/* Hand over the rows of a query that has been sent, and count them */
static ExitStatus
send_rows(Relay *relay, PGconn *reader, int64_t *count)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_RUNNING;
	PGresult   *row;

	while (status == STATUS_RUNNING && (row = database_next_row(reader, &problem)) != NULL)
	{
		status = send_row(relay, row);
		(*count)++;
		if (status == STATUS_RUNNING)
			status = heed_signals(relay);
	}
	if (problem.length > 0)
		return database_lost(&problem);
	return status == STATUS_RUNNING ? batch_settle(relay) : status;
}

/* Begin the query that repeats what the publication would have told */
static bool
query_outbox(Relay *relay, PGconn *reader, Buffer *problem)
{
	const char *parameters[] = {relay->options.slot};
	char		horizon[32];
	const char *horizon_parameter[] = {horizon};
	Buffer		query = {0};
	bool		sent;
	PGresult   *result = database_query(relay->sql, problem,
										"SELECT coalesce(rowfilter, 'true') FROM pg_publication_tables WHERE pubname = $1", 1, parameters);

	if (result == NULL)
		return false;
	buffer_text(&query, "SELECT ");
	for (int column = 0; column < COLUMN_COUNT; column++)
		buffer_printf(&query, "%s%s", column > 0 ? ", " : "", column_names[column]);
	buffer_printf(&query, " FROM esgf_stac.outbox WHERE xid >= $1 AND (%s) ORDER BY seq", PQgetvalue(result, 0, 0));
	PQclear(result);
	snprintf(horizon, sizeof(horizon), "%" PRIu64, relay->consumer.horizon);
	sent = database_rows(reader, problem, query.data, 1, horizon_parameter);
	buffer_free(&query);
	return sent;
}

/* Repeat from the outbox every event from the horizon on */
static ExitStatus
replay_outbox(Relay *relay, PGconn *reader)
{
	Buffer		problem = {0};
	int64_t		count = 0;
	ExitStatus	status;

	if (!query_outbox(relay, reader, &problem))
		return database_lost(&problem);
	status = send_rows(relay, reader, &count);
	if (status != STATUS_RUNNING)
		return status;
	log_line(count > 0 ? LOG_NOTE : LOG_DETAIL, "sent %" PRId64 " events from the outbox", count);
	return consumer_replayed(relay);
}

/* Keep the key of a page's last item */
static void
keep_key(char **key, const PGresult *row, Column column)
{
	free(*key);
	*key = copy_string(PQgetvalue(row, 0, column));
}

/* Send one page of published items after the last one sent */
static ExitStatus
send_page(Relay *relay, PGconn *reader, int64_t *count)
{
	Consumer   *consumer = &relay->consumer;
	const char *parameters[] = {relay->options.stream, consumer->seeded_collection, consumer->seeded_item};
	Buffer		problem = {0};
	ExitStatus	status = STATUS_RUNNING;
	PGresult   *row;
	int64_t		before = *count;

	/* In the order of column_names. */
	if (!database_rows(reader, &problem,
					   "SELECT NULL, collection_id, item_id, 'item.seeded', version, document, updated, NULL, NULL, NULL, NULL"
					   " FROM esgf_stac_internal.stream_items($1, $2, $3, " PAGE_SIZE ")", 3, parameters))
		return database_lost(&problem);
	while (status == STATUS_RUNNING && (row = database_next_row(reader, &problem)) != NULL)
	{
		keep_key(&consumer->seeded_collection, row, COLUMN_AGGREGATETYPE);
		keep_key(&consumer->seeded_item, row, COLUMN_AGGREGATEID);
		(*count)++;
		status = send_row(relay, row);
		if (status == STATUS_RUNNING)
			status = heed_signals(relay);
	}
	if (problem.length > 0)
		return database_lost(&problem);
	if (status == STATUS_RUNNING)
		status = batch_settle(relay);
	if (status != STATUS_RUNNING)
		return status;
	return *count == before ? consumer_seeded(relay, NULL, NULL) :
		consumer_seeded(relay, consumer->seeded_collection, consumer->seeded_item);
}

/* Send every published item, page by page; another session can go on with it */
static ExitStatus
send_snapshot(Relay *relay, PGconn *reader)
{
	int64_t		count = 0;
	int64_t		shown_at = monotonic_ms();
	ExitStatus	status = STATUS_RUNNING;

	if (!relay->consumer.seeding)
		status = consumer_seeded(relay, "", NULL);
	while (status == STATUS_RUNNING && relay->consumer.seeding)
	{
		if (stop_requested)
			return STATUS_STOPPED;
		status = send_page(relay, reader, &count);
		if (monotonic_ms() > shown_at + 10000 && relay->consumer.seeding)
		{
			log_line(LOG_NOTE, "snapshot: %" PRId64 " items sent, now at %s", count, relay->consumer.seeded_item);
			shown_at = monotonic_ms();
		}
	}
	if (status == STATUS_RUNNING)
		log_line(LOG_NOTE, "snapshot: done, %" PRId64 " items sent", count);
	return status;
}

/*
 * Send the rows of a query that answers with the columns of column_names. It
 * has another connection, for dead letters may have to be written meanwhile.
 */
ExitStatus
replay_query(Relay *relay, const char *query, int count, const char *const *parameters)
{
	Buffer		problem = {0};
	int64_t		rows = 0;
	PGconn	   *reader;
	ExitStatus	status = catalogue_connect(relay, &reader);

	if (status == STATUS_RUNNING)
		status = database_rows(reader, &problem, query, count, parameters) ?
			send_rows(relay, reader, &rows) : database_lost(&problem);
	PQfinish(reader);
	return status;
}

/* Send what must come before the stream */
ExitStatus
replay(Relay *relay)
{
	const Options *options = &relay->options;
	Consumer   *consumer = &relay->consumer;
	ExitStatus	status = STATUS_RUNNING;
	PGconn	   *reader;
	bool		missing;
	bool		snapshot;

	if ((options->snapshot || options->from_beginning) && consumer->seeded)
		log_line(LOG_NOTE, "the stream was seeded before; to do it anew, drop and create the stream");
	if (options->from_beginning && !consumer->seeded)
		status = consumer_forget(relay);
	missing = (relay->slot_position > consumer->confirmed && relay->slot_position > relay->durable) ||
		relay->timeline != consumer->timeline;
	snapshot = consumer->seeding || (options->snapshot && !consumer->seeded);
	if (status != STATUS_RUNNING || !(missing || snapshot))
		return status;

	/* What was committed before the slot's position will not come by the stream. */
	status = wait_for_commits(relay);
	if (status != STATUS_RUNNING)
		return status;
	status = catalogue_connect(relay, &reader);
	if (status == STATUS_RUNNING && missing)
		status = replay_outbox(relay, reader);
	if (status == STATUS_RUNNING && snapshot)
		status = send_snapshot(relay, reader);
	PQfinish(reader);
	return status;
}
