/*
 * envelope.c
 *		What the federation's envelope says beside the document: who made the
 *		change, on which request. The stream does not tell it, on purpose; for
 *		--format esgf the database is asked, once for each batch.
 */
#include "delivery/envelope.h"

#include <inttypes.h>
#include <stdlib.h>

#include "catalogue/visibility.h"
#include "lib/wait.h"

/* Is that an event of an item that we have not asked for? */
static bool
wanted(const Event *event)
{
	return event->item_id != NULL && event->metadata == NULL;
}

/* List the events to ask for; false if there are none */
static bool
list_events(const Event *batch, int count, Buffer *list)
{
	for (int i = 0; i < count; i++)
	{
		if (!wanted(&batch[i]))
			continue;
		buffer_text(list, list->length == 0 ? "[" : ",");
		event_head(list, &batch[i]);
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
wait_for_events(const Catalogue *catalogue, const Event *batch, int count)
{
	Buffer		xids = {0};
	uint64_t	last = 0;
	ExitStatus	status;

	buffer_text(&xids, "{");
	for (int i = 0; i < count; i++)
	{
		if (!wanted(&batch[i]) || batch[i].xid == 0 || batch[i].xid == last)
			continue;
		buffer_printf(&xids, "%s%" PRIu64, last != 0 ? "," : "", batch[i].xid);
		last = batch[i].xid;
	}
	buffer_text(&xids, "}");
	status = wait_until_visible(catalogue, xids.data);
	buffer_free(&xids);
	return status;
}

/* Ask; a signal to stop ends the query, but the events are still to be delivered */
static ExitStatus
ask(const Catalogue *catalogue, const char *events, PGresult **answer)
{
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream, events};
	bool		was_stopping = stop_requested;

	*answer = database_query(catalogue->sql, &problem,
							 "SELECT metadata, introduction FROM esgf_stac_internal.event_metadata($1, $2)", 2, parameters);
	if (*answer != NULL)
		return STATUS_RUNNING;
	if (!stop_requested || was_stopping)
		return database_lost(&problem);
	buffer_free(&problem);
	return ask(catalogue, events, answer);
}

/* Copy a field of an answer, NULL for null */
static char *
copy_field(PGresult *answer, int row, int column)
{
	return PQgetisnull(answer, row, column) ? NULL : copy_string(PQgetvalue(answer, row, column));
}

/* Give every event of the batch what its envelope needs */
ExitStatus
envelope_prepare(const Catalogue *catalogue, Event *batch, int count)
{
	Buffer		list = {0};
	PGresult   *answer = NULL;
	ExitStatus	status = STATUS_RUNNING;
	int			row = 0;

	if (list_events(batch, count, &list))
		status = wait_for_events(catalogue, batch, count);
	if (status == STATUS_RUNNING && list.length > 0)
		status = ask(catalogue, list.data, &answer);
	buffer_free(&list);
	for (int i = 0; answer != NULL && i < count; i++)
	{
		Event	   *event = &batch[i];

		if (!wanted(event))
			continue;
		event->metadata = copy_field(answer, row, 0);
		event->introduction = copy_field(answer, row, 1);
		row++;
	}
	PQclear(answer);
	return status;
}
