/*
 * history.c
 *		Is the server's history still the one that we delivered? After a
 *		failover to a standby that lacked WAL, or a recovery to an earlier point,
 *		it is not: the index then holds changes that never were.
 *
 * Three witnesses are asked: what this relay delivered before it lost its
 * connection, what the table consumer says (which may have lost the same WAL),
 * and the newest event that the sink holds. After a recovery to a chosen point
 * the second says nothing: where it is the only one, that is enough to stop.
 * After a dump was restored none of them need know: see check_restore().
 */
#include "catalogue/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue/visibility.h"
#include "lib/log.h"

/* Connect to the session's server for replication, and learn which cluster and timeline that is */
ExitStatus
history_connect(Catalogue *catalogue)
{
	Buffer		problem = {0};
	uint64_t	system_before = catalogue->system_identifier;
	PGresult   *result;

	catalogue->replication = database_connect_beside(catalogue->sql, true, "a connection for the stream", &problem);
	if (catalogue->replication == NULL)
		return database_lost(&problem);
	result = database_query(catalogue->replication, &problem, "IDENTIFY_SYSTEM", 0, NULL);
	if (result == NULL)
		return database_lost(&problem);
	catalogue->system_identifier = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	catalogue->timeline = atoi(PQgetvalue(result, 0, 1));
	lsn_parse(PQgetvalue(result, 0, 2), &catalogue->server_position);
	PQclear(result);

	if (system_before != 0 && system_before != catalogue->system_identifier)
	{
		log_problem("history-diverged", "this is another cluster than the one read before");
		return STATUS_CATALOGUE;
	}
	return STATUS_RUNNING;
}

/* Why a server left a timeline, as it writes it where nobody had chosen at which point. */
#define ALL_WAL "\tno recovery target specified"

/*
 * Find where the server's history left a timeline, 0 if it was never on it, and
 * whether it did so, or left a later one, at a point that somebody chose
 */
static ExitStatus
find_switch(const Catalogue *catalogue, int timeline, uint64_t *position, bool *chosen)
{
	Buffer		problem = {0};
	Buffer		command = {0};
	PGresult   *result;

	buffer_printf(&command, "TIMELINE_HISTORY %d", catalogue->timeline);
	result = database_query(catalogue->replication, &problem, command.data, 0, NULL);
	buffer_free(&command);
	if (result == NULL)
		return database_lost(&problem);

	*position = 0;
	*chosen = false;
	for (char *rest, *line = strtok_r(PQgetvalue(result, 0, 1), "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
	{
		int			parent;
		char		lsn[32];

		if (sscanf(line, "%d %31s", &parent, lsn) != 2 || parent < timeline)
			continue;
		if (parent == timeline)
			lsn_parse(lsn, position);
		if (strstr(line, ALL_WAL) == NULL)
			*chosen = true;
	}
	PQclear(result);
	return STATUS_RUNNING;
}

/* Does the server's history hold all up to a position on a timeline? */
static ExitStatus
check_position(const Catalogue *catalogue, int timeline, uint64_t position, const char *witness)
{
	uint64_t	end = catalogue->server_position;
	bool		chosen;
	ExitStatus	status = STATUS_RUNNING;

	if (timeline > catalogue->timeline)
		end = 0;
	else if (timeline < catalogue->timeline)
		status = find_switch(catalogue, timeline, &end, &chosen);
	if (status != STATUS_RUNNING || position <= end)
		return status;
	log_problem("history-diverged", "%s: delivered up to " LSN_FORMAT " of timeline %d, but the server, on timeline %d, has it up to "
				LSN_FORMAT " only; heal the index with --verify --deep --repair, or make it anew", witness, LSN_PARTS(position), timeline, catalogue->timeline, LSN_PARTS(end));
	return STATUS_CATALOGUE;
}

/* Is that event in the history that queries see? Or was a sink of ours healed whose newest it was? */
static ExitStatus
event_is_known(const Catalogue *catalogue, const char *event, bool *known)
{
	Buffer		problem = {0};
	const char *parameters[] = {event, catalogue->settings->stream};
	PGresult   *result = database_query(catalogue->sql, &problem,
										"SELECT esgf_stac_internal.event_is_known($1) OR EXISTS (SELECT FROM esgf_stac.verification"
										" WHERE stream = $2 AND diverged AND state = 'completed' AND witness = $1)", 2, parameters);

	if (result == NULL)
		return database_lost(&problem);
	*known = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return STATUS_RUNNING;
}

/*
 * Neither this relay nor the sink knows what was delivered; the row does not,
 * if the server was recovered to a point before the last change of it
 */
static ExitStatus
check_recovery(const Consumer *consumer)
{
	const Catalogue *catalogue = consumer->catalogue;
	uint64_t	end;
	bool		chosen = false;
	ExitStatus	status = STATUS_RUNNING;

	if (consumer->row.known && consumer->delivered_timeline == 0 && consumer->row.timeline < catalogue->timeline)
		status = find_switch(catalogue, consumer->row.timeline, &end, &chosen);
	if (status != STATUS_RUNNING || !chosen)
		return status;
	log_problem("history-diverged", "the server was recovered to an earlier point, " LSN_FORMAT " of timeline %d,"
				" and the sink cannot tell whether it got more; heal the index with --verify --deep --repair, or make it anew."
				" If it surely got no more, drop and create the stream, and start once with --create --from-beginning",
				LSN_PARTS(end), consumer->row.timeline);
	return STATUS_CATALOGUE;
}

/*
 * Does the database know the newest event that the sink holds? Queries may not
 * see its commit yet, although it was delivered.
 */
static ExitStatus
check_sink(const Consumer *consumer, Sink *sink)
{
	const Catalogue *catalogue = consumer->catalogue;
	Buffer		event = {0};
	bool		known;
	ExitStatus	status;

	if (sink == NULL)
		return STATUS_RUNNING;
	if (sink->kind->newest == NULL || !sink->kind->newest(sink, &event))
		return check_recovery(consumer);
	status = event_is_known(catalogue, event.data, &known);
	if (status == STATUS_RUNNING && !known)
		status = wait_for_commits(catalogue);
	if (status == STATUS_RUNNING && !known)
		status = event_is_known(catalogue, event.data, &known);
	if (status == STATUS_RUNNING && !known)
	{
		log_problem("history-diverged", "the sink holds an event that never was in this database, %s; heal the index with --verify --deep --repair, or make it anew",
					event.data);
		status = STATUS_CATALOGUE;
	}
	buffer_free(&event);
	return status;
}

/*
 * After a restore nobody knows what the sink holds, but it may be told to begin
 * anew: once, and not by a configuration that always says so.
 */
static ExitStatus
check_restore(Consumer *consumer)
{
	const CatalogueSettings *settings = consumer->catalogue->settings;

	if (!consumer->row.restored)
		return STATUS_RUNNING;
	if (settings->create && !settings->if_not_exists && (settings->snapshot || settings->from_beginning))
		consumer->begun_anew = true;
	if (consumer->begun_anew)
		return STATUS_RUNNING;
	log_problem("unknown-history", "the catalogue was restored: what this stream delivered before may never have been in it."
				" Heal the index with --verify --deep --repair; or empty it and start once with --create --snapshot, without --if-not-exists;"
				" or, if the restore lost nothing, with --create --from-beginning. For other readers drop and create the stream");
	return STATUS_CATALOGUE;
}

/* Was a sink of another history not healed to the end? What has been delivered since hides that */
static ExitStatus
check_cure(const Catalogue *catalogue)
{
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream};
	PGresult   *result = database_query(catalogue->sql, &problem,
										"SELECT state FROM esgf_stac.verification WHERE stream = $1 AND diverged ORDER BY started DESC LIMIT 1", 1, parameters);
	bool		cured;

	if (result == NULL)
		return database_lost(&problem);
	cured = PQntuples(result) == 0 || strcmp(PQgetvalue(result, 0, 0), "completed") == 0;
	PQclear(result);
	if (cured)
		return STATUS_RUNNING;
	log_problem("history-diverged", "the sink was fed from another history, and healing it was interrupted:"
				" run --verify --deep --repair to its end, or make the index anew");
	return STATUS_CATALOGUE;
}

/* Was all that this stream has delivered in this history? */
static ExitStatus
check_delivered(Consumer *consumer, Sink *sink)
{
	const Catalogue *catalogue = consumer->catalogue;
	ExitStatus	status = check_restore(consumer);

	if (status != STATUS_RUNNING)
		return status;
	if (consumer->delivered_timeline != 0)
		status = check_position(catalogue, consumer->delivered_timeline, consumer->delivered, "this relay");
	if (status == STATUS_RUNNING && consumer->row.known)
		status = check_position(catalogue, consumer->row.timeline, consumer->row.delivered, "table consumer");
	if (status == STATUS_RUNNING)
		status = check_sink(consumer, sink);
	return status == STATUS_RUNNING ? check_cure(catalogue) : status;
}

/* Heal the sink: whatever was delivered, the stream begins anew, and all is compared */
static void
begin_cure(Consumer *consumer)
{
	log_line(LOG_NOTE, "the stream begins anew, and what the sink holds is compared with this history, and healed");
	consumer->cures = consumer->begun_anew = true;
	consumer->row.known = consumer->row.restored = false;
	consumer->row.delivered = 0;
	consumer->delivered = consumer->received_end = consumer->durable = 0;
	consumer->catalogue->settings->create = true;
}

/* Stop rather than mix two truths */
ExitStatus
history_check(Consumer *consumer, Sink *sink)
{
	const Catalogue *catalogue = consumer->catalogue;
	ExitStatus	status = check_delivered(consumer, sink);

	if (status == STATUS_CATALOGUE && catalogue->settings->cures)
	{
		begin_cure(consumer);
		status = STATUS_RUNNING;
	}
	if (status != STATUS_RUNNING)
		return status;

	/* Positions that keepalives gave us mean nothing on another timeline. */
	if (consumer->delivered_timeline != catalogue->timeline)
		consumer->durable = 0;
	consumer->delivered_timeline = catalogue->timeline;

	/*
	 * What an earlier relay delivered is remembered too, should the row
	 * forget it.
	 */
	if (consumer->row.delivered > consumer->delivered)
		consumer->delivered = consumer->received_end = consumer->row.delivered;
	return STATUS_RUNNING;
}
