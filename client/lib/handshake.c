/*
 * handshake.c
 *		What a program does first with a database.
 */
#include "lib/handshake.h"

#include <string.h>

#include "lib/log.h"
#include "lib/program.h"

/*
 * Connect for queries, in which nobody's function stands in for one of the
 * server's: to the server of another connection, if there is one
 */
ExitStatus
handshake_connect(const char *dbname, PGconn *beside, PGconn **connection)
{
	static const char what[] = "a connection to the database";
	Buffer		problem = {0};

	*connection = beside != NULL ? database_connect_beside(beside, false, what, &problem) : database_connect(dbname, false, what, &problem);
	if (*connection == NULL ||
		!database_do(*connection, &problem, "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false)"))
		return database_lost(&problem);
	return STATUS_RUNNING;
}

/* What an administrator is about to change, perhaps, is waited for */
static ExitStatus
wait_for_change(bool no_loop)
{
	return no_loop ? STATUS_CATALOGUE : STATUS_DATABASE;
}

/* Is that a primary, with a version of the extension that we know, and a catalogue? */
static ExitStatus
check_extension(PGconn *connection, bool no_loop)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_CATALOGUE;
	PGresult   *result = database_query(connection, &problem,
										"SELECT (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'esgf_stac'),"
										" pg_catalog.to_regclass('esgf_stac.catalogue') IS NOT NULL,"
										" pg_catalog.pg_is_in_recovery()", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	if (field_true(result, 2))
	{
		log_line(LOG_ERROR, "the server is a standby: the %s works with the primary", program_noun);
		status = STATUS_DATABASE;
	}
	else if (field(result, 0) == NULL)
		log_problem("extension-missing", "database \"%s\" does not have the extension esgf_stac", PQdb(connection));
	else if (strcmp(field(result, 0), ESGF_STAC_VERSION) != 0)
	{
		log_problem("version-mismatch", "the extension has version %s, this %s knows %s: ALTER EXTENSION esgf_stac UPDATE,"
					" or the %s of that version", field(result, 0), program_noun, ESGF_STAC_VERSION, program_noun);
		status = wait_for_change(no_loop);
	}
	else if (!field_true(result, 1))
		log_problem("no-catalogue", "database \"%s\" has no catalogue: SELECT esgf_stac.create_catalogue() makes one",
					PQdb(connection));
	else
		status = STATUS_RUNNING;
	PQclear(result);
	return status;
}

/* Has the catalogue that version, too, and is it this cluster's? */
static ExitStatus
check_catalogue(PGconn *connection, bool no_loop)
{
	Buffer		problem = {0};
	ExitStatus	status = wait_for_change(no_loop);
	PGresult   *result = database_query(connection, &problem,
										"SELECT version, system_identifier = (SELECT system_identifier FROM pg_catalog.pg_control_system())"
										" FROM esgf_stac.catalogue", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	if (strcmp(field(result, 0), ESGF_STAC_VERSION) != 0)
		log_problem("version-mismatch", "the catalogue has version %s, this %s knows %s:"
					" SELECT esgf_stac.upgrade_catalogue() moves it", field(result, 0), program_noun, ESGF_STAC_VERSION);
	else if (!field_true(result, 1))
		log_problem("catalogue-not-adopted", "the catalogue came from another cluster:"
					" SELECT esgf_stac.adopt_catalogue() makes it this one's");
	else
		status = STATUS_RUNNING;
	PQclear(result);
	return status;
}

/* One of another version, or of another cluster, may become ours yet: without a loop that is status 4 */
ExitStatus
handshake_check(PGconn *connection, bool no_loop)
{
	ExitStatus	status = check_extension(connection, no_loop);

	return status == STATUS_RUNNING ? check_catalogue(connection, no_loop) : status;
}
