/*
 * horizon.c
 *		Which events are durable, whatever becomes of the slot.
 *
 * Neither the sequence of the outbox nor an LSN can tell which rows a new slot
 * will not deliver, for commits overtake each other. A horizon can: a snapshot's
 * xmin, read before the WAL's end. Every older transaction had ended by then;
 * once all up to that end is durable, so is every event of theirs, and of all
 * others that the snapshot shows.
 */
#include "catalogue/consumer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* WAL of others that passes before an idle stream takes a new horizon. */
#define IDLE_WAL (16 * 1024 * 1024)

/*
 * Read what may become the horizon; the statement's snapshot comes first. What
 * the stream told of before queries see it is left to the next candidate.
 */
static ExitStatus
take_candidate(Consumer *consumer)
{
	Candidate  *candidate = &consumer->candidate;
	Buffer		problem = {0};
	char		last_xid[32];
	const char *parameters[] = {last_xid};
	PGresult   *result;

	snprintf(last_xid, sizeof(last_xid), "%" PRIu64, consumer->last_xid);
	result = database_query(consumer->catalogue->sql, &problem,
							"SELECT pg_snapshot_xmin(s), s, pg_visible_in_snapshot($1::xid8, s), pg_current_wal_insert_lsn()"
							" FROM pg_current_snapshot() s", 1, parameters);
	if (result == NULL)
		return database_lost(&problem);
	free(candidate->snapshot);
	candidate->horizon = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	candidate->snapshot = copy_string(PQgetvalue(result, 0, 1));
	candidate->covers = consumer->uncovered;
	consumer->uncovered = PQgetvalue(result, 0, 2)[0] != 't';
	lsn_parse(PQgetvalue(result, 0, 3), &candidate->position);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Take one now, if something is delivered, or about to be (in hand), that nothing covers */
ExitStatus
horizon_cover(Consumer *consumer, bool in_hand)
{
	return consumer->uncovered || in_hand ? take_candidate(consumer) : STATUS_RUNNING;
}

/* Before a confirmation, perhaps the last one: write down what is durable, and move the horizon */
ExitStatus
horizon_advance(Consumer *consumer, bool ending)
{
	ConsumerRow *row = &consumer->row;
	Candidate  *candidate = &consumer->candidate;
	ExitStatus	status = STATUS_RUNNING;
	bool		changed = ending || consumer->delivered > row->delivered || consumer->durable > row->confirmed + IDLE_WAL;

	if (candidate->position != 0 && consumer->durable >= candidate->position)
	{
		changed = changed || candidate->covers || candidate->horizon > row->horizon;
		row->horizon = candidate->horizon;
		free(row->delivered_snapshot);
		row->delivered_snapshot = candidate->snapshot;
		candidate->snapshot = NULL;
		consumer->horizon_position = candidate->position;
		candidate->position = 0;
	}
	if (changed)
		status = consumer_save(consumer);
	if (status == STATUS_RUNNING && !ending && candidate->position == 0 &&
		(consumer->uncovered || consumer->durable > consumer->horizon_position + IDLE_WAL))
		status = take_candidate(consumer);
	return status;
}
