/*
 * envelope.c
 *		What the federation's envelope says beside the document: who made the
 *		change, on which request. The stream does not tell it, on purpose; for
 *		--format esgf the database is asked, once for each batch.
 */
#include "relay/relay.h"

#include <inttypes.h>

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
		buffer_text(list, "}");
	}
	if (list->length > 0)
		buffer_text(list, "]");
	return list->length > 0;
}

/*
 * Wait until queries see the transactions of these events: the stream may tell
 * of them before.
 */
static ExitStatus
wait_for_events(Relay *relay)
{
	Buffer		xids = {0};
	uint64_t	last = 0;
	ExitStatus	status;

	buffer_text(&xids, "{");
	for (int i = 0; i < relay->batch_count; i++)
	{
		if (!wanted(&relay->batch[i]) || relay->batch[i].xid == 0 || relay->batch[i].xid == last)
			continue;
		buffer_printf(&xids, "%s%" PRIu64, last != 0 ? "," : "", relay->batch[i].xid);
		last = relay->batch[i].xid;
	}
	buffer_text(&xids, "}");
	status = wait_until_visible(relay, xids.data);
	buffer_free(&xids);
	return status;
}

/* Ask; a signal to stop ends the query, but the events are still to be delivered */
static ExitStatus
ask(Relay *relay, const char *events, PGresult **answer)
{
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.stream, events};
	bool		was_stopping = stop_requested;

	*answer = database_query(relay->sql, &problem,
							 "SELECT metadata, introduction FROM esgf_stac_internal.event_metadata($1, $2)", 2, parameters);
	if (*answer != NULL)
		return STATUS_RUNNING;
	if (!stop_requested || was_stopping)
		return database_lost(&problem);
	buffer_free(&problem);
	return ask(relay, events, answer);
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
		status = wait_for_events(relay);
	if (status == STATUS_RUNNING && list.length > 0)
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
