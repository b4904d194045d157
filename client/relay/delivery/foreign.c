/*
 * foreign.c
 *		What others write into the sink: counted, logged once a minute, and
 *		written into the stream's row of the table consumer.
 */
#include "delivery/foreign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue/visibility.h"
#include "lib/log.h"

#define TELL_MS 60000

/* List what the sink has in place of events: as an array, "[]" if there is nothing */
static void
list_found(const Event *events, int count, Buffer *found)
{
	const char *separator = "";

	buffer_text(found, "[");
	for (int i = 0; i < count; i++)
	{
		if (events[i].outcome != EVENT_DONE || events[i].found_version <= events[i].version)
			continue;
		buffer_printf(found, "%s{\"collection_id\":", separator);
		append_string(found, events[i].collection_id);
		buffer_text(found, ",\"item_id\":");
		append_string(found, events[i].item_id);
		buffer_printf(found, ",\"version\":%" PRId64 "}", events[i].found_version);
		separator = ",";
	}
	buffer_text(found, "]");
}

/* Ask which of them were never given: how many, and the last one's collection, item and version */
static ExitStatus
ask(const Catalogue *catalogue, const Buffer *found, PGresult **answer)
{
	Buffer		problem = {0};
	const char *parameters[] = {found->data};

	*answer = database_query(catalogue->sql, &problem,
							 "SELECT e ->> 'collection_id', e ->> 'item_id', e ->> 'version', count(*) OVER ()"
							 " FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY f (e, place)"
							 " WHERE NOT esgf_stac_internal.event_is_known(e::text) ORDER BY place DESC LIMIT 1", 1, parameters);
	return *answer != NULL ? STATUS_RUNNING : database_lost(&problem);
}

/* The same, once queries see all that the sink can have: nothing where some commit still waits */
static ExitStatus
ask_again(const Catalogue *catalogue, const Buffer *found, PGresult **answer)
{
	char	   *xids = NULL;
	bool		visible = false;
	ExitStatus	status = commits_pending(catalogue, &xids);

	if (status == STATUS_RUNNING)
		status = commits_visible(catalogue, xids, &visible);
	free(xids);
	return status == STATUS_RUNNING && visible ? ask(catalogue, found, answer) : status;
}

/* Tell of them, in the log not more often than once a minute */
static ExitStatus
tell(Foreign *foreign, const Catalogue *catalogue, const PGresult *answer)
{
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream, PQgetvalue(answer, 0, 0), PQgetvalue(answer, 0, 1),
	PQgetvalue(answer, 0, 2), PQgetvalue(answer, 0, 3)};
	PGresult   *result;

	foreign->versions += strtoll(parameters[4], NULL, 10);
	if (foreign->told_at == 0 || monotonic_ms() >= foreign->told_at + TELL_MS)
	{
		log_line(LOG_WARNING, "the sink has version %s of %s %s, which was never given here: somebody else writes into it; %" PRId64 " such so far",
				 parameters[3], parameters[1], parameters[2], foreign->versions);
		foreign->told_at = monotonic_ms();
	}
	result = database_query(catalogue->sql, &problem,
							"UPDATE esgf_stac.consumer SET foreign_versions = coalesce(foreign_versions, 0) + $5::bigint,"
							" foreign_version = left(format('version %s of %s %s', $4::text, $2::text, $3::text), 1000), foreign_at = now()"
							" WHERE stream = $1", 5, parameters);
	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/* The sink has answered: has it versions that are none of ours? */
ExitStatus
foreign_note(Foreign *foreign, const Catalogue *catalogue, const Event *events, int count)
{
	Buffer		found = {0};
	PGresult   *answer = NULL;
	ExitStatus	status = STATUS_RUNNING;

	list_found(events, count, &found);
	if (found.length > strlen("[]"))
		status = ask(catalogue, &found, &answer);
	if (answer != NULL && PQntuples(answer) > 0)
	{
		PQclear(answer);
		answer = NULL;
		status = ask_again(catalogue, &found, &answer);
	}
	if (answer != NULL && PQntuples(answer) > 0)
		status = tell(foreign, catalogue, answer);
	PQclear(answer);
	buffer_free(&found);
	return status;
}
