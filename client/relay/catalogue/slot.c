/*
 * slot.c
 *		The replication slot: found, made, or made again where it was lost.
 */
#include "catalogue/slot.h"

#include <stdlib.h>

#include "catalogue/skip.h"
#include "catalogue/visibility.h"
#include "lib/log.h"
#include "lib/wait.h"

/* A killed relay's walsender may live on for a moment. */
#define PATIENCE_MS 5000

/* So often a slot is asked for. */
#define ATTEMPTS 5

/* What the server says of our slot. */
typedef struct Slot
{
	bool		exists;
	bool		active;
	bool		ours;
	bool		lost;
	uint64_t	position;
} Slot;

/* Ask for the slot; its snapshot holds until the connection is used again. NULL and a problem if there is none */
static PGresult *
ask_for_slot(const Catalogue *catalogue, Buffer *problem)
{
	Buffer		command = {0};
	PGresult   *result;

	buffer_printf(&command, "CREATE_REPLICATION_SLOT \"%s\" LOGICAL pgoutput (SNAPSHOT 'export'%s)", catalogue->settings->slot,
				  PQserverVersion(catalogue->replication) >= 170000 ? ", FAILOVER" : "");
	result = database_query(catalogue->replication, problem, command.data, 0, NULL);
	buffer_free(&command);
	return result;
}

/*
 * Make the slot; the server waits for the transactions that run. Too many of
 * them may have come to nothing meanwhile for a snapshot to tell: then once more.
 */
static ExitStatus
make_slot(const Catalogue *catalogue, PGresult **slot)
{
	for (int attempt = 1;; attempt++)
	{
		Buffer		problem = {0};
		Wait		wait = wait_begin(NULL);

		*slot = ask_for_slot(catalogue, &problem);
		if (*slot != NULL)
			return STATUS_RUNNING;
		if (stop_requested || PQstatus(catalogue->replication) != CONNECTION_OK)
			return database_lost(&problem);
		if (attempt == ATTEMPTS)
			log_problem("slot-not-made", "could not make slot %s: %s", catalogue->settings->slot, problem.data);
		buffer_free(&problem);
		if (attempt == ATTEMPTS)
			return STATUS_CATALOGUE;
		wait_on(&wait, -1, 0, 50 * attempt);
	}
}

/* Read what is visible in a snapshot that the connection for the stream exports */
static ExitStatus
read_exported(const Catalogue *catalogue, const char *name, char **snapshot)
{
	Buffer		problem = {0};
	Buffer		command = {0};
	PGresult   *result = NULL;

	buffer_printf(&command, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '%s'", name);
	if (database_do(catalogue->sql, &problem, command.data))
		result = database_query(catalogue->sql, &problem, "SELECT pg_current_snapshot()", 0, NULL);
	buffer_free(&command);
	if (result == NULL || !database_do(catalogue->sql, &problem, "COMMIT") ||
		!database_do(catalogue->replication, &problem, "IDENTIFY_SYSTEM"))	/* lets go of it */
		return database_lost(&problem);
	*snapshot = copy_string(PQgetvalue(result, 0, 0));
	PQclear(result);
	return STATUS_RUNNING;
}

/* Make the slot, and learn what is older than all that it will deliver */
static ExitStatus
create_slot(const Catalogue *catalogue, char **began)
{
	PGresult   *slot;
	ExitStatus	status = make_slot(catalogue, &slot);

	if (status != STATUS_RUNNING)
		return status;
	log_line(LOG_NOTE, "made slot %s at %s", catalogue->settings->slot, PQgetvalue(slot, 0, 1));
	status = read_exported(catalogue, PQgetvalue(slot, 0, 2), began);
	PQclear(slot);
	return status;
}

/* Remove a slot, for example one whose WAL the server has thrown away */
static ExitStatus
drop_slot(const Catalogue *catalogue, const char *why)
{
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->slot};
	PGresult   *result = database_query(catalogue->sql, &problem, "SELECT pg_drop_replication_slot($1)", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	log_line(LOG_WARNING, "slot %s %s and is replaced", catalogue->settings->slot, why);
	return STATUS_RUNNING;
}

static ExitStatus
read_slot(const Catalogue *catalogue, Slot *slot)
{
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->slot};
	PGresult   *result = database_query(catalogue->sql, &problem,
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

/* May the slot that is there, or is not, be read or made? */
static ExitStatus
judge_slot(const Consumer *consumer, const Slot *slot)
{
	const CatalogueSettings *settings = consumer->catalogue->settings;

	if (slot->exists && settings->create && !settings->if_not_exists)
		log_problem("slot-exists", "slot %s exists already: leave out --create, or add --if-not-exists", settings->slot);
	else if (!slot->exists && !settings->create && !consumer->row.known)
		log_problem("no-slot", "there is no slot %s, and the stream was never read: --create makes the slot", settings->slot);
	else
		return STATUS_RUNNING;
	return STATUS_CATALOGUE;
}

static ExitStatus
refuse_foreign(const Catalogue *catalogue)
{
	log_problem("slot-differs", "slot %s is of another database or plugin", catalogue->settings->slot);
	return STATUS_CATALOGUE;
}

/* Could a slot be made? */
static ExitStatus
check_capacity(const Catalogue *catalogue)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(catalogue->sql, &problem,
										"SELECT current_setting('wal_level') = 'logical',"
										" (SELECT count(*) FROM pg_replication_slots) < current_setting('max_replication_slots')::int", 0, NULL);
	const char *why;

	if (result == NULL)
		return database_lost(&problem);
	why = !field_true(result, 0) ? "wal_level is not \"logical\"" : !field_true(result, 1) ? "max_replication_slots are there already" : NULL;
	PQclear(result);
	if (why == NULL)
		return STATUS_RUNNING;
	log_problem("slot-not-made", "slot %s could not be made: %s", catalogue->settings->slot, why);
	return STATUS_CATALOGUE;
}

/* Would slot_prepare() do? Changes nothing, and waits for nobody: a reader of the slot may be the relay that is to go on */
ExitStatus
slot_check(const Consumer *consumer, bool *in_use)
{
	const Catalogue *catalogue = consumer->catalogue;
	Slot		slot = {0};
	ExitStatus	status = read_slot(catalogue, &slot);

	if (status != STATUS_RUNNING)
		return status;
	if (slot.exists && !slot.ours)
		return refuse_foreign(catalogue);
	*in_use = slot.active;
	if (slot.active && catalogue->settings->no_loop)
	{
		log_problem("slot-in-use", "slot %s is in use: a stream has one reader", catalogue->settings->slot);
		return STATUS_CATALOGUE;
	}
	if (slot.active)
		log_line(LOG_WARNING, "slot %s is in use: another relay would wait", catalogue->settings->slot);
	slot.exists = slot.exists && !slot.lost;
	status = judge_slot(consumer, &slot);
	return status == STATUS_RUNNING && !slot.exists && !slot.lost ? check_capacity(catalogue) : status;
}

/* Find the slot, free for us to read */
static ExitStatus
find_slot(const Catalogue *catalogue, Slot *slot)
{
	Wait		wait = wait_begin(NULL);

	for (;;)
	{
		ExitStatus	status = read_slot(catalogue, slot);

		if (status != STATUS_RUNNING)
			return status;
		if (slot->exists && !slot->ours)
			return refuse_foreign(catalogue);
		if (!slot->active)
			return STATUS_RUNNING;
		if (monotonic_ms() > wait.since + PATIENCE_MS || stop_requested)
		{
			/*
			 * It may be our own, of a connection that the server still
			 * believes in.
			 */
			log_problem("slot-in-use", "slot %s is in use: a stream has one reader", catalogue->settings->slot);
			return catalogue->settings->no_loop ? STATUS_CATALOGUE : STATUS_DATABASE;
		}
		wait_on(&wait, -1, 0, 100);
	}
}

/* It was there before: who may have taken it? */
static void
tell_missing(const Catalogue *catalogue)
{
	log_problem("slot-missing", "slot %s is gone: dropped (Patroni drops slots that it does not know), or left behind by a failover to a server that had no copy;"
				" it is made anew, and what it may not deliver is repeated from the outbox: see doc/high-availability.md", catalogue->settings->slot);
}

/* See that there is a slot to read, and a row of consumer beside it */
ExitStatus
slot_prepare(Consumer *consumer)
{
	Catalogue  *catalogue = consumer->catalogue;
	CatalogueSettings *settings = catalogue->settings;
	Slot		slot;
	char	   *began = NULL;
	ExitStatus	status = find_slot(catalogue, &slot);

	if (status == STATUS_RUNNING && !slot.exists && consumer->row.known)
		tell_missing(catalogue);

	/* It is ours from now on: a slot that replaces it says nothing. */
	if (status == STATUS_RUNNING)
		status = consumer_deliver(consumer);
	if (status == STATUS_RUNNING && slot.exists && (slot.lost || consumer->cures))
	{
		status = drop_slot(catalogue, slot.lost ? "was invalidated by the server" : "is of another history");
		slot.exists = false;
	}
	if (status == STATUS_RUNNING)
		status = judge_slot(consumer, &slot);
	if (status != STATUS_RUNNING)
		return status;
	if (!slot.exists)
	{
		status = create_slot(catalogue, &began);
		if (status == STATUS_RUNNING)
			status = wait_for_commits(catalogue);
		if (status == STATUS_RUNNING)
			status = read_slot(catalogue, &slot);
		if (status != STATUS_RUNNING)
			return status;
	}

	/* What was asked for is done; a later session finds the slot. */
	settings->create = false;
	catalogue->slot_position = slot.position;
	status = consumer_begin(consumer, began);
	free(began);

	/* What is compared as a whole needs no snapshot. */
	if (status == STATUS_RUNNING && consumer->cures)
		status = consumer_seeded(consumer, NULL, NULL);
	return status == STATUS_RUNNING && settings->has_sink ? skip_prepare(consumer) : status;
}

/* Does somebody read the slot now, and how much has he confirmed? */
ExitStatus
slot_confirmed(const Catalogue *catalogue, bool *active, uint64_t *position)
{
	Slot		slot = {0};
	ExitStatus	status = read_slot(catalogue, &slot);

	*active = slot.active;
	*position = slot.position;
	return status;
}

/* Learn how much WAL the server keeps for us; no error if it cannot be told now */
void
slot_ask_held(Catalogue *catalogue)
{
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->slot};
	PGresult   *result;

	/* Something else may be under way there. */
	if (PQtransactionStatus(catalogue->sql) != PQTRANS_IDLE)
		return;
	result = database_query(catalogue->sql, &problem,
							"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots"
							" WHERE slot_name = $1 AND restart_lsn IS NOT NULL", 1, parameters);
	if (result != NULL && PQntuples(result) == 1)
		catalogue->slot_held = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	buffer_free(&problem);
}
