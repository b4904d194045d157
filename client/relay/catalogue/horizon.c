/*
 * horizon.c
 *		Which events are durable, whatever becomes of the slot.
 *
 * Neither the sequence of the outbox nor an LSN can tell which rows a new slot
 * will not deliver, for commits overtake each other. A horizon can: a snapshot's
 * xmin, read before the WAL's end. Every older transaction had ended by then;
 * once all up to that end is durable, so is every event of theirs, and of all
 * others that the snapshot shows. Until then the last one of which that holds is
 * kept, with each transaction added to it whose events have become durable.
 */
#include "catalogue/consumer.h"

#include <stdlib.h>

/* WAL of others that passes before an idle stream takes a new horizon. */
#define IDLE_WAL (16 * 1024 * 1024)

/* The events of a transaction are durable */
void
horizon_deliver(Consumer *consumer, uint64_t xid)
{
	const Candidate *candidate = &consumer->candidate;

	consumer->untold = true;
	pg_snapshot_add(&consumer->row.delivered_snapshot, xid);
	if (candidate->position == 0 || !pg_snapshot_shows(&candidate->snapshot, xid))
		xids_add(&consumer->uncovered, xid);
}

/* Leave those uncovered that a candidate does not show */
static void
cover(XidList *uncovered, const PgSnapshot *snapshot)
{
	size_t		left = 0;

	for (size_t i = 0; i < uncovered->count; i++)
		if (!pg_snapshot_shows(snapshot, uncovered->xids[i]))
			uncovered->xids[left++] = uncovered->xids[i];
	uncovered->count = left;
}

/* Was something delivered that no candidate covers? */
static bool
is_uncovered(const Consumer *consumer)
{
	return consumer->fresh || consumer->uncovered.count > 0;
}

/*
 * Read what may become the horizon; the statement's snapshot comes first. What
 * the stream told of before queries see it is left to the next candidate.
 */
static ExitStatus
take_candidate(Consumer *consumer)
{
	Candidate  *candidate = &consumer->candidate;
	Buffer		problem = {0};
	PGresult   *result = database_query(consumer->catalogue->sql, &problem,
										"SELECT s, esgf_stac_internal.wal_end() FROM pg_current_snapshot() s", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	pg_snapshot_read(&candidate->snapshot, PQgetvalue(result, 0, 0));
	lsn_parse(PQgetvalue(result, 0, 1), &candidate->position);
	PQclear(result);
	candidate->covers = is_uncovered(consumer);
	consumer->fresh = false;
	cover(&consumer->uncovered, &candidate->snapshot);
	return STATUS_RUNNING;
}

/* Take one now, if something is delivered, or about to be (in hand), that nothing covers */
ExitStatus
horizon_cover(Consumer *consumer, bool in_hand)
{
	return is_uncovered(consumer) || in_hand ? take_candidate(consumer) : STATUS_RUNNING;
}

/* All that the candidate was waiting for is durable: it is the horizon */
static void
adopt_candidate(Consumer *consumer)
{
	ConsumerRow *row = &consumer->row;
	Candidate  *candidate = &consumer->candidate;
	PgSnapshot	before = row->delivered_snapshot;

	row->delivered_snapshot = candidate->snapshot;
	candidate->snapshot = before;	/* for its memory */

	/* What is durable before queries see it may be of an earlier session. */
	for (size_t i = row->delivered_snapshot.hidden.count; i > 0; i--)
		if (pg_snapshot_shows(&before, row->delivered_snapshot.hidden.xids[i - 1]))
			pg_snapshot_add(&row->delivered_snapshot, row->delivered_snapshot.hidden.xids[i - 1]);
	for (size_t i = 0; i < consumer->uncovered.count; i++)
		pg_snapshot_add(&row->delivered_snapshot, consumer->uncovered.xids[i]);
	row->horizon = row->delivered_snapshot.xmin;
	consumer->horizon_position = candidate->position;
	candidate->position = 0;
}

/*
 * Before a confirmation, perhaps the last one: write down what is durable, and
 * move the horizon. A new candidate comes before the row is written: by that the
 * WAL goes on behind it, and an idle server's stream as well.
 */
ExitStatus
horizon_advance(Consumer *consumer, bool ending)
{
	Candidate  *candidate = &consumer->candidate;
	ExitStatus	status = STATUS_RUNNING;
	bool		changed = ending || consumer->untold || consumer->delivered > consumer->row.delivered || consumer->durable > consumer->row.confirmed + IDLE_WAL;

	if (candidate->position != 0 && consumer->durable >= candidate->position)
	{
		changed = changed || candidate->covers || candidate->snapshot.xmin > consumer->row.horizon;
		adopt_candidate(consumer);
	}
	if (!ending && candidate->position == 0 &&
		(is_uncovered(consumer) || consumer->durable > consumer->horizon_position + IDLE_WAL))
		status = take_candidate(consumer);
	return status == STATUS_RUNNING && changed ? consumer_save(consumer) : status;
}
