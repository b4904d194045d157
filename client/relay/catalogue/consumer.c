/*
 * consumer.c
 *		The stream's row of the table consumer: how far we have come, so that a
 *		lost slot loses no event.
 *
 * The row is written before a position is confirmed, so that a slot that has
 * confirmed more than the row says has skipped something: a replay repeats it.
 */
#include "catalogue/consumer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/wait.h"

/*
 * Read the row. That of a catalogue from which ours was restored is none: the
 * stream remembers on which table outbox it was made.
 */
ExitStatus
consumer_load(Consumer *consumer)
{
	Buffer		problem = {0};
	Catalogue  *catalogue = consumer->catalogue;
	ConsumerRow *row = &consumer->row;
	char		system_identifier[32];
	const char *parameters[] = {catalogue->settings->stream, system_identifier};
	PGresult   *result;

	free(row->seeded_collection);
	free(row->seeded_item);
	free(row->delivered_snapshot.hidden.xids);
	*row = (ConsumerRow)
	{
		.known = false
	};
	snprintf(system_identifier, sizeof(system_identifier), "%" PRId64, (int64_t) catalogue->system_identifier);
	result = database_query(catalogue->sql, &problem,
							"SELECT c.timeline, c.lsn, c.confirmed, c.horizon, c.seeded IS NOT NULL, c.snapshot_position IS NOT NULL,"
							" c.snapshot_position[1], c.snapshot_position[2], c.snapshot_sent, coalesce(c.snapshot_total, -1), coalesce(c.delivered, c.began),"
							" c.delivering_since IS NOT NULL, c.problem IS NOT NULL, s.outbox_oid <> o.oid"
							" FROM esgf_stac.stream s CROSS JOIN (SELECT 'esgf_stac.outbox'::regclass::oid) o (oid)"
							" LEFT JOIN esgf_stac.consumer c ON c.stream = s.name AND c.system_identifier = $2 AND c.outbox_oid = o.oid"
							" WHERE s.name = $1", 2, parameters);
	if (result == NULL)
		return database_lost(&problem);
	if (PQntuples(result) == 1 && PQgetisnull(result, 0, 0))
		row->restored = PQgetvalue(result, 0, 13)[0] == 't';
	else if (PQntuples(result) == 1)
	{
		row->known = true;
		row->timeline = atoi(PQgetvalue(result, 0, 0));
		lsn_parse(PQgetvalue(result, 0, 1), &row->delivered);
		lsn_parse(PQgetvalue(result, 0, 2), &row->confirmed);
		row->horizon = strtoull(PQgetvalue(result, 0, 3), NULL, 10);
		row->seeded = PQgetvalue(result, 0, 4)[0] == 't';
		row->seeding = PQgetvalue(result, 0, 5)[0] == 't';
		if (!PQgetisnull(result, 0, 6))
		{
			row->seeded_collection = copy_string(PQgetvalue(result, 0, 6));
			row->seeded_item = copy_string(PQgetvalue(result, 0, 7));
		}
		row->snapshot_sent = strtoll(PQgetvalue(result, 0, 8), NULL, 10);
		row->snapshot_total = strtoll(PQgetvalue(result, 0, 9), NULL, 10);
		pg_snapshot_read(&row->delivered_snapshot, PQgetvalue(result, 0, 10));
		row->delivering = PQgetvalue(result, 0, 11)[0] == 't';
		row->problem_told = PQgetvalue(result, 0, 12)[0] == 't';
	}
	PQclear(result);
	consumer->candidate.position = 0;
	consumer->uncovered.count = 0;
	consumer->fresh = true;
	consumer->untold = false;
	return STATUS_RUNNING;
}

/* Run a command that changes our row */
static ExitStatus
change(const Catalogue *catalogue, const char *command, int count, const char *const *parameters)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(catalogue->sql, &problem, command, count, parameters);

	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/*
 * Make the row of a stream that was never read before. The slot's catalog_xmin
 * is older than every transaction that it has yet to deliver; what is visible in
 * "began", where that is known, is older than the slot.
 */
ExitStatus
consumer_begin(Consumer *consumer, const char *began)
{
	char		timeline[16];
	const char *parameters[] = {consumer->catalogue->settings->stream, consumer->catalogue->settings->slot, timeline,
	consumer->catalogue->settings->has_sink ? "true" : "false", began};
	ExitStatus	status;

	if (consumer->row.known)
		return STATUS_RUNNING;
	snprintf(timeline, sizeof(timeline), "%d", consumer->catalogue->timeline);
	status = change(consumer->catalogue,
					"INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon, outbox_oid, delivering_since, began)"
					" SELECT $1, c.system_identifier, $3::int, l.confirmed_flush_lsn, l.confirmed_flush_lsn,"
					"        (n.xid - (n.xid % 4294967296 - l.catalog_xmin::text::bigint + 4294967296) % 4294967296)::text::xid8,"
					"        'esgf_stac.outbox'::regclass, CASE WHEN $4::boolean THEN now() END, $5::pg_snapshot"
					"   FROM pg_control_system() c, pg_replication_slots l,"
					"        (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) n(xid)"
					"  WHERE l.slot_name = $2"
					" ON CONFLICT (stream) DO UPDATE SET (system_identifier, timeline, lsn, confirmed, horizon, snapshot_position, seeded, updated,"
					" outbox_oid, delivering_since, delivered, problem, problem_at, began, foreign_versions, foreign_version, foreign_at)"
					" = ROW (excluded.system_identifier, excluded.timeline, excluded.lsn, excluded.confirmed, excluded.horizon, NULL, NULL, now(),"
					" excluded.outbox_oid, excluded.delivering_since, NULL, NULL, NULL, excluded.began, NULL, NULL, NULL)",
					5, parameters);
	return status == STATUS_RUNNING ? consumer_load(consumer) : status;
}

/* From now on a sink is to be fed: the outbox keeps what it lacks */
ExitStatus
consumer_deliver(Consumer *consumer)
{
	const char *parameters[] = {consumer->catalogue->settings->stream};

	if (!consumer->row.known || consumer->row.delivering || !consumer->catalogue->settings->has_sink)
		return STATUS_RUNNING;
	consumer->row.delivering = true;
	return change(consumer->catalogue, "UPDATE esgf_stac.consumer SET delivering_since = now(), updated = now() WHERE stream = $1", 1, parameters);
}

/* Forget how far we have come: every event that the outbox keeps is to be sent */
ExitStatus
consumer_forget(Consumer *consumer)
{
	const char *parameters[] = {consumer->catalogue->settings->stream};
	ExitStatus	status = change(consumer->catalogue,
								"UPDATE esgf_stac.consumer SET horizon = '0', delivered = NULL, began = NULL, confirmed = '0/0', seeded = now(), updated = now()"
								" WHERE stream = $1", 1, parameters);

	return status == STATUS_RUNNING ? consumer_load(consumer) : status;
}

/* Everything that the slot will not deliver has been repeated */
ExitStatus
consumer_replayed(Consumer *consumer)
{
	char		position[32];
	char		timeline[16];
	const char *parameters[] = {consumer->catalogue->settings->stream, position, timeline};

	snprintf(position, sizeof(position), LSN_FORMAT, LSN_PARTS(consumer->catalogue->slot_position));
	snprintf(timeline, sizeof(timeline), "%d", consumer->catalogue->timeline);
	consumer->row.confirmed = consumer->catalogue->slot_position;
	consumer->row.timeline = consumer->catalogue->timeline;
	return change(consumer->catalogue, "UPDATE esgf_stac.consumer SET confirmed = $2, timeline = $3, updated = now() WHERE stream = $1",
				  3, parameters);
}

/*
 * Seeding has come that far: to an item, to its beginning (an empty collection)
 * or, with NULL, to its end.
 */
ExitStatus
consumer_seeded(Consumer *consumer, const char *collection_id, const char *item_id)
{
	char		sent[32];
	char		total[32];
	const char *parameters[] = {consumer->catalogue->settings->stream, collection_id, item_id, sent, total};

	consumer->row.seeding = collection_id != NULL;
	consumer->row.seeded = collection_id == NULL;
	snprintf(sent, sizeof(sent), "%" PRId64, consumer->row.snapshot_sent);
	snprintf(total, sizeof(total), "%" PRId64, consumer->row.snapshot_total);
	return change(consumer->catalogue,
				  "UPDATE esgf_stac.consumer SET updated = now(),"
				  " seeded = CASE WHEN $2::text IS NULL THEN now() END,"
				  " snapshot_sent = CASE WHEN $2 IS NOT NULL THEN $4::bigint END,"
				  " snapshot_total = CASE WHEN $2 IS NOT NULL THEN nullif($5::bigint, -1) END,"
				  " snapshot_position = CASE WHEN $3::text IS NOT NULL THEN ARRAY[$2, $3] WHEN $2 IS NOT NULL THEN '{}'::text[] END"
				  " WHERE stream = $1", 5, parameters);
}

/*
 * Write the row. That commit need not be durable: an older row costs
 * repetitions, never events.
 */
ExitStatus
consumer_save(Consumer *consumer)
{
	const Catalogue *catalogue = consumer->catalogue;
	ConsumerRow *row = &consumer->row;
	Buffer		problem = {0};
	Buffer		delivered = {0};
	Buffer		command = {0};
	bool		saved;

	row->timeline = catalogue->timeline;
	row->confirmed = consumer->durable;
	if (consumer->delivered > row->delivered)
		row->delivered = consumer->delivered;
	if (row->delivered_snapshot.xmax != 0)
		pg_snapshot_print(&row->delivered_snapshot, &delivered);
	buffer_printf(&command, "SET LOCAL synchronous_commit = off;"
				  "UPDATE esgf_stac.consumer SET timeline = %d, lsn = '" LSN_FORMAT "', confirmed = '" LSN_FORMAT "',"
				  " horizon = '%" PRIu64 "', delivered = nullif('%s', '')::pg_snapshot, updated = now() WHERE stream = '%s'",
				  row->timeline, LSN_PARTS(row->delivered), LSN_PARTS(row->confirmed), row->horizon,
				  delivered.data != NULL ? delivered.data : "", catalogue->settings->stream);
	consumer->told_at = monotonic_ms();
	saved = database_do(catalogue->sql, &problem, command.data);
	if (saved)
		consumer->untold = false;
	buffer_free(&delivered);
	buffer_free(&command);
	return saved ? STATUS_RUNNING : database_lost(&problem);
}

/* The stream has brought all events of a transaction */
void
consumer_arrived(Consumer *consumer, uint64_t xid)
{
	xids_add(&consumer->arrived, xid);
}

/* All that was received is durable */
void
consumer_settle(Consumer *consumer)
{
	for (size_t i = 0; i < consumer->arrived.count; i++)
		horizon_deliver(consumer, consumer->arrived.xids[i]);
	consumer->arrived.count = 0;
	consumer->durable = consumer->received;
	consumer->delivered = consumer->received_end;
	standstill_over(consumer);
}

/* Could more be written down now than the row says? */
bool
consumer_has_news(const Consumer *consumer)
{
	const Candidate *candidate = &consumer->candidate;

	return consumer->untold || consumer->received_end > consumer->row.delivered ||
		(candidate->position != 0 && candidate->covers && consumer->received >= candidate->position);
}

/* The sink keeps us waiting: write down what it has, if that is due; if it cannot be done now, then later */
void
consumer_tell(Consumer *consumer)
{
	if (consumer->untold && monotonic_ms() >= consumer->told_at + NEWS_INTERVAL_MS &&
		PQtransactionStatus(consumer->catalogue->sql) == PQTRANS_IDLE)
		consumer_save(consumer);
}

/* What was received and is not durable comes again */
void
consumer_drop(Consumer *consumer)
{
	consumer->arrived.count = 0;
	consumer->received = consumer->durable;
	consumer->received_end = consumer->delivered;
}
