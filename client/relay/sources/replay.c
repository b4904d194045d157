/*
 * replay.c
 *		What comes before the stream: events that a new slot will not deliver,
 *		again from the outbox; or, to seed an empty index, every published item.
 *
 * Both begin after the slot was made, so that nothing falls between. What comes
 * twice is told apart by its version.
 */
#include "relay/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log.h"

/* Items of one short transaction of a snapshot. */
#define PAGE_SIZE "1000"

static void
clear_result(void *result)
{
	PQclear(result);
}

/* Make an event of a row of the outbox, with its memory */
static void
make_event(Relay *relay, PGresult *row, Event *event)
{
	char	   *values[COLUMN_COUNT];

	for (int column = 0; column < COLUMN_COUNT; column++)
		values[column] = PQgetisnull(row, 0, column) ? NULL : PQgetvalue(row, 0, column);
	event_from_columns(event, values, (size_t) PQgetlength(row, 0, COLUMN_PAYLOAD), relay->options.stream);
	event->memory = row;
	event->release = clear_result;
}

static ExitStatus
send_row(Relay *relay, PGresult *row)
{
	Event		event;

	make_event(relay, row, &event);
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
	{
		if (PQstatus(reader) == CONNECTION_OK && !stop_requested)
			skip_tell(relay, problem.data);
		return database_lost(&problem);
	}
	return status == STATUS_RUNNING ? batch_settle(relay) : status;
}

/* Begin a query of the stream's events from the horizon on: some may be delivered */
bool
undelivered_query(Relay *relay, Buffer *query, const char *columns, Buffer *problem)
{
	const char *parameters[] = {relay->options.slot};

	if (relay->row_filter == NULL)
	{
		PGresult   *result = database_query(relay->sql, problem,
											"SELECT coalesce(rowfilter, 'true') FROM pg_publication_tables WHERE pubname = $1", 1, parameters);

		if (result == NULL)
			return false;
		relay->row_filter = copy_string(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "true");
		PQclear(result);
	}
	buffer_printf(query, "SELECT %s FROM esgf_stac.outbox WHERE xid >= '%" PRIu64 "' AND (%s)",
				  columns, relay->consumer.horizon, relay->row_filter);
	return true;
}

/* Begin the query that repeats what the publication would have told */
static bool
query_outbox(Relay *relay, PGconn *reader, Buffer *problem)
{
	Buffer		columns = {0};
	Buffer		query = {0};
	bool		sent;

	for (int column = 0; column < COLUMN_COUNT; column++)
		buffer_printf(&columns, "%s%s", column > 0 ? ", " : "", column_names[column]);
	sent = undelivered_query(relay, &query, columns.data, problem);
	if (sent)
	{
		skip_condition(relay, &query);
		buffer_text(&query, " ORDER BY seq");
		sent = database_rows(reader, problem, query.data, 0, NULL);
	}
	buffer_free(&columns);
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

/* An item that cannot be sent is a dead letter at once */
static ExitStatus
refuse_row(Relay *relay, PGresult *row)
{
	Event		event;
	ExitStatus	status;

	make_event(relay, row, &event);
	event_refuse(&event, EVENT_REFUSED, "its document is too long to be sent");
	status = dead_letter_add(relay, &event);
	event_release(&event);
	return status;
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
					   "SELECT NULL, collection_id, item_id, 'item.seeded', version, CASE WHEN s.sent THEN document END, updated,"
					   " NULL, NULL, NULL, NULL, s.sent"
					   " FROM esgf_stac_internal.stream_items($1, $2, $3, " PAGE_SIZE "),"
					   " LATERAL (SELECT esgf_stac_internal.can_be_sent(document)) s (sent)", 3, parameters))
		return database_lost(&problem);
	while (status == STATUS_RUNNING && (row = database_next_row(reader, &problem)) != NULL)
	{
		keep_key(&consumer->seeded_collection, row, COLUMN_AGGREGATETYPE);
		keep_key(&consumer->seeded_item, row, COLUMN_AGGREGATEID);
		(*count)++;
		status = PQgetvalue(row, 0, COLUMN_COUNT)[0] == 't' ? send_row(relay, row) : refuse_row(relay, row);
		if (status == STATUS_RUNNING)
			status = heed_signals(relay);
	}
	if (problem.length > 0)
		return database_lost(&problem);
	if (status == STATUS_RUNNING)
		status = batch_settle(relay);
	if (status != STATUS_RUNNING)
		return status;
	consumer->snapshot_sent += *count - before;
	return *count == before ? consumer_seeded(relay, NULL, NULL) :
		consumer_seeded(relay, consumer->seeded_collection, consumer->seeded_item);
}

/* Append a number as people read it */
static void
append_count(Buffer *text, int64_t count)
{
	if (count >= 1000)
	{
		append_count(text, count / 1000);
		buffer_printf(text, ",%03d", (int) (count % 1000));
	}
	else
		buffer_printf(text, "%d", (int) count);
}

/* Append how many items of how many are sent, and how long the rest will take */
void
snapshot_progress(const Relay *relay, Buffer *text)
{
	const Consumer *consumer = &relay->consumer;
	int64_t		sent = consumer->snapshot_sent - consumer->snapshot_resumed;
	int64_t		left = consumer->snapshot_total - consumer->snapshot_sent;

	append_count(text, consumer->snapshot_sent);
	if (consumer->snapshot_total >= 0)
	{
		buffer_text(text, " of ");
		append_count(text, consumer->snapshot_total);
	}
	buffer_text(text, " items sent");
	if (consumer->snapshot_total >= 0 && left > 0 && sent > 0)
	{
		int64_t		seconds = left * (monotonic_ms() - consumer->snapshot_at) / sent / 1000 + 1;

		if (seconds < 100)
			buffer_printf(text, ", %d s left", (int) seconds);
		else if (seconds < 6000)
			buffer_printf(text, ", %d min left", (int) (seconds + 59) / 60);
		else
			buffer_printf(text, ", %d h left", (int) (seconds + 3599) / 3600);
	}
}

/* Learn how many items a snapshot will send, at its beginning */
static ExitStatus
count_items(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.stream};
	PGresult   *result = database_query(relay->sql, &problem,
										"SELECT coalesce(esgf_stac_internal.stream_item_count($1), -1)", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	relay->consumer.snapshot_total = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	relay->consumer.snapshot_sent = 0;
	PQclear(result);
	return consumer_seeded(relay, "", NULL);
}

static void
log_progress(const Relay *relay)
{
	Buffer		text = {0};

	snapshot_progress(relay, &text);
	log_line(LOG_NOTE, "snapshot: %s, now at %s", text.data, relay->consumer.seeded_item);
	buffer_free(&text);
}

/* Send every published item, page by page; another session can go on with it */
static ExitStatus
send_snapshot(Relay *relay, PGconn *reader)
{
	Consumer   *consumer = &relay->consumer;
	int64_t		count = 0;
	int64_t		shown_at = monotonic_ms();
	ExitStatus	status = STATUS_RUNNING;

	if (!consumer->seeding)
		status = count_items(relay);
	consumer->snapshot_resumed = consumer->snapshot_sent;
	consumer->snapshot_at = shown_at;
	while (status == STATUS_RUNNING && consumer->seeding)
	{
		if (stop_requested)
			return STATUS_STOPPED;
		status = send_page(relay, reader, &count);
		if (monotonic_ms() > shown_at + 10000 && consumer->seeding)
		{
			log_progress(relay);
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
