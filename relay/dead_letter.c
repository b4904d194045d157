/*
 * dead_letter.c
 *		Events that the sink refused for good, and their second chance.
 *
 * redrive() in the database marks dead letters; the relay then sends the items'
 * current states. It must not send one after a later version, nor an earlier
 * version after it: so it notes the versions and the WAL's end, waits until the
 * stream has passed that, and sends those items whose version is still the
 * same. Where it is not, the stream itself brings the later one.
 */
#include "relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

/* Write down a refused event; that commit must be durable */
ExitStatus
dead_letter_add(Relay *relay, const Event *event)
{
	Buffer		problem = {0};
	char		version[32];
	const char *parameters[] = {relay->options.stream, event->id, event->collection_id, event->item_id,
	version, event->problem, event->document};
	PGresult   *result;

	snprintf(version, sizeof(version), "%" PRId64, event->version);
	result = database_query(relay->sql, &problem,
							"INSERT INTO esgf_stac.dead_letter (stream, event_id, collection_id, item_id, version, reason, document)"
							" VALUES ($1, $2, $3, $4, $5, left($6, 2000), $7)"
							" ON CONFLICT (stream, collection_id, item_id, version) DO UPDATE"
							" SET reason = excluded.reason, document = excluded.document, at = now(), redrive_at = NULL, settled_at = NULL",
							7, parameters);
	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	log_line(LOG_WARNING, "refused: %s of %s %s, version %s: %s", event->type, event->collection_id,
			 event->item_id != NULL ? event->item_id : "", version, event->problem);
	return STATUS_RUNNING;
}

void
redrive_forget(Relay *relay)
{
	free(relay->redrive.asked_until);
	free(relay->redrive.keys);
	relay->redrive = (Redrive)
	{
		.position = 0
	};
}

/* See whether somebody called redrive() */
static ExitStatus
begin_round(Relay *relay)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.stream};
	PGresult   *result = database_query(relay->sql, &problem,
										"SELECT asked_until, keys, position FROM esgf_stac_internal.redrive_round($1)", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	if (!PQgetisnull(result, 0, 1))
	{
		relay->redrive.asked_until = copy_string(PQgetvalue(result, 0, 0));
		relay->redrive.keys = copy_string(PQgetvalue(result, 0, 1));
		lsn_parse(PQgetvalue(result, 0, 2), &relay->redrive.position);
	}
	PQclear(result);
	return STATUS_RUNNING;
}

/* Send the states that the stream has not overtaken, and settle the letters */
static ExitStatus
end_round(Relay *relay)
{
	Buffer		problem = {0};
	const char *keys[] = {relay->options.stream, relay->redrive.keys};
	const char *settled[] = {relay->options.stream, relay->redrive.asked_until};
	PGresult   *result;
	ExitStatus	status = replay_query(relay, "SELECT NULL, aggregatetype, aggregateid, type, version, document, updated, NULL, NULL, NULL, NULL"
									  " FROM esgf_stac_internal.redrive_states($1, $2)", 2, keys);

	if (status != STATUS_RUNNING)
		return status;
	result = database_query(relay->sql, &problem,
							"UPDATE esgf_stac.dead_letter SET settled_at = now()"
							" WHERE stream = $1 AND settled_at IS NULL AND redrive_at <= $2", 2, settled);
	if (result == NULL)
		return database_lost(&problem);
	log_line(LOG_NOTE, "redrive: %s dead letters settled", PQcmdTuples(result));
	PQclear(result);
	return STATUS_RUNNING;
}

/* Called between transactions, when all that was received is durable */
ExitStatus
redrive(Relay *relay)
{
	ExitStatus	status;

	if (relay->redrive.position == 0)
		return begin_round(relay);
	if (relay->durable < relay->redrive.position)
		return STATUS_RUNNING;
	status = end_round(relay);
	redrive_forget(relay);
	return status;
}
