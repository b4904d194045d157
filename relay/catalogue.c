/*
 * catalogue.c
 *		What the relay asks of the database before it reads: is that our
 *		catalogue, is the publication as its stream says, is there a slot?
 */
#include "relay.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

/* A killed relay's walsender may live on for a moment. */
#define SLOT_PATIENCE_MS 5000

static ExitStatus
database_lost(Buffer *problem)
{
	if (stop_requested)
		log_line(LOG_DETAIL, "interrupted: %s", problem->data);
	else
		log_line(LOG_ERROR, "database: %s", problem->data);
	buffer_free(problem);
	return stop_requested ? STATUS_STOPPED : STATUS_DATABASE;
}

/* The text of a result's field, NULL for null */
static const char *
field(PGresult *result, int column)
{
	return PQgetisnull(result, 0, column) ? NULL : PQgetvalue(result, 0, column);
}

static bool
field_true(PGresult *result, int column)
{
	return PQgetvalue(result, 0, column)[0] == 't';
}

/* Connect for queries */
ExitStatus
catalogue_connect(Relay *relay)
{
	Buffer		problem = {0};

	relay->sql = database_connect(relay->options.dbname, false, &problem);
	if (relay->sql == NULL)
		return database_lost(&problem);
	return STATUS_RUNNING;
}

/* Is that a version of the extension, with a catalogue, that we know? */
static ExitStatus
check_version(Relay *relay)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_SLOT;
	PGresult   *result = database_query(relay->sql, &problem,
										"SELECT (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'esgf_stac'),"
										" pg_catalog.to_regclass('esgf_stac.catalogue') IS NOT NULL,"
										" pg_catalog.pg_is_in_recovery()", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	if (field_true(result, 2))
	{
		log_line(LOG_ERROR, "the server is a standby: the relay reads from the primary");
		status = STATUS_DATABASE;
	}
	else if (field(result, 0) == NULL)
		log_problem("extension-missing", "database \"%s\" does not have the extension esgf_stac", PQdb(relay->sql));
	else if (strcmp(field(result, 0), ESGF_STAC_VERSION) != 0)
		log_problem("version-mismatch", "the extension has version %s, this relay knows %s",
					field(result, 0), ESGF_STAC_VERSION);
	else if (!field_true(result, 1))
		log_problem("no-catalogue", "database \"%s\" has no catalogue: SELECT esgf_stac.create_catalogue() makes one",
					PQdb(relay->sql));
	else
		status = STATUS_RUNNING;
	PQclear(result);
	return status;
}

/* Is there such a stream, and is its publication as it says? */
static ExitStatus
check_stream(Relay *relay)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_SLOT;
	const char *parameters[] = {relay->options.stream};
	PGresult   *result = database_query(relay->sql, &problem,
										"SELECT version, (SELECT true FROM esgf_stac.stream WHERE name = $1),"
										" esgf_stac.publication_problem($1),"
										" system_identifier = (SELECT system_identifier FROM pg_catalog.pg_control_system())"
										" FROM esgf_stac.catalogue", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	if (strcmp(field(result, 0), ESGF_STAC_VERSION) != 0)
		log_problem("version-mismatch", "the catalogue has version %s, this relay knows %s:"
					" SELECT esgf_stac.upgrade_catalogue() moves it", field(result, 0), ESGF_STAC_VERSION);
	else if (!field_true(result, 3))
		log_problem("catalogue-not-adopted", "the catalogue came from another cluster:"
					" SELECT esgf_stac.adopt_catalogue() makes it this one's");
	else if (field(result, 1) == NULL)
		log_problem("no-stream", "there is no stream \"%s\": SELECT esgf_stac.create_stream('%s') makes one",
					relay->options.stream, relay->options.stream);
	else if (field(result, 2) != NULL)
		log_problem("publication-differs", "publication \"%s\" is not as its stream says: %s",
					relay->options.slot, field(result, 2));
	else
		status = STATUS_RUNNING;
	PQclear(result);
	return status;
}

ExitStatus
catalogue_check(Relay *relay)
{
	ExitStatus	status = check_version(relay);

	return status == STATUS_RUNNING ? check_stream(relay) : status;
}

/* Make the slot; the server waits for the transactions that run */
static ExitStatus
slot_create(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.slot};
	const char *command = PQserverVersion(relay->sql) >= 170000 ?
	"SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput', failover => true)" :
	"SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')";
	PGresult   *result = database_query(relay->sql, &problem, command, 1, parameters);

	if (result != NULL)
	{
		log_line(LOG_NOTE, "made slot %s at %s", relay->options.slot, field(result, 0));
		PQclear(result);
		return STATUS_RUNNING;
	}
	if (stop_requested || PQstatus(relay->sql) != CONNECTION_OK)
		return database_lost(&problem);
	log_problem("slot-not-made", "could not make slot %s: %s", relay->options.slot, problem.data);
	buffer_free(&problem);
	return STATUS_SLOT;
}

/* Is the slot there, ours, and free? */
static ExitStatus
slot_look(Relay *relay, bool *exists)
{
	int64_t		deadline = monotonic_ms() + SLOT_PATIENCE_MS;
	const char *parameters[] = {relay->options.slot};

	for (;;)
	{
		Buffer		problem = {0};
		bool		foreign;
		bool		active;
		PGresult   *result = database_query(relay->sql, &problem,
											"SELECT active, plugin = 'pgoutput' AND database = pg_catalog.current_database()"
											" FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", 1, parameters);

		if (result == NULL)
			return database_lost(&problem);
		*exists = PQntuples(result) > 0;
		active = *exists && field_true(result, 0);
		foreign = *exists && !field_true(result, 1);
		PQclear(result);

		if (foreign)
		{
			log_problem("slot-differs", "slot %s is of another database or plugin", relay->options.slot);
			return STATUS_SLOT;
		}
		if (!active)
			return STATUS_RUNNING;
		if (monotonic_ms() > deadline || stop_requested)
		{
			/*
			 * It may be our own, of a connection that the server still
			 * believes in.
			 */
			log_problem("slot-in-use", "slot %s is in use: a stream has one reader", relay->options.slot);
			return relay->options.no_loop ? STATUS_SLOT : STATUS_DATABASE;
		}
		wait_readable(-1, 100);
	}
}

/* See that there is a slot to read */
ExitStatus
slot_prepare(Relay *relay)
{
	bool		exists;
	ExitStatus	status = slot_look(relay, &exists);

	if (status != STATUS_RUNNING)
		return status;
	if (exists && relay->options.create && !relay->options.if_not_exists)
	{
		log_problem("slot-exists", "slot %s exists already: leave out --create, or add --if-not-exists",
					relay->options.slot);
		return STATUS_SLOT;
	}
	if (exists)
		return STATUS_RUNNING;
	if (!relay->options.create)
	{
		log_problem("no-slot", "there is no slot %s, and the stream was never read: --create makes the slot",
					relay->options.slot);
		return STATUS_SLOT;
	}
	status = slot_create(relay);

	/* What was asked for is done; a later session finds the slot. */
	if (status == STATUS_RUNNING)
		relay->options.create = false;
	return status;
}
