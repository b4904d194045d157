/*
 * catalogue.c
 *		What the relay asks of the database: is that our catalogue, is the
 *		publication as its stream says, what may not be delivered yet?
 */
#include "catalogue/catalogue.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/wait.h"

/* A signal to stop is no failure */
void
log_loss(Buffer *problem)
{
	if (stop_requested)
		log_line(LOG_DETAIL, "interrupted: %s", problem->data);
	else
		log_line(LOG_ERROR, "database: %s", problem->data);
	buffer_free(problem);
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

/*
 * Connect for queries, in which nobody's function stands in for one of the
 * server's. Their commits wait for no standby, which may be our own stream: what
 * a standby lacks of them it lacks of the row in consumer as well, and is
 * repeated.
 */
ExitStatus
catalogue_connect(const Catalogue *catalogue, PGconn **connection)
{
	Buffer		problem = {0};

	*connection = database_connect(catalogue->settings->dbname, false, "a connection to the database", &problem);
	if (*connection == NULL ||
		!database_do(*connection, &problem, "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false),"
					 " pg_catalog.set_config('synchronous_commit', 'local', false)"))
		return database_lost(&problem);
	return STATUS_RUNNING;
}

/* Is that a version of the extension, with a catalogue, that we know? */
static ExitStatus
check_version(const Catalogue *catalogue)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_SLOT;
	PGresult   *result = database_query(catalogue->sql, &problem,
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
		log_problem("extension-missing", "database \"%s\" does not have the extension esgf_stac", PQdb(catalogue->sql));
	else if (strcmp(field(result, 0), ESGF_STAC_VERSION) != 0)
		log_problem("version-mismatch", "the extension has version %s, this relay knows %s",
					field(result, 0), ESGF_STAC_VERSION);
	else if (!field_true(result, 1))
		log_problem("no-catalogue", "database \"%s\" has no catalogue: SELECT esgf_stac.create_catalogue() makes one",
					PQdb(catalogue->sql));
	else
		status = STATUS_RUNNING;
	PQclear(result);
	return status;
}

/* Is there such a stream, and is its publication as it says? */
static ExitStatus
check_stream(const Catalogue *catalogue)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_SLOT;
	const char *parameters[] = {catalogue->settings->stream};
	PGresult   *result = database_query(catalogue->sql, &problem,
										"SELECT version, (SELECT true FROM esgf_stac.stream WHERE name = $1),"
										" esgf_stac_internal.publication_problem($1),"
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
					catalogue->settings->stream, catalogue->settings->stream);
	else if (field(result, 2) != NULL)
		log_problem("publication-differs", "publication \"%s\" is not as its stream says: %s",
					catalogue->settings->slot, field(result, 2));
	else
		status = STATUS_RUNNING;
	PQclear(result);
	return status;
}

ExitStatus
catalogue_check(const Catalogue *catalogue)
{
	ExitStatus	status = check_version(catalogue);

	return status == STATUS_RUNNING ? check_stream(catalogue) : status;
}

/* Where does the server's WAL end now? */
ExitStatus
catalogue_wal_end(const Catalogue *catalogue, uint64_t *position)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(catalogue->sql, &problem, "SELECT pg_current_wal_insert_lsn()", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	lsn_parse(PQgetvalue(result, 0, 0), position);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Begin a query of the stream's events from a horizon on: some may be delivered */
bool
undelivered_query(Catalogue *catalogue, uint64_t horizon, Buffer *query, const char *columns, Buffer *problem)
{
	const char *parameters[] = {catalogue->settings->slot};

	if (catalogue->row_filter == NULL)
	{
		PGresult   *result = database_query(catalogue->sql, problem,
											"SELECT coalesce(rowfilter, 'true') FROM pg_publication_tables WHERE pubname = $1", 1, parameters);

		if (result == NULL)
			return false;
		catalogue->row_filter = copy_string(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "true");
		PQclear(result);
	}
	buffer_printf(query, "SELECT %s FROM esgf_stac.outbox WHERE xid >= '%" PRIu64 "' AND (%s)", columns, horizon, catalogue->row_filter);
	return true;
}

/* The session is over */
void
catalogue_disconnect(Catalogue *catalogue)
{
	free(catalogue->row_filter);
	catalogue->row_filter = NULL;
	PQfinish(catalogue->replication);
	PQfinish(catalogue->sql);
	catalogue->replication = catalogue->sql = NULL;
}
