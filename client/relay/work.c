/*
 * work.c
 *		A worker: iteration jobs with targets, and no stream.
 */
#include "relay/relay.h"

#include <stdlib.h>

#include "lib/log.h"
#include "lib/notify.h"
#include "lib/wait.h"

/* Which cluster is that? Sinks that several may feed want to know */
static ExitStatus
learn_cluster(Relay *relay)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(relay->catalogue.sql, &problem, "SELECT system_identifier FROM esgf_stac.catalogue", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	relay->catalogue.system_identifier = (uint64_t) strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Is a connection that nobody waits at lost? */
static bool
is_lost(PGconn *connection)
{
	struct pollfd one = {connection != NULL ? PQsocket(connection) : -1, POLLIN, 0};

	return connection != NULL && poll(&one, 1, 0) > 0 && (!database_receive(connection) || PQstatus(connection) == CONNECTION_BAD);
}

/* Work until there is a reason to end */
ExitStatus
work_run(Relay *relay)
{
	ExitStatus	status = learn_cluster(relay);
	Wait		wait = wait_begin(NULL);

	if (status == STATUS_RUNNING)
	{
		log_line(LOG_NOTE, "working on iteration jobs with targets \"%s\"", relay->options.iteration.allowed);
		notify_ready();
		log_success();
	}
	while (status == STATUS_RUNNING && !stop_requested)
	{
		if (reload_requested && iterations_between_slices(&relay->iterations))
			status = heed_signals(relay);
		if (status == STATUS_RUNNING)
			status = send_source(relay, &relay->iterations.source);
		if (status == STATUS_RUNNING && (is_lost(relay->catalogue.sql)))
			status = STATUS_DATABASE;
		if (status == STATUS_RUNNING)
			wait_on(&wait, -1, 0, iterations_due(&relay->iterations) - monotonic_ms());
	}
	return status == STATUS_RUNNING ? STATUS_STOPPED : status;
}
