/*
 * verification.c
 *		The steps of a comparison, and its row.
 */
#include "verify/verification.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/wait.h"

/* The row is written that often. */
#define WRITE_MS 1000

/* The truth is walked over in pages of so many items. */
#define WALK_SIZE "10000"

/* The sink cannot be read */
ExitStatus
reader_lost(Buffer *problem)
{
	log_line(LOG_ERROR, "verify: the sink cannot be read: %s", problem->data);
	buffer_free(problem);
	return STATUS_ENDPOINT;
}

/* ---------------------------------------------------------------- the row */

/* Write down how far it is, and what was found */
ExitStatus
verification_write(Verification *verification)
{
	Buffer		problem = {0};
	char		items[32];
	char		differences[32];
	const char *parameters[] = {verification->id, items, differences};
	PGresult   *result;
	ExitStatus	status = drift_write(&verification->drift, verification->catalogue, verification->id, verification->settings->repair);

	if (status != STATUS_RUNNING)
		return status;
	snprintf(items, sizeof(items), "%" PRId64, verification->items);
	snprintf(differences, sizeof(differences), "%" PRId64, verification->drift.total);
	verification->written_at = monotonic_ms();
	result = database_query(verification->catalogue->sql, &problem,
							"UPDATE esgf_stac.verification SET items = $2, differences = $3 WHERE id = $1", 3, parameters);
	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/* So many more items are looked at: heed a stop, write and tell now and then */
ExitStatus
verification_note(Verification *verification, int64_t done)
{
	verification->phase_done += done;
	if (stop_requested)
		return STATUS_STOPPED;
	verification_tell(verification);
	return monotonic_ms() < verification->written_at + WRITE_MS ? STATUS_RUNNING : verification_write(verification);
}

/* Make the row; or take that of an earlier session, which lost a connection, and begin anew */
ExitStatus
verification_begin(Verification *verification)
{
	Buffer		problem = {0};
	const char *parameters[] = {verification->catalogue->settings->stream, verification->settings->deep ? "true" : "false", verification->id,
	verification->diverged ? "true" : "false", verification->witness.length > 0 ? verification->witness.data : NULL};
	PGresult   *result = database_query(verification->catalogue->sql, &problem,
										"SELECT esgf_stac_internal.begin_verification($1, $2, $3, $4, $5)", 5, parameters);

	if (result == NULL)
		return database_lost(&problem);
	free(verification->id);
	verification->id = copy_string(PQgetvalue(result, 0, 0));
	PQclear(result);
	return STATUS_RUNNING;
}

/* Close the row; one that cannot be written stays as it is */
static ExitStatus
end_row(Verification *verification, const char *state)
{
	Buffer		problem = {0};
	const char *parameters[] = {verification->id, state};
	PGresult   *result;
	ExitStatus	status = verification_write(verification);

	if (status != STATUS_RUNNING)
		return status;
	result = database_query(verification->catalogue->sql, &problem,
							"UPDATE esgf_stac.verification SET state = $2, finished = now() WHERE id = $1", 2, parameters);
	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/* ---------------------------------------------------------------- steps */

/* Learn which collections the items of the stream are of */
static ExitStatus
read_collections(Verification *verification)
{
	Buffer		problem = {0};
	const char *parameters[] = {verification->catalogue->settings->stream};
	PGresult   *result = database_query(verification->catalogue->sql, &problem,
										"SELECT c.id FROM esgf_stac.collection c JOIN esgf_stac.stream s ON s.collections IS NULL OR c.id = ANY (s.collections)"
										" WHERE s.name = $1 ORDER BY length(c.id) DESC", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	verification->collections = allocate(((size_t) PQntuples(result) + 1) * sizeof(char *));
	for (int i = 0; i < PQntuples(result); i++)
		verification->collections[i] = copy_string(PQgetvalue(result, i, 0));
	PQclear(result);
	return STATUS_RUNNING;
}

/* Open the sink for reading; what can never be compared is a mistake of usage */
static ExitStatus
open_reader(Verification *verification)
{
	Buffer		problem = {0};
	bool		unfit;

	verification->reader = verification->sink_kind->reader->make(verification->sink);
	verification->reader->kind = verification->sink_kind->reader;
	verification->reader->collections = verification->collections;
	if (verification->reader->kind->open(verification->reader, &problem))
		return STATUS_RUNNING;
	unfit = verification->reader->unfit;
	if (!unfit)
		return reader_lost(&problem);
	log_line(LOG_ERROR, "verify: this sink cannot be compared: %s", problem.data);
	buffer_free(&problem);
	return STATUS_USAGE;
}

/* Is all that the sink holds in the stream, and as it is there? */
static ExitStatus
walk_sink(Verification *verification)
{
	SinkReader *reader = verification->reader;
	Buffer		problem = {0};
	Holdings	page = {0};
	int64_t		total;
	ExitStatus	status = STATUS_RUNNING;

	reader->documents = verification->settings->deep;
	if (!reader->kind->begin(reader, &total, &problem))
		return reader_lost(&problem);
	verification_begin_phase(verification, VERIFY_SINK, total);
	for (;;)
	{
		holdings_clear(&page);
		if (!reader->kind->page(reader, compare_size(verification), &page, &problem))
			status = reader_lost(&problem);
		if (status != STATUS_RUNNING || page.count == 0)
			break;
		if (reader->collection_told)
			status = truth_collections(verification->catalogue, reader->collections, &page);
		if (status == STATUS_RUNNING)
			status = compare_items(verification, &page);
		if (status == STATUS_RUNNING)
			status = verification_note(verification, page.count);
		if (status != STATUS_RUNNING)
			break;
	}
	holdings_free(&page);
	return status == STATUS_RUNNING ? compare_suspects(verification) : status;
}

/* Compare those items of which the sink holds nothing */
static ExitStatus
compare_absent(Verification *verification, const Holdings *items)
{
	Holdings	absent = {0};
	ExitStatus	status = STATUS_RUNNING;

	for (int i = 0; i < items->count; i++)
		if (items->list[i].held == HELD_NOTHING)
			holdings_add(&absent, items->list[i].collection_id, items->list[i].item_id);
	if (absent.count > 0)
		status = compare_items(verification, &absent);
	holdings_free(&absent);
	return status;
}

/* Does the sink hold those items, a page of the truth? As many at once as it likes */
static ExitStatus
look_up(Verification *verification, const PGresult *page)
{
	SinkReader *reader = verification->reader;
	Buffer		problem = {0};
	ExitStatus	status = STATUS_RUNNING;
	int			next = 0;

	while (status == STATUS_RUNNING && next < PQntuples(page))
	{
		Holdings	items = {0};
		int			first = next;

		for (; next < PQntuples(page) && items.count < compare_size(verification); next++)
			if (PQgetvalue(page, next, 2)[0] == 't')
				holdings_add(&items, PQgetvalue(page, next, 0), PQgetvalue(page, next, 1));
		if (items.count > 0 && !reader->kind->lookup(reader, &items, &problem))
			status = reader_lost(&problem);
		if (status == STATUS_RUNNING)
			status = compare_absent(verification, &items);
		holdings_free(&items);
		if (status == STATUS_RUNNING)
			status = verification_note(verification, next - first);
	}
	return status;
}

/* Learn how many items the walk over the truth will look at */
static ExitStatus
count_items(Verification *verification, int64_t *total)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(verification->catalogue->sql, &problem,
										"SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = 'esgf_stac.item'::pg_catalog.regclass", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	*total = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Read the page of the truth behind another, NULL at its beginning; it is NULL after the last */
static ExitStatus
next_page(const Verification *verification, PGresult **page)
{
	Buffer		problem = {0};
	int			last = *page != NULL ? PQntuples(*page) - 1 : -1;
	const char *parameters[] = {
		verification->catalogue->settings->stream,
		last >= 0 ? PQgetvalue(*page, last, 0) : NULL,
		last >= 0 ? PQgetvalue(*page, last, 1) : NULL,
	};
	PGresult   *next = database_query(verification->catalogue->sql, &problem,
									  "SELECT collection_id, item_id, in_stream"
									  " FROM esgf_stac_internal.verification_page($1, $2, $3, " WALK_SIZE ")", 3, parameters);

	PQclear(*page);
	*page = NULL;
	if (next == NULL)
		return database_lost(&problem);
	if (PQntuples(next) > 0)
		*page = next;
	else
		PQclear(next);
	return STATUS_RUNNING;
}

/* Does the sink hold all of the stream? What it holds was compared before */
static ExitStatus
walk_stream(Verification *verification)
{
	PGresult   *page = NULL;
	int64_t		total;
	ExitStatus	status = count_items(verification, &total);

	if (status != STATUS_RUNNING)
		return status;
	verification->reader->documents = false;
	verification_begin_phase(verification, VERIFY_STREAM, total);
	do
	{
		status = next_page(verification, &page);
		if (status == STATUS_RUNNING && page != NULL)
			status = look_up(verification, page);
	}
	while (status == STATUS_RUNNING && page != NULL);
	PQclear(page);
	return status == STATUS_RUNNING ? compare_suspects(verification) : status;
}

static ExitStatus
write_found(Verification *verification)
{
	return verification_write(verification);
}

static ExitStatus
mend(Verification *verification)
{
	return verification->settings->repair ? repair_run(verification) : STATUS_RUNNING;
}

static ExitStatus
conclude(Verification *verification)
{
	verification_print(verification);
	return STATUS_RUNNING;
}

/* Forget what an earlier session found */
static void
forget(Verification *verification)
{
	if (verification->reader != NULL)
		verification->reader->kind->close(verification->reader);
	verification->reader = NULL;
	for (char **one = verification->collections; one != NULL && *one != NULL; one++)
		free(*one);
	free(verification->collections);
	verification->collections = NULL;
	suspects_free(verification);
	drift_free(&verification->drift);
	verification->phase = VERIFY_NOT;
}

/* Compare; the end is STATUS_STOPPED where nothing differs, and STATUS_DRIFT where something does */
ExitStatus
verification_run(Verification *verification)
{
	static ExitStatus (*const steps[]) (Verification *) = {
		read_collections, open_reader, verification_begin, walk_sink, walk_stream, write_found, mend, conclude,
	};
	ExitStatus	status = STATUS_RUNNING;
	int64_t		left;

	verification->items = 0;
	verification->drift.cure = verification->diverged;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == STATUS_RUNNING; i++)
		status = steps[i] (verification);
	left = drift_left(&verification->drift);
	if (verification->id != NULL && PQstatus(verification->catalogue->sql) == CONNECTION_OK)
	{
		ExitStatus	ended = end_row(verification, status == STATUS_RUNNING ? "completed" : stop_requested ? "cancelled" : "failed");

		if (status == STATUS_RUNNING)
			status = ended;
	}
	forget(verification);
	if (status == STATUS_RUNNING)
		status = left > 0 ? STATUS_DRIFT : STATUS_STOPPED;
	return status;
}
