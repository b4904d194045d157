/*
 * consumer.c
 *		The stream's row of the table consumer: how far we have come, so that a
 *		lost slot loses no event.
 *
 * Neither the sequence of the outbox nor an LSN can tell which rows a new slot
 * will not deliver, for commits overtake each other. A horizon can: a snapshot's
 * xmin, read before the WAL's end. Every older transaction had ended by then;
 * once all up to that end is durable, so is every event of theirs, and of all
 * others that the snapshot shows.
 *
 * The row is written before a position is confirmed, so that a slot that has
 * confirmed more than the row says has skipped something: replay.c repeats it.
 */
#include "relay/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log.h"

/* WAL of others that passes before an idle stream takes a new horizon. */
#define IDLE_WAL (16 * 1024 * 1024)

/* A problem that lasts is written down that often. */
#define REMIND_MS 30000

/*
 * Read the row. That of a catalogue from which ours was restored is none: the
 * stream remembers on which table outbox it was made.
 */
ExitStatus
consumer_load(Relay *relay)
{
	Buffer		problem = {0};
	Consumer   *consumer = &relay->consumer;
	char		system_identifier[32];
	const char *parameters[] = {relay->options.stream, system_identifier};
	PGresult   *result;

	free(consumer->seeded_collection);
	free(consumer->seeded_item);
	free(consumer->delivered_snapshot);
	*consumer = (Consumer)
	{
		.known = false
	};
	snprintf(system_identifier, sizeof(system_identifier), "%" PRId64, (int64_t) relay->system_identifier);
	result = database_query(relay->sql, &problem,
							"SELECT c.timeline, c.lsn, c.confirmed, c.horizon, c.seeded IS NOT NULL, c.snapshot_position IS NOT NULL,"
							" c.snapshot_position[1], c.snapshot_position[2], c.snapshot_sent, coalesce(c.snapshot_total, -1), c.delivered,"
							" c.delivering_since IS NOT NULL, c.problem IS NOT NULL, s.outbox_oid <> o.oid"
							" FROM esgf_stac.stream s CROSS JOIN (SELECT 'esgf_stac.outbox'::regclass::oid) o (oid)"
							" LEFT JOIN esgf_stac.consumer c ON c.stream = s.name AND c.system_identifier = $2 AND c.outbox_oid = o.oid"
							" WHERE s.name = $1", 2, parameters);
	if (result == NULL)
		return database_lost(&problem);
	if (PQntuples(result) == 1 && PQgetisnull(result, 0, 0))
		consumer->restored = PQgetvalue(result, 0, 13)[0] == 't';
	else if (PQntuples(result) == 1)
	{
		consumer->known = true;
		consumer->timeline = atoi(PQgetvalue(result, 0, 0));
		lsn_parse(PQgetvalue(result, 0, 1), &consumer->delivered);
		lsn_parse(PQgetvalue(result, 0, 2), &consumer->confirmed);
		consumer->horizon = strtoull(PQgetvalue(result, 0, 3), NULL, 10);
		consumer->seeded = PQgetvalue(result, 0, 4)[0] == 't';
		consumer->seeding = PQgetvalue(result, 0, 5)[0] == 't';
		if (!PQgetisnull(result, 0, 6))
		{
			consumer->seeded_collection = copy_string(PQgetvalue(result, 0, 6));
			consumer->seeded_item = copy_string(PQgetvalue(result, 0, 7));
		}
		consumer->snapshot_sent = strtoll(PQgetvalue(result, 0, 8), NULL, 10);
		consumer->snapshot_total = strtoll(PQgetvalue(result, 0, 9), NULL, 10);
		if (!PQgetisnull(result, 0, 10))
			consumer->delivered_snapshot = copy_string(PQgetvalue(result, 0, 10));
		consumer->delivering = PQgetvalue(result, 0, 11)[0] == 't';
		consumer->problem_told = PQgetvalue(result, 0, 12)[0] == 't';
	}
	PQclear(result);
	relay->candidate.position = 0;
	relay->uncovered = true;
	return STATUS_RUNNING;
}

/* Run a command that changes our row */
static ExitStatus
change(Relay *relay, const char *command, int count, const char *const *parameters)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(relay->sql, &problem, command, count, parameters);

	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/*
 * Make the row of a stream that was never read before. The slot's catalog_xmin
 * is older than every transaction that it has yet to deliver.
 */
ExitStatus
consumer_begin(Relay *relay)
{
	char		timeline[16];
	const char *parameters[] = {relay->options.stream, relay->options.slot, timeline,
	relay->options.sink_kind != NULL ? "true" : "false"};
	ExitStatus	status;

	if (relay->consumer.known)
		return STATUS_RUNNING;
	snprintf(timeline, sizeof(timeline), "%d", relay->timeline);
	status = change(relay,
					"INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon, outbox_oid, delivering_since)"
					" SELECT $1, c.system_identifier, $3::int, l.confirmed_flush_lsn, l.confirmed_flush_lsn,"
					"        (n.xid - (n.xid % 4294967296 - l.catalog_xmin::text::bigint + 4294967296) % 4294967296)::text::xid8,"
					"        'esgf_stac.outbox'::regclass, CASE WHEN $4::boolean THEN now() END"
					"   FROM pg_control_system() c, pg_replication_slots l,"
					"        (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) n(xid)"
					"  WHERE l.slot_name = $2"
					" ON CONFLICT (stream) DO UPDATE SET (system_identifier, timeline, lsn, confirmed, horizon, snapshot_position, seeded, updated,"
					" outbox_oid, delivering_since, delivered, problem, problem_at)"
					" = ROW (excluded.system_identifier, excluded.timeline, excluded.lsn, excluded.confirmed, excluded.horizon, NULL, NULL, now(),"
					" excluded.outbox_oid, excluded.delivering_since, NULL, NULL, NULL)",
					4, parameters);
	return status == STATUS_RUNNING ? consumer_load(relay) : status;
}

/* From now on a sink is to be fed: the outbox keeps what it lacks */
ExitStatus
consumer_deliver(Relay *relay)
{
	const char *parameters[] = {relay->options.stream};

	if (!relay->consumer.known || relay->consumer.delivering || relay->options.sink_kind == NULL)
		return STATUS_RUNNING;
	relay->consumer.delivering = true;
	return change(relay, "UPDATE esgf_stac.consumer SET delivering_since = now(), updated = now() WHERE stream = $1", 1, parameters);
}

/* Write down why the stream stands still, or that it does not; no error if that cannot be done now */
static void
tell_problem(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.stream, relay->problem};

	/* Something else may be under way there. */
	if (!relay->consumer.known || PQtransactionStatus(relay->sql) != PQTRANS_IDLE)
		return;
	PQclear(database_query(relay->sql, &problem,
						   "UPDATE esgf_stac.consumer SET problem = left($2, 1000), problem_at = CASE WHEN $2 IS NOT NULL THEN now() END"
						   " WHERE stream = $1", 2, parameters));
	buffer_free(&problem);
	relay->consumer.problem_told = relay->problem != NULL;
	relay->problem_at = monotonic_ms();
}

/* The stream stands still; what is told of that has no secrets in it, as in the log */
void
consumer_problem(Relay *relay, const char *what, const char *problem)
{
	Buffer		text = {0};

	buffer_printf(&text, "%s: ", what);
	log_text(&text, problem, "");
	free(relay->problem);
	relay->problem = text.data;
	relay->stuck = false;
	tell_problem(relay);
}

/* It still does: who reads the row believes it for two minutes */
void
consumer_remind(Relay *relay)
{
	if (relay->problem != NULL && monotonic_ms() >= relay->problem_at + REMIND_MS)
		tell_problem(relay);
}

/* It does not, or no more */
void
consumer_well(Relay *relay)
{
	if (relay->stuck && relay->delivered <= relay->stuck_at)
		return;
	relay->stuck = false;
	free(relay->problem);
	relay->problem = NULL;
	if (relay->consumer.problem_told)
		tell_problem(relay);
}

/* Forget how far we have come: every event that the outbox keeps is to be sent */
ExitStatus
consumer_forget(Relay *relay)
{
	const char *parameters[] = {relay->options.stream};
	ExitStatus	status = change(relay,
								"UPDATE esgf_stac.consumer SET horizon = '0', delivered = NULL, confirmed = '0/0', seeded = now(), updated = now()"
								" WHERE stream = $1", 1, parameters);

	return status == STATUS_RUNNING ? consumer_load(relay) : status;
}

/* Everything that the slot will not deliver has been repeated */
ExitStatus
consumer_replayed(Relay *relay)
{
	char		position[32];
	char		timeline[16];
	const char *parameters[] = {relay->options.stream, position, timeline};

	snprintf(position, sizeof(position), LSN_FORMAT, LSN_PARTS(relay->slot_position));
	snprintf(timeline, sizeof(timeline), "%d", relay->timeline);
	relay->consumer.confirmed = relay->slot_position;
	relay->consumer.timeline = relay->timeline;
	return change(relay, "UPDATE esgf_stac.consumer SET confirmed = $2, timeline = $3, updated = now() WHERE stream = $1",
				  3, parameters);
}

/*
 * Seeding has come that far: to an item, to its beginning (an empty collection)
 * or, with NULL, to its end.
 */
ExitStatus
consumer_seeded(Relay *relay, const char *collection_id, const char *item_id)
{
	char		sent[32];
	char		total[32];
	const char *parameters[] = {relay->options.stream, collection_id, item_id, sent, total};

	relay->consumer.seeding = collection_id != NULL;
	relay->consumer.seeded = collection_id == NULL;
	snprintf(sent, sizeof(sent), "%" PRId64, relay->consumer.snapshot_sent);
	snprintf(total, sizeof(total), "%" PRId64, relay->consumer.snapshot_total);
	return change(relay,
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
static ExitStatus
save(Relay *relay)
{
	Consumer   *consumer = &relay->consumer;
	Buffer		problem = {0};
	Buffer		command = {0};
	bool		saved;

	consumer->timeline = relay->timeline;
	consumer->confirmed = relay->durable;
	if (relay->delivered > consumer->delivered)
		consumer->delivered = relay->delivered;
	buffer_printf(&command, "SET LOCAL synchronous_commit = off;"
				  "UPDATE esgf_stac.consumer SET timeline = %d, lsn = '" LSN_FORMAT "', confirmed = '" LSN_FORMAT "',"
				  " horizon = '%" PRIu64 "', delivered = nullif('%s', '')::pg_snapshot, updated = now() WHERE stream = '%s'",
				  consumer->timeline, LSN_PARTS(consumer->delivered), LSN_PARTS(consumer->confirmed), consumer->horizon,
				  consumer->delivered_snapshot != NULL ? consumer->delivered_snapshot : "", relay->options.stream);
	saved = database_do(relay->sql, &problem, command.data);
	buffer_free(&command);
	return saved ? STATUS_RUNNING : database_lost(&problem);
}

/*
 * Read what may become the horizon; the statement's snapshot comes first. What
 * the stream told of before queries see it is left to the next candidate.
 */
static ExitStatus
take_candidate(Relay *relay)
{
	Candidate  *candidate = &relay->candidate;
	Buffer		problem = {0};
	char		last_xid[32];
	const char *parameters[] = {last_xid};
	PGresult   *result;

	snprintf(last_xid, sizeof(last_xid), "%" PRIu64, relay->last_xid);
	result = database_query(relay->sql, &problem,
							"SELECT pg_snapshot_xmin(s), s, pg_visible_in_snapshot($1::xid8, s), pg_current_wal_insert_lsn()"
							" FROM pg_current_snapshot() s", 1, parameters);
	if (result == NULL)
		return database_lost(&problem);
	free(candidate->snapshot);
	candidate->horizon = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	candidate->snapshot = copy_string(PQgetvalue(result, 0, 1));
	candidate->covers = relay->uncovered;
	relay->uncovered = PQgetvalue(result, 0, 2)[0] != 't';
	lsn_parse(PQgetvalue(result, 0, 3), &candidate->position);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Take one now, if something is delivered, or about to be, that nothing covers */
ExitStatus
consumer_cover(Relay *relay)
{
	bool		covered = !relay->uncovered && relay->batch_count == 0 && !relay->unflushed;

	return covered ? STATUS_RUNNING : take_candidate(relay);
}

/* Before a confirmation: write down what is durable, and move the horizon */
ExitStatus
consumer_advance(Relay *relay)
{
	Consumer   *consumer = &relay->consumer;
	Candidate  *candidate = &relay->candidate;
	ExitStatus	status = STATUS_RUNNING;
	bool		changed = relay->ending || relay->delivered > consumer->delivered ||
	relay->durable > consumer->confirmed + IDLE_WAL;

	if (candidate->position != 0 && relay->durable >= candidate->position)
	{
		changed = changed || candidate->covers || candidate->horizon > consumer->horizon;
		consumer->horizon = candidate->horizon;
		free(consumer->delivered_snapshot);
		consumer->delivered_snapshot = candidate->snapshot;
		candidate->snapshot = NULL;
		relay->horizon_position = candidate->position;
		candidate->position = 0;
	}
	if (changed)
		status = save(relay);
	if (status == STATUS_RUNNING && !relay->ending && candidate->position == 0 &&
		(relay->uncovered || relay->durable > relay->horizon_position + IDLE_WAL))
		status = take_candidate(relay);
	return status;
}
