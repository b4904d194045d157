/*
 * send.c
 *		Sends what a source has beside the stream, page by page.
 */
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#include "catalogue/skip.h"
#include "lib/wait.h"

static void
clear_result(void *result)
{
	PQclear(result);
}

/* What a column says that not every page has; "" where it says nothing */
static const char *
text_of(const PGresult *row, const char *column)
{
	int			number = PQfnumber(row, column);

	return number >= 0 ? PQgetvalue(row, 0, number) : "";
}

/* Make an event of a row of the outbox, with its memory */
static void
make_event(const Relay *relay, PGresult *row, Event *event)
{
	char	   *values[COLUMN_COUNT];

	for (int column = 0; column < COLUMN_COUNT; column++)
		values[column] = PQgetisnull(row, 0, column) ? NULL : PQgetvalue(row, 0, column);
	event_from_columns(event, values, (size_t) PQgetlength(row, 0, COLUMN_PAYLOAD), relay->options.catalogue.stream);
	event->overwrites = text_of(row, "repair")[0] != '\0';
	event->forgets = strcmp(text_of(row, "repair"), "remove") == 0;
	event->memory = row;
	event->release = clear_result;
}

/* Hand a row over; one that cannot be sent is a dead letter at once */
ExitStatus
send_row(Relay *relay, Source *source, PGresult *row)
{
	Event		event;
	ExitStatus	status = STATUS_RUNNING;
	bool		wanted;

	make_event(relay, row, &event);
	wanted = source->kind->take == NULL || source->kind->take(source, row, &event);
	if (wanted && strcmp(text_of(row, "sent"), "f") != 0)
		return batch_add(source->delivery, &event);
	if (wanted)
	{
		event_refuse(&event, EVENT_REFUSED, "its document is too long to be sent");
		status = batch_give_up(source->delivery, &event);
	}
	event_release(&event);
	return status;
}

static void
note_row(Page *page, const PGresult *row)
{
	page->rows++;
	free(page->collection_id);
	free(page->item_id);
	page->collection_id = copy_string(PQgetvalue(row, 0, COLUMN_AGGREGATETYPE));
	page->item_id = copy_string(PQgetvalue(row, 0, COLUMN_AGGREGATEID));
}

/* Hand over the rows of a page, and have the sink make them durable */
static ExitStatus
send_rows(Relay *relay, Source *source, PGconn *reader, Page *page)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_RUNNING;
	PGresult   *row;

	while (status == STATUS_RUNNING && (row = source->kind->next != NULL ? source->kind->next(source) : database_next_row(reader, &problem)) != NULL)
	{
		note_row(page, row);
		status = send_row(relay, source, row);

		/* What has a connection of its own sends little at once. */
		if (status == STATUS_RUNNING && source->reader == NULL)
			status = heed_signals(relay);
	}
	if (problem.length > 0)
	{
		if (source->kind->may_be_stuck && PQstatus(reader) == CONNECTION_OK && !stop_requested)
			skip_tell(&relay->consumer, problem.data);
		return database_lost(&problem);
	}
	if (status != STATUS_RUNNING)
		return status;
	return source->kind->settles ? batch_deliver(source->delivery) : batch_settle(source->delivery);
}

static ExitStatus
send_page(Relay *relay, Source *source, PGconn *reader, bool *more)
{
	Buffer		problem = {0};
	Page		page = {0};
	ExitStatus	status;

	if (!source->kind->page(source, reader, &problem))
		return database_lost(&problem);
	status = send_rows(relay, source, reader, &page);
	if (status == STATUS_RUNNING)
		status = source->kind->done(source, &page, more);
	free(page.collection_id);
	free(page.item_id);
	return status;
}

/* Over another connection than the source's own, if that is the way */
static ExitStatus
connect_reader(Relay *relay, const Source *source, PGconn **reader)
{
	*reader = source->reader;
	return source->reader != NULL ? STATUS_RUNNING : catalogue_connect(&relay->catalogue, reader);
}

/* The rest of the rows is for nobody */
static void
drop_rows(PGconn *reader)
{
	Buffer		problem = {0};
	PGresult   *row;

	while ((row = database_next_row(reader, &problem)) != NULL)
		PQclear(row);
	buffer_free(&problem);
}

/*
 * Send what a source has, if anything. It is read over another connection, for
 * dead letters may have to be written meanwhile.
 */
ExitStatus
send_source(Relay *relay, Source *source)
{
	bool		more;
	PGconn	   *reader;
	ExitStatus	status = source->kind->begin(source, &more);

	if (status != STATUS_RUNNING || !more)
		return status;
	status = connect_reader(relay, source, &reader);
	while (status == STATUS_RUNNING && more)
	{
		status = send_page(relay, source, reader, &more);
		if (status == STATUS_RUNNING && more)
			status = heed_signals(relay);
	}
	if (reader != source->reader)
		PQfinish(reader);
	else if (status == STATUS_ENDPOINT && source->kind->failed != NULL)
	{
		drop_rows(reader);
		status = source->kind->failed(source, status);
	}
	return status;
}
