/*
 * consumer.c
 *		The stream's row of the table consumer: how far we have come, so that a
 *		lost slot loses no event.
 *
 * Neither the sequence of the outbox nor an LSN can tell which rows a new slot
 * will not deliver, for commits overtake each other. A horizon can: a snapshot's
 * xmin, read before the WAL's end. Every older transaction had ended by then;
 * once all up to that end is durable, so is every event of theirs.
 *
 * The row is written before a position is confirmed, so that a slot that has
 * confirmed more than the row says has skipped something: replay.c repeats it.
 */
#include "relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* WAL of others that passes before an idle stream takes a new horizon. */
#define IDLE_WAL (16 * 1024 * 1024)

/* Read the row; that of another cluster, from which we were restored, is none */
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
	*consumer = (Consumer)
	{
		.known = false
	};
	snprintf(system_identifier, sizeof(system_identifier), "%" PRId64, (int64_t) relay->system_identifier);
	result = database_query(relay->sql, &problem,
							"SELECT timeline, lsn, confirmed, horizon, seeded IS NOT NULL, snapshot_position IS NOT NULL,"
							" snapshot_position[1], snapshot_position[2]"
							" FROM esgf_stac.consumer WHERE stream = $1 AND system_identifier = $2", 2, parameters);
	if (result == NULL)
		return database_lost(&problem);
	if (PQntuples(result) == 1)
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
	}
	PQclear(result);
	relay->candidate.position = 0;
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
	const char *parameters[] = {relay->options.stream, relay->options.slot, timeline};
	ExitStatus	status;

	if (relay->consumer.known)
		return STATUS_RUNNING;
	snprintf(timeline, sizeof(timeline), "%d", relay->timeline);
	status = change(relay,
					"INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon)"
					" SELECT $1, c.system_identifier, $3::int, l.confirmed_flush_lsn, l.confirmed_flush_lsn,"
					"        (n.xid - (n.xid % 4294967296 - l.catalog_xmin::text::bigint + 4294967296) % 4294967296)::text::xid8"
					"   FROM pg_control_system() c, pg_replication_slots l,"
					"        (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) n(xid)"
					"  WHERE l.slot_name = $2"
					" ON CONFLICT (stream) DO UPDATE SET (system_identifier, timeline, lsn, confirmed, horizon, snapshot_position, seeded, updated)"
					" = ROW (excluded.system_identifier, excluded.timeline, excluded.lsn, excluded.confirmed, excluded.horizon, NULL, NULL, now())",
					3, parameters);
	return status == STATUS_RUNNING ? consumer_load(relay) : status;
}

/* Forget how far we have come: every event that the outbox keeps is to be sent */
ExitStatus
consumer_forget(Relay *relay)
{
	const char *parameters[] = {relay->options.stream};
	ExitStatus	status = change(relay,
								"UPDATE esgf_stac.consumer SET horizon = '0', confirmed = '0/0', seeded = now(), updated = now()"
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
	const char *parameters[] = {relay->options.stream, collection_id, item_id};

	relay->consumer.seeding = collection_id != NULL;
	relay->consumer.seeded = collection_id == NULL;
	return change(relay,
				  "UPDATE esgf_stac.consumer SET updated = now(),"
				  " seeded = CASE WHEN $2::text IS NULL THEN now() END,"
				  " snapshot_position = CASE WHEN $3::text IS NOT NULL THEN ARRAY[$2, $3] WHEN $2 IS NOT NULL THEN '{}'::text[] END"
				  " WHERE stream = $1", 3, parameters);
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
				  " horizon = '%" PRIu64 "', updated = now() WHERE stream = '%s'",
				  consumer->timeline, LSN_PARTS(consumer->delivered), LSN_PARTS(consumer->confirmed),
				  consumer->horizon, relay->options.stream);
	saved = database_do(relay->sql, &problem, command.data);
	buffer_free(&command);
	return saved ? STATUS_RUNNING : database_lost(&problem);
}

/* Read what may become the horizon; the statement's snapshot comes first */
static ExitStatus
take_candidate(Relay *relay)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(relay->sql, &problem,
										"SELECT pg_snapshot_xmin(pg_current_snapshot()), pg_current_wal_insert_lsn()", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	relay->candidate.horizon = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	lsn_parse(PQgetvalue(result, 0, 1), &relay->candidate.position);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Is there something delivered that the horizon does not cover? */
bool
consumer_behind(const Relay *relay)
{
	return relay->last_xid >= relay->consumer.horizon;
}

/* Before a confirmation: write down what is durable, and move the horizon */
ExitStatus
consumer_advance(Relay *relay)
{
	Consumer   *consumer = &relay->consumer;
	ExitStatus	status = STATUS_RUNNING;
	bool		changed = relay->ending || relay->delivered > consumer->delivered ||
	relay->durable > consumer->confirmed + IDLE_WAL;

	if (relay->candidate.position != 0 && relay->durable >= relay->candidate.position)
	{
		changed = changed || relay->candidate.horizon > consumer->horizon;
		consumer->horizon = relay->candidate.horizon;
		relay->horizon_position = relay->candidate.position;
		relay->candidate.position = 0;
	}
	if (changed)
		status = save(relay);
	if (status == STATUS_RUNNING && !relay->ending && relay->candidate.position == 0 &&
		(consumer_behind(relay) || relay->durable > relay->horizon_position + IDLE_WAL))
		status = take_candidate(relay);
	return status;
}
