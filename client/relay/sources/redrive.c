/*
 * redrive.c
 *		The second chance of dead letters, and the repair of a sink.
 *
 * redrive() in the database marks dead letters, and --verify --repair what
 * differs; the relay then sends the items' current states. What the sink should
 * not know at all is sent as a deletion, in the version that it has there. It must not send one after a later version, nor an earlier
 * version after it: so it notes the versions and the WAL's end, waits until the
 * stream has passed that and queries see what was committed before it, and
 * sends those items whose version is still the same and that the stream has
 * brought no later one of. A later one that is still to come waits for the next
 * round.
 */
#include "sources/redrive.h"

#include <stdlib.h>
#include <string.h>

#include "catalogue/visibility.h"
#include "lib/log.h"

/* The columns of a round's items. */
enum
{
	ITEM_COLLECTION, ITEM_ID, ITEM_VERSION, ITEM_ASKED, ITEM_REPAIR
};

/* The round is over, or the session */
void
redrive_forget(Redrive *redrive)
{
	free(redrive->pending);
	free(redrive->overtaken);
	PQclear(redrive->items);
	redrive->pending = NULL;
	redrive->overtaken = NULL;
	redrive->items = NULL;
	redrive->position = 0;
}

/* See whether somebody called redrive(); if so, note versions, then where the WAL ends */
static ExitStatus
begin_round(Redrive *redrive)
{
	const Catalogue *catalogue = redrive->source.consumer->catalogue;
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream};
	ExitStatus	status;

	redrive->items = database_query(catalogue->sql, &problem,
									"SELECT collection_id, item_id, version, asked, repair FROM esgf_stac_internal.redrive_round($1)", 1, parameters);
	if (redrive->items == NULL)
		return database_lost(&problem);
	if (PQntuples(redrive->items) == 0)
	{
		redrive_forget(redrive);
		return STATUS_RUNNING;
	}
	redrive->overtaken = allocate((size_t) PQntuples(redrive->items) * sizeof(bool));
	status = catalogue_wal_end(catalogue, &redrive->position);
	return status == STATUS_RUNNING ? commits_pending(catalogue, &redrive->pending) : status;
}

/* Order two keys as the round's items are ordered; a collection's own comes first */
static int
compare_keys(const char *collection_id, const char *item_id, const char *other_collection, const char *other_item)
{
	int			order = strcmp(collection_id, other_collection);

	return order != 0 ? order : strcmp(item_id != NULL ? item_id : "", other_item);
}

/* The stream brings an event: a state that is older must not be sent after it */
void
redrive_note(Redrive *redrive, const Event *event)
{
	const PGresult *items = redrive->items;
	int			first = 0;
	int			end = items != NULL ? PQntuples(items) : 0;

	while (first < end)
	{
		int			middle = (first + end) / 2;
		int			order = compare_keys(event->collection_id, event->item_id,
										 PQgetvalue(items, middle, ITEM_COLLECTION), PQgetvalue(items, middle, ITEM_ID));

		if (order == 0)
		{
			if (event->version > strtoll(PQgetvalue(items, middle, ITEM_VERSION), NULL, 10))
				redrive->overtaken[middle] = true;
			return;
		}
		if (order > 0)
			first = middle + 1;
		else
			end = middle;
	}
}

/* The text of a row, NULL for null */
static const char *
field_of(const PGresult *rows, int row, int column)
{
	return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

/* List the round's items; those that were overtaken without a version */
static void
list_items(const Redrive *redrive, Buffer *keys)
{
	buffer_clear(keys);
	for (int i = 0; i < PQntuples(redrive->items); i++)
	{
		buffer_text(keys, i == 0 ? "[[" : ",[");
		append_string(keys, PQgetvalue(redrive->items, i, ITEM_COLLECTION));
		buffer_text(keys, ",");
		append_string(keys, field_of(redrive->items, i, ITEM_ID));
		buffer_printf(keys, ",%s,", redrive->overtaken[i] || PQgetisnull(redrive->items, i, ITEM_VERSION) ?
					  "null" : PQgetvalue(redrive->items, i, ITEM_VERSION));
		append_string(keys, PQgetvalue(redrive->items, i, ITEM_ASKED));
		buffer_text(keys, ",");
		append_string(keys, field_of(redrive->items, i, ITEM_REPAIR));
		buffer_text(keys, "]");
	}
	buffer_text(keys, "]");
}

/* Asked between transactions, when all that was received is durable */
static ExitStatus
redrive_begin(Source *source, bool *wanted)
{
	Redrive    *redrive = (Redrive *) source;

	*wanted = false;
	if (redrive->position == 0)
		return begin_round(redrive);
	if (source->consumer->durable < redrive->position)
		return STATUS_RUNNING;
	return commits_visible(source->consumer->catalogue, redrive->pending, wanted);
}

/* All of a round is one page: the states that nothing has overtaken */
static bool
redrive_page(Source *source, PGconn *reader, Buffer *problem)
{
	Redrive    *redrive = (Redrive *) source;
	const char *parameters[2] = {source->consumer->catalogue->settings->stream};

	list_items(redrive, &redrive->keys);
	parameters[1] = redrive->keys.data;
	return database_rows(reader, problem, "SELECT NULL, aggregatetype, aggregateid, type, version, document, updated, NULL, NULL, NULL, NULL,"
						 " validated_against, NULL, repair FROM esgf_stac_internal.redrive_states($1, $2)", 2, parameters);
}

/* Settle the letters */
static ExitStatus
redrive_done(Source *source, const Page *page, bool *more)
{
	Redrive    *redrive = (Redrive *) source;
	const Catalogue *catalogue = source->consumer->catalogue;
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream, redrive->keys.data};
	PGresult   *result = database_query(catalogue->sql, &problem, "SELECT esgf_stac_internal.settle_letters($1, $2)", 2, parameters);

	(void) page;
	*more = false;
	if (result == NULL)
		return database_lost(&problem);
	log_line(LOG_NOTE, "redrive: %d items sent anew, %s dead letters settled", PQntuples(redrive->items), PQgetvalue(result, 0, 0));
	PQclear(result);
	redrive_forget(redrive);
	return STATUS_RUNNING;
}

const SourceKind source_redrive = {
	.begin = redrive_begin,
	.page = redrive_page,
	.done = redrive_done,
	.may_be_stuck = true,
};
