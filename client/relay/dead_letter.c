/*
 * dead_letter.c
 *		Events that the sink refused for good, and their second chance.
 *
 * redrive() in the database marks dead letters; the relay then sends the items'
 * current states. It must not send one after a later version, nor an earlier
 * version after it: so it notes the versions and the WAL's end, waits until the
 * stream has passed that and queries see what was committed before it, and
 * sends those items whose version is still the same and that the stream has
 * brought no later one of. A later one that is still to come waits for the next
 * round.
 */
#include "relay/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

/*
 * Write down a refused event. Whatever the server's synchronous_commit is, that
 * commit is on its disk afterwards. It waits for no standby: that could be the
 * relay itself, which confirms nothing before.
 */
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
							" SELECT $1, $2::uuid, $3, $4, $5::bigint, left($6, 2000), $7::jsonb"
							" FROM pg_catalog.set_config('synchronous_commit', 'local', true)"
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

/* The columns of a round's items. */
enum
{
	ITEM_COLLECTION, ITEM_ID, ITEM_VERSION, ITEM_ASKED
};

void
redrive_forget(Relay *relay)
{
	free(relay->redrive.pending);
	free(relay->redrive.overtaken);
	PQclear(relay->redrive.items);
	relay->redrive = (Redrive)
	{
		.position = 0
	};
}

/* See whether somebody called redrive(); if so, note versions, then where the WAL ends */
static ExitStatus
begin_round(Relay *relay)
{
	Redrive    *round = &relay->redrive;
	Buffer		problem = {0};
	const char *parameters[] = {relay->options.stream};
	PGresult   *result;

	round->items = database_query(relay->sql, &problem,
								  "SELECT collection_id, item_id, version, asked FROM esgf_stac_internal.redrive_round($1)", 1, parameters);
	if (round->items == NULL)
		return database_lost(&problem);
	if (PQntuples(round->items) == 0)
	{
		redrive_forget(relay);
		return STATUS_RUNNING;
	}
	round->overtaken = allocate((size_t) PQntuples(round->items) * sizeof(bool));
	result = database_query(relay->sql, &problem, "SELECT pg_current_wal_insert_lsn()", 0, NULL);
	if (result == NULL)
		return database_lost(&problem);
	lsn_parse(PQgetvalue(result, 0, 0), &round->position);
	PQclear(result);
	return commits_pending(relay, &round->pending);
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
redrive_note(Relay *relay, const Event *event)
{
	const PGresult *items = relay->redrive.items;
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
				relay->redrive.overtaken[middle] = true;
			return;
		}
		if (order > 0)
			first = middle + 1;
		else
			end = middle;
	}
}

/* List the round's items; those that were overtaken without a version */
static void
list_items(const Redrive *round, Buffer *keys)
{
	for (int i = 0; i < PQntuples(round->items); i++)
	{
		buffer_text(keys, i == 0 ? "[[" : ",[");
		append_string(keys, PQgetvalue(round->items, i, ITEM_COLLECTION));
		buffer_text(keys, ",");
		append_string(keys, PQgetisnull(round->items, i, ITEM_ID) ? NULL : PQgetvalue(round->items, i, ITEM_ID));
		buffer_printf(keys, ",%s,", round->overtaken[i] || PQgetisnull(round->items, i, ITEM_VERSION) ?
					  "null" : PQgetvalue(round->items, i, ITEM_VERSION));
		append_string(keys, PQgetvalue(round->items, i, ITEM_ASKED));
		buffer_text(keys, "]");
	}
	buffer_text(keys, "]");
}

/* Send the states that nothing has overtaken, and settle the letters */
static ExitStatus
end_round(Relay *relay)
{
	Buffer		problem = {0};
	Buffer		keys = {0};
	const char *parameters[2] = {relay->options.stream};
	PGresult   *result;
	ExitStatus	status;

	list_items(&relay->redrive, &keys);
	parameters[1] = keys.data;
	status = replay_query(relay, "SELECT NULL, aggregatetype, aggregateid, type, version, document, updated, NULL, NULL, NULL, NULL"
						  " FROM esgf_stac_internal.redrive_states($1, $2)", 2, parameters);
	if (status == STATUS_RUNNING)
	{
		result = database_query(relay->sql, &problem, "SELECT esgf_stac_internal.settle_letters($1, $2)", 2, parameters);
		if (result == NULL)
			status = database_lost(&problem);
		else
			log_line(LOG_NOTE, "redrive: %s dead letters settled", PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	buffer_free(&keys);
	return status;
}

/* Called between transactions, when all that was received is durable */
ExitStatus
redrive(Relay *relay)
{
	bool		visible;
	ExitStatus	status;

	if (relay->redrive.position == 0)
		return begin_round(relay);
	if (relay->durable < relay->redrive.position)
		return STATUS_RUNNING;
	status = commits_visible(relay, relay->redrive.pending, &visible);
	if (status != STATUS_RUNNING || !visible)
		return status;
	status = end_round(relay);
	redrive_forget(relay);
	return status;
}
