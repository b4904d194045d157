/*
 * envelope.c
 *		What the federation's envelope says beside the document: who made the
 *		change, on which request. The stream does not tell it, on purpose; for
 *		--format esgf the database is asked, once for each batch.
 */
#include "relay.h"

#include <inttypes.h>

/* The pause before asking again for what is not visible yet. */
#define PAUSE_MS 10

/* Is that an event of an item that we have not asked for? */
static bool
wanted(const Event *event)
{
	return event->item_id != NULL && event->metadata == NULL;
}

/* List the events to ask for; false if there are none */
static bool
list_events(const Relay *relay, Buffer *list)
{
	for (int i = 0; i < relay->batch_count; i++)
	{
		if (!wanted(&relay->batch[i]))
			continue;
		buffer_text(list, list->length == 0 ? "[" : ",");
		event_head(list, &relay->batch[i]);
		buffer_printf(list, ",\"xid\":%" PRIu64 "}", relay->batch[i].xid);
	}
	if (list->length > 0)
		buffer_text(list, "]");
	return list->length > 0;
}

/* Ask once; a signal to stop ends the query, but the events are still to be delivered */
static PGresult *
ask_once(Relay *relay, const char *events, Buffer *problem)
{
	const char *parameters[] = {relay->options.stream, events};
	bool		was_stopping = stop_requested;
	PGresult   *result;

	result = database_query(relay->sql, problem,
							"SELECT metadata, introduction FROM esgf_stac_internal.event_metadata($1, $2)", 2, parameters);
	if (result == NULL && stop_requested && !was_stopping)
	{
		buffer_clear(problem);
		return ask_once(relay, events, problem);
	}
	return result;
}

/*
 * Ask until there is an answer: the WAL, and so the stream, tells of a commit a
 * moment before queries see it, or long before where the commit waits for a
 * standby.
 */
static ExitStatus
ask(Relay *relay, const char *events, PGresult **answer)
{
	Buffer		problem = {0};
	Wait		wait = wait_begin("a commit to be seen by queries");

	for (;;)
	{
		*answer = ask_once(relay, events, &problem);
		if (*answer == NULL)
			return database_lost(&problem);
		if (PQntuples(*answer) > 0)
			return STATUS_RUNNING;
		PQclear(*answer);
		*answer = NULL;
		if (stop_requested)
			return STATUS_STOPPED;
		wait_on(&wait, -1, 0, PAUSE_MS);
	}
}

/* Copy a field of an answer, NULL for null */
static char *
copy_field(PGresult *answer, int row, int column)
{
	return PQgetisnull(answer, row, column) ? NULL : copy_string(PQgetvalue(answer, row, column));
}

/* Give every event of the batch what its envelope needs */
ExitStatus
envelope_prepare(Relay *relay)
{
	Buffer		list = {0};
	PGresult   *answer = NULL;
	ExitStatus	status = STATUS_RUNNING;
	int			row = 0;

	if (list_events(relay, &list))
		status = ask(relay, list.data, &answer);
	buffer_free(&list);
	for (int i = 0; answer != NULL && i < relay->batch_count; i++)
	{
		Event	   *event = &relay->batch[i];

		if (!wanted(event))
			continue;
		event->metadata = copy_field(answer, row, 0);
		event->introduction = copy_field(answer, row, 1);
		row++;
	}
	PQclear(answer);
	return status;
}
