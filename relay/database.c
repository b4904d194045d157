/*
 * database.c
 *		Connections to PostgreSQL, and waiting that a signal ends.
 */
#include "database.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

volatile sig_atomic_t stop_requested = false;

/* A clock that nobody sets */
int64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait until there is something to read, the time is over, or a signal comes */
bool
wait_readable(int file, int64_t milliseconds)
{
	struct pollfd one = {file, POLLIN, 0};

	return poll(&one, 1, milliseconds > 0 ? (int) milliseconds : 0) > 0;
}

bool
lsn_parse(const char *text, uint64_t *lsn)
{
	unsigned int high;
	unsigned int low;
	char		rest;

	if (sscanf(text, "%8X/%8X%c", &high, &low, &rest) != 2)
		return false;
	*lsn = (uint64_t) high << 32 | low;
	return true;
}

/* libpq takes what looks like no connection string for a database's name */
bool
conninfo_valid(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	bool		valid = parsed != NULL ||
	(strchr(conninfo, '=') == NULL && strstr(conninfo, "://") == NULL);

	PQconninfoFree(parsed);
	return valid;
}

bool
conninfo_names_password(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	bool		found = false;

	for (PQconninfoOption *part = parsed; part != NULL && part->keyword != NULL; part++)
		if (part->val != NULL &&
			(strcmp(part->keyword, "password") == 0 || strcmp(part->keyword, "sslpassword") == 0))
			found = true;
	PQconninfoFree(parsed);
	return found;
}

/*
 * Connect, for SQL or for replication. Texts come in UTF-8, and dates so that
 * event.c can read them (main sets PGDATESTYLE and PGTZ).
 */
PGconn *
database_connect(const char *conninfo, bool replication, Buffer *problem)
{
	/*
	 * What stands before dbname, the connection string may overrule. A peer
	 * that vanished without a word is noticed within two minutes.
	 */
	const char *keywords[] = {"connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
		"tcp_user_timeout", "fallback_application_name", "dbname",
	"client_encoding", replication ? "replication" : NULL, NULL};
	const char *values[] = {"10", "30", "10", "6",
		"90000", "esgf_stac_relay", conninfo,
	"UTF8", "database", NULL};
	PGconn	   *connection = PQconnectdbParams(keywords, values, 1);

	if (PQstatus(connection) == CONNECTION_OK)
		return connection;
	buffer_text(problem, PQerrorMessage(connection));
	PQfinish(connection);
	return NULL;
}

/* Ask the server to stop the query under way */
static void
cancel_query(PGconn *connection)
{
	PGcancel   *cancel = PQgetCancel(connection);
	char		message[256];

	if (cancel != NULL)
		PQcancel(cancel, message, sizeof(message));
	PQfreeCancel(cancel);
}

/* Send a query. A walsender speaks the simple protocol alone. */
static bool
send_query(PGconn *connection, Buffer *problem, const char *query,
		   int parameter_count, const char *const *parameters)
{
	int			sent = parameter_count > 0 ?
	PQsendQueryParams(connection, query, parameter_count, NULL, parameters, NULL, NULL, 0) :
	PQsendQuery(connection, query);

	if (!sent)
		buffer_text(problem, PQerrorMessage(connection));
	return sent;
}

/*
 * Wait for the next result. A signal to stop cancels the query: making a slot
 * waits for all running transactions, which may take long. (What is asked
 * after the signal is part of stopping.)
 */
static PGresult *
next_result(PGconn *connection)
{
	bool		was_stopping = stop_requested;
	bool		cancelled = false;

	while (PQisBusy(connection))
	{
		wait_readable(PQsocket(connection), 1000);
		if (stop_requested && !was_stopping && !cancelled)
		{
			cancel_query(connection);
			cancelled = true;
		}
		if (!PQconsumeInput(connection))
			break;
	}
	return PQgetResult(connection);
}

/* Does a result tell of success? If not, free it */
static bool
result_good(PGconn *connection, PGresult *result, Buffer *problem)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE ||
		status == PGRES_COMMAND_OK || status == PGRES_COPY_BOTH)
		return true;
	buffer_text(problem, result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(connection));
	PQclear(result);
	return false;
}

/* Run one query; NULL and a problem if it fails */
PGresult *
database_query(PGconn *connection, Buffer *problem, const char *query,
			   int parameter_count, const char *const *parameters)
{
	PGresult   *result = NULL;
	PGresult   *next;

	if (!send_query(connection, problem, query, parameter_count, parameters))
		return NULL;
	while ((next = next_result(connection)) != NULL)
	{
		PQclear(result);
		result = next;
		if (PQresultStatus(next) == PGRES_COPY_BOTH)
			break;
	}
	return result_good(connection, result, problem) ? result : NULL;
}

/* Begin a query whose rows are taken one by one, so that they need not fit into memory */
bool
database_rows(PGconn *connection, Buffer *problem, const char *query,
			  int parameter_count, const char *const *parameters)
{
	return send_query(connection, problem, query, parameter_count, parameters) &&
		PQsetSingleRowMode(connection);
}

/* The next of these rows; NULL at their end, and with a problem */
PGresult *
database_next_row(PGconn *connection, Buffer *problem)
{
	PGresult   *result = next_result(connection);

	if (result == NULL || !result_good(connection, result, problem))
		return NULL;
	if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
		return result;
	PQclear(result);
	PQclear(PQgetResult(connection));
	return NULL;
}

/* Run a command that answers no rows */
bool
database_do(PGconn *connection, Buffer *problem, const char *command)
{
	PGresult   *result = database_query(connection, problem, command, 0, NULL);

	PQclear(result);
	return result != NULL;
}
