/*
 * history.c
 *		Is the server's history still the one that we delivered? After a
 *		failover to a standby that lacked WAL, or a recovery to an earlier point,
 *		it is not: the index then holds changes that never were.
 *
 * Three witnesses are asked: what this relay delivered before it lost its
 * connection, what the table consumer says (which may have lost the same WAL),
 * and the newest event that the sink holds. After a dump was restored none of
 * them need know: see check_restore().
 */
#include "relay/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

/* Connect for replication, and learn which cluster and timeline that is */
ExitStatus
history_connect(Relay *relay)
{
	Buffer		problem = {0};
	uint64_t	system_before = relay->system_identifier;
	PGresult   *result;

	relay->replication = database_connect(relay->options.dbname, true, "a connection for the stream", &problem);
	if (relay->replication == NULL)
		return database_lost(&problem);
	result = database_query(relay->replication, &problem, "IDENTIFY_SYSTEM", 0, NULL);
	if (result == NULL)
		return database_lost(&problem);
	relay->system_identifier = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	relay->timeline = atoi(PQgetvalue(result, 0, 1));
	lsn_parse(PQgetvalue(result, 0, 2), &relay->server_position);
	relay->metrics.server_end = relay->server_position;
	PQclear(result);

	if (system_before != 0 && system_before != relay->system_identifier)
	{
		log_problem("history-diverged", "this is another cluster than the one read before");
		return STATUS_SLOT;
	}
	return STATUS_RUNNING;
}

/* Find where the server's history left a timeline; 0 if it was never on it */
static ExitStatus
find_switch(Relay *relay, int timeline, uint64_t *position)
{
	Buffer		problem = {0};
	Buffer		command = {0};
	PGresult   *result;

	buffer_printf(&command, "TIMELINE_HISTORY %d", relay->timeline);
	result = database_query(relay->replication, &problem, command.data, 0, NULL);
	buffer_free(&command);
	if (result == NULL)
		return database_lost(&problem);

	*position = 0;
	for (char *line = strtok(PQgetvalue(result, 0, 1), "\n"); line != NULL; line = strtok(NULL, "\n"))
	{
		int			parent;
		char		lsn[32];

		if (sscanf(line, "%d %31s", &parent, lsn) == 2 && parent == timeline)
			lsn_parse(lsn, position);
	}
	PQclear(result);
	return STATUS_RUNNING;
}

/* Does the server's history hold all up to a position on a timeline? */
static ExitStatus
check_position(Relay *relay, int timeline, uint64_t position, const char *witness)
{
	uint64_t	end = relay->server_position;
	ExitStatus	status = STATUS_RUNNING;

	if (timeline > relay->timeline)
		end = 0;
	else if (timeline < relay->timeline)
		status = find_switch(relay, timeline, &end);
	if (status != STATUS_RUNNING || position <= end)
		return status;
	log_problem("history-diverged", "%s: delivered up to " LSN_FORMAT " of timeline %d, but the server, on timeline %d, has it up to "
				LSN_FORMAT " only; the index must be made anew", witness, LSN_PARTS(position), timeline, relay->timeline, LSN_PARTS(end));
	return STATUS_SLOT;
}

/* Is that event in the history that queries see? */
static ExitStatus
event_is_known(Relay *relay, const char *event, bool *known)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(relay->sql, &problem, "SELECT esgf_stac_internal.event_is_known($1)", 1, &event);

	if (result == NULL)
		return database_lost(&problem);
	*known = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return STATUS_RUNNING;
}

/*
 * Does the database know the newest event that the sink holds? Queries may not
 * see its commit yet, although it was delivered.
 */
static ExitStatus
check_sink(Relay *relay)
{
	Buffer		event = {0};
	bool		known = true;
	ExitStatus	status = STATUS_RUNNING;

	if (relay->sink == NULL || relay->sink->kind->newest == NULL ||
		!relay->sink->kind->newest(relay->sink, &event))
		return STATUS_RUNNING;
	status = event_is_known(relay, event.data, &known);
	if (status == STATUS_RUNNING && !known)
		status = wait_for_commits(relay);
	if (status == STATUS_RUNNING && !known)
		status = event_is_known(relay, event.data, &known);
	if (status == STATUS_RUNNING && !known)
	{
		log_problem("history-diverged", "the sink holds an event that never was in this database, %s; the index must be made anew",
					event.data);
		status = STATUS_SLOT;
	}
	buffer_free(&event);
	return status;
}

/*
 * After a restore nobody knows what the sink holds, but it may be told to begin
 * anew: once, and not by a configuration that always says so.
 */
static ExitStatus
check_restore(Relay *relay)
{
	const Options *options = &relay->options;

	if (!relay->consumer.restored)
		return STATUS_RUNNING;
	if (options->create && !options->if_not_exists && (options->snapshot || options->from_beginning))
		relay->begun_anew = true;
	if (relay->begun_anew)
		return STATUS_RUNNING;
	log_problem("unknown-history", "the catalogue was restored: what this stream delivered before may never have been in it."
				" Empty the index and start once with --create --snapshot, without --if-not-exists;"
				" or, if the restore lost nothing, with --create --from-beginning. For other readers drop and create the stream");
	return STATUS_SLOT;
}

/* Stop rather than mix two truths */
ExitStatus
history_check(Relay *relay)
{
	ExitStatus	status = check_restore(relay);

	if (status != STATUS_RUNNING)
		return status;
	if (relay->delivered_timeline != 0)
		status = check_position(relay, relay->delivered_timeline, relay->delivered, "this relay");
	if (status == STATUS_RUNNING && relay->consumer.known)
		status = check_position(relay, relay->consumer.timeline, relay->consumer.delivered, "table consumer");
	if (status == STATUS_RUNNING)
		status = check_sink(relay);
	if (status != STATUS_RUNNING)
		return status;

	/* Positions that keepalives gave us mean nothing on another timeline. */
	if (relay->delivered_timeline != relay->timeline)
		relay->durable = 0;
	relay->delivered_timeline = relay->timeline;
	return STATUS_RUNNING;
}
