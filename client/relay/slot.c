/*
 * slot.c
 *		The replication slot: found, made, or made again where it was lost.
 */
#include "relay/relay.h"

#include <stdlib.h>

#include "lib/log.h"

/* A killed relay's walsender may live on for a moment. */
#define PATIENCE_MS 5000

/* What the server says of our slot. */
typedef struct Slot
{
	bool		exists;
	bool		active;
	bool		ours;
	bool		lost;
	uint64_t	position;
} Slot;

/* Make the slot; the server waits for the transactions that run */
static ExitStatus
create_slot(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.slot};
	const char *command = PQserverVersion(relay->sql) >= 170000 ?
	"SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput', failover => true)" :
	"SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput')";
	PGresult   *result = database_query(relay->sql, &problem, command, 1, parameters);

	if (result != NULL)
	{
		log_line(LOG_NOTE, "made slot %s at %s", relay->options.slot, PQgetvalue(result, 0, 0));
		PQclear(result);
		return STATUS_RUNNING;
	}
	if (stop_requested || PQstatus(relay->sql) != CONNECTION_OK)
		return database_lost(&problem);
	log_problem("slot-not-made", "could not make slot %s: %s", relay->options.slot, problem.data);
	buffer_free(&problem);
	return STATUS_SLOT;
}

/* Remove a slot whose WAL the server has thrown away */
static ExitStatus
drop_slot(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.slot};
	PGresult   *result = database_query(relay->sql, &problem, "SELECT pg_drop_replication_slot($1)", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	log_line(LOG_WARNING, "slot %s was invalidated by the server and is replaced", relay->options.slot);
	return STATUS_RUNNING;
}

static ExitStatus
read_slot(Relay *relay, Slot *slot)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.slot};
	PGresult   *result = database_query(relay->sql, &problem,
										"SELECT active, plugin = 'pgoutput' AND database = current_database(), wal_status = 'lost', confirmed_flush_lsn"
										" FROM pg_replication_slots WHERE slot_name = $1", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	*slot = (Slot)
	{
		.exists = PQntuples(result) > 0
	};
	if (slot->exists)
	{
		slot->active = PQgetvalue(result, 0, 0)[0] == 't';
		slot->ours = PQgetvalue(result, 0, 1)[0] == 't';
		slot->lost = PQgetvalue(result, 0, 2)[0] == 't';
		lsn_parse(PQgetvalue(result, 0, 3), &slot->position);
	}
	PQclear(result);
	return STATUS_RUNNING;
}

/* Find the slot, free for us to read */
static ExitStatus
find_slot(Relay *relay, Slot *slot)
{
	Wait		wait = wait_begin(NULL);

	for (;;)
	{
		ExitStatus	status = read_slot(relay, slot);

		if (status != STATUS_RUNNING)
			return status;
		if (slot->exists && !slot->ours)
		{
			log_problem("slot-differs", "slot %s is of another database or plugin", relay->options.slot);
			return STATUS_SLOT;
		}
		if (!slot->active)
			return STATUS_RUNNING;
		if (monotonic_ms() > wait.since + PATIENCE_MS || stop_requested)
		{
			/*
			 * It may be our own, of a connection that the server still
			 * believes in.
			 */
			log_problem("slot-in-use", "slot %s is in use: a stream has one reader", relay->options.slot);
			return relay->options.no_loop ? STATUS_SLOT : STATUS_DATABASE;
		}
		wait_on(&wait, -1, 0, 100);
	}
}

/* See that there is a slot to read, and a row of consumer beside it */
ExitStatus
slot_prepare(Relay *relay)
{
	Slot		slot;
	ExitStatus	status = find_slot(relay, &slot);

	if (status == STATUS_RUNNING && slot.exists && slot.lost)
	{
		status = drop_slot(relay);
		slot.exists = false;
	}
	if (status != STATUS_RUNNING)
		return status;
	if (slot.exists && relay->options.create && !relay->options.if_not_exists)
	{
		log_problem("slot-exists", "slot %s exists already: leave out --create, or add --if-not-exists",
					relay->options.slot);
		return STATUS_SLOT;
	}
	if (!slot.exists)
	{
		if (!relay->options.create && !relay->consumer.known)
		{
			log_problem("no-slot", "there is no slot %s, and the stream was never read: --create makes the slot",
						relay->options.slot);
			return STATUS_SLOT;
		}
		status = create_slot(relay);
		if (status == STATUS_RUNNING)
			status = wait_for_commits(relay);
		if (status == STATUS_RUNNING)
			status = read_slot(relay, &slot);
		if (status != STATUS_RUNNING)
			return status;
	}

	/* What was asked for is done; a later session finds the slot. */
	relay->options.create = false;
	relay->slot_position = slot.position;
	status = consumer_begin(relay);
	return status == STATUS_RUNNING && relay->options.sink_kind != NULL ? skip_prepare(relay) : status;
}

/* Learn how much WAL the server keeps for us; no error if it cannot be told now */
void
slot_held(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.slot};
	PGresult   *result;

	/* Something else may be under way there. */
	if (PQtransactionStatus(relay->sql) != PQTRANS_IDLE)
		return;
	result = database_query(relay->sql, &problem,
							"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots"
							" WHERE slot_name = $1 AND restart_lsn IS NOT NULL", 1, parameters);
	if (result != NULL && PQntuples(result) == 1)
		relay->metrics.held = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	buffer_free(&problem);
}
