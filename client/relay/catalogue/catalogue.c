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

/*
 * Connect for queries, to the session's server if it has one. Their commits wait for no standby, which may be our own
 * stream: what a standby lacks of them it lacks of the row in consumer as well,
 * and is repeated.
 */
ExitStatus
catalogue_connect(const Catalogue *catalogue, PGconn **connection)
{
	Buffer		problem = {0};
	ExitStatus	status = handshake_connect(catalogue->settings->dbname, catalogue->sql, connection);

	if (status == STATUS_RUNNING &&
		!database_do(*connection, &problem, "SELECT pg_catalog.set_config('synchronous_commit', 'local', false)"))
		return database_lost(&problem);
	return status;
}

/* Is there such a stream, and is its publication as it says? */
static ExitStatus
check_stream(const Catalogue *catalogue)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_CATALOGUE;
	const char *parameters[] = {catalogue->settings->stream};
	PGresult   *result = database_query(catalogue->sql, &problem,
										"SELECT (SELECT true FROM esgf_stac.stream WHERE name = $1),"
										" esgf_stac_internal.publication_problem($1)", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	if (field(result, 0) == NULL)
		log_problem("no-stream", "there is no stream \"%s\": SELECT esgf_stac.create_stream('%s') makes one",
					catalogue->settings->stream, catalogue->settings->stream);
	else if (field(result, 1) != NULL)
		log_problem("publication-differs", "publication \"%s\" is not as its stream says: %s",
					catalogue->settings->slot, field(result, 1));
	else
		status = STATUS_RUNNING;
	PQclear(result);
	return status;
}

ExitStatus
catalogue_check(const Catalogue *catalogue)
{
	ExitStatus	status = handshake_check(catalogue->sql, catalogue->settings->no_loop);

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
