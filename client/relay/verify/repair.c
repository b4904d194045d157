/*
 * repair.c
 *		Heals what was found: in rounds, for what was touched is compared again.
 *
 * The relay that reads the stream does it, be it another one or this process:
 * it sends what is asked for in the table drift in its place in the stream, as
 * it does for dead letters. Only reissues are made here.
 */
#include "verify/verification.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/wait.h"

/* What differs after so many rounds, does. */
#define ROUNDS 3

/* So often we look whether the relay has sent what was asked for. */
#define ASK_MS 100

/* Rows of one page. */
#define PAGE_SIZE "1000"

/* Run a command about the rows of this verification; how many were there? */
static ExitStatus
change_rows(const Verification *verification, const char *command, int64_t *count)
{
	Buffer		problem = {0};
	const char *parameters[] = {verification->id};
	PGresult   *result = database_query(verification->catalogue->sql, &problem, command, 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	*count = strtoll(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : PQcmdTuples(result), NULL, 10);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Have what differs repaired that was not yet asked for in this round */
static ExitStatus
ask(const Verification *verification, int64_t *count)
{
	return change_rows(verification, "UPDATE esgf_stac.drift SET asked_at = pg_catalog.clock_timestamp()"
					   " WHERE verification = $1 AND repair IS NOT NULL AND asked_at IS NULL AND repaired_at IS NULL", count);
}

/* Give one item a version above that at the sink, and note that, in one transaction */
static ExitStatus
reissue(const Verification *verification, const PGresult *rows, int row)
{
	Buffer		problem = {0};
	const char *parameters[] = {verification->id, PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 1), PQgetvalue(rows, row, 2)};
	PGresult   *result = database_query(verification->catalogue->sql, &problem,
										"WITH receipt AS MATERIALIZED (SELECT * FROM esgf_stac.reissue_item($2, $3, $4::bigint))"
										" UPDATE esgf_stac.drift SET sent_at = pg_catalog.clock_timestamp() FROM receipt"
										" WHERE verification = $1 AND drift.collection_id = $2 AND drift.item_id = $3", 4, parameters);

	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Reissue what both histories gave a version */
static ExitStatus
reissue_all(Verification *verification)
{
	Buffer		problem = {0};
	const char *parameters[] = {verification->id};
	ExitStatus	status = STATUS_RUNNING;
	int			count = 1;

	while (status == STATUS_RUNNING && count > 0)
	{
		PGresult   *rows = database_query(verification->catalogue->sql, &problem,
										  "SELECT collection_id, item_id, greatest(version_here, version_there) FROM esgf_stac.drift"
										  " WHERE verification = $1 AND repair = 'reissue' AND asked_at IS NOT NULL AND sent_at IS NULL"
										  " LIMIT " PAGE_SIZE, 1, parameters);

		if (rows == NULL)
			return database_lost(&problem);
		count = PQntuples(rows);
		for (int row = 0; status == STATUS_RUNNING && row < count; row++)
		{
			status = reissue(verification, rows, row);
			if (status == STATUS_RUNNING)
				status = verification_note(verification, 1);
		}
		PQclear(rows);
	}
	return status;
}

/* Wait until the relay has sent all that was asked for */
static ExitStatus
await_sent(Verification *verification)
{
	Wait		wait = wait_begin("the relay to send what was asked for");
	int64_t		left_before = 0;

	for (;;)
	{
		int64_t		left;
		ExitStatus	status = change_rows(verification, "SELECT count(*) FROM esgf_stac.drift"
										 " WHERE verification = $1 AND asked_at IS NOT NULL AND sent_at IS NULL", &left);

		if (status == STATUS_RUNNING)
			status = verification_note(verification, left_before > left ? left_before - left : 0);
		if (status != STATUS_RUNNING || left == 0)
			return status;
		left_before = left;

		/* It does that after it has confirmed. */
		status = confirmation_await(verification);
		if (status != STATUS_RUNNING)
			return status;
		wait_on(&wait, -1, 0, ASK_MS);
	}
}

/* A sink that was told to remove something may refuse older versions for a while */
static ExitStatus
await_forgotten(const Verification *verification)
{
	const SinkReader *reader = verification->reader;
	Wait		wait = wait_begin("the sink to forget what it removed");
	int64_t		pause;
	int64_t		removed;
	ExitStatus	status;

	if (reader->kind->remembers == NULL)
		return STATUS_RUNNING;
	status = change_rows(verification, "SELECT count(*) FROM esgf_stac.drift"
						 " WHERE verification = $1 AND repair = 'remove' AND sent_at IS NOT NULL AND repaired_at IS NULL", &removed);
	if (status != STATUS_RUNNING || removed == 0)
		return status;
	pause = reader->kind->remembers(verification->reader);
	while (!stop_requested && monotonic_ms() < wait.since + pause)
		wait_on(&wait, -1, 0, wait.since + pause - monotonic_ms());
	return stop_requested ? STATUS_STOPPED : STATUS_RUNNING;
}

/* Read a page of what was touched, behind a row; it is NULL after the last */
static ExitStatus
next_touched(const Verification *verification, PGresult **page)
{
	Buffer		problem = {0};
	Buffer		query = {0};
	int			last = *page != NULL ? PQntuples(*page) - 1 : -1;
	const char *parameters[] = {
		verification->id,
		last >= 0 ? PQgetvalue(*page, last, 0) : "",
		last >= 0 ? PQgetvalue(*page, last, 1) : "",
	};
	PGresult   *next;

	buffer_printf(&query, "SELECT collection_id, item_id FROM esgf_stac.drift"
				  " WHERE verification = $1 AND sent_at IS NOT NULL AND repaired_at IS NULL AND (collection_id, item_id) > ($2, $3)"
				  " ORDER BY collection_id, item_id LIMIT %d", compare_size(verification));
	next = database_query(verification->catalogue->sql, &problem, query.data, 3, parameters);
	buffer_free(&query);
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

/* Compare a page of them */
static ExitStatus
compare_page(Verification *verification, const PGresult *page)
{
	Buffer		problem = {0};
	Holdings	items = {0};
	ExitStatus	status = STATUS_RUNNING;

	for (int row = 0; row < PQntuples(page); row++)
		holdings_add(&items, PQgetvalue(page, row, 0), PQgetvalue(page, row, 1));
	if (!verification->reader->kind->lookup(verification->reader, &items, &problem))
		status = reader_lost(&problem);
	if (status == STATUS_RUNNING)
		status = compare_items(verification, &items);
	holdings_free(&items);
	return status == STATUS_RUNNING ? verification_note(verification, 0) : status;
}

/* Compare again what was touched; what differs still is left for the next round */
static ExitStatus
compare_touched(Verification *verification)
{
	PGresult   *page = NULL;
	int64_t		items = verification->items;
	int64_t		repaired;
	ExitStatus	status;

	verification->drift.again = true;
	verification->reader->documents = verification->settings->deep;
	do
	{
		status = next_touched(verification, &page);
		if (status == STATUS_RUNNING && page != NULL)
			status = compare_page(verification, page);
	}
	while (status == STATUS_RUNNING && page != NULL);
	PQclear(page);
	if (status == STATUS_RUNNING)
		status = compare_suspects(verification);
	verification->items = items;
	if (status == STATUS_RUNNING)
		status = verification_write(verification);
	verification->drift.again = false;
	return status == STATUS_RUNNING ? change_rows(verification, "UPDATE esgf_stac.drift SET repaired_at = pg_catalog.now()"
												  " WHERE verification = $1 AND sent_at IS NOT NULL AND repaired_at IS NULL", &repaired) : status;
}

/* Count what was repaired, of each kind, and keep as many rows as there may be */
static ExitStatus
count_repaired(Verification *verification)
{
	Drift	   *drift = &verification->drift;
	Buffer		problem = {0};
	const char *parameters[] = {verification->id};
	int64_t		removed;
	PGresult   *result = database_query(verification->catalogue->sql, &problem,
										"SELECT kind, count(repaired_at) FROM esgf_stac.drift WHERE verification = $1 GROUP BY kind", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	for (int row = 0; row < PQntuples(result); row++)
		for (int kind = 0; kind < DRIFT_KINDS; kind++)
			if (strcmp(PQgetvalue(result, row, 0), drift_names[kind]) == 0)
				drift->repaired[kind] = strtoll(PQgetvalue(result, row, 1), NULL, 10);
	PQclear(result);
	if (drift->rows <= MOST_ROWS)
		return STATUS_RUNNING;
	return change_rows(verification, "SELECT esgf_stac_internal.trim_drift($1, 100000)", &removed);
}

/* Heal what was found, as far as it can be */
ExitStatus
repair_run(Verification *verification)
{
	ExitStatus	status = STATUS_RUNNING;
	int64_t		asked = 1;

	verification_begin_phase(verification, VERIFY_REPAIR, verification->drift.total);
	for (int round = 0; round < ROUNDS && status == STATUS_RUNNING; round++)
	{
		status = ask(verification, &asked);
		if (asked == 0 || status != STATUS_RUNNING)
			break;
		status = reissue_all(verification);
		if (status == STATUS_RUNNING)
			status = await_sent(verification);
		if (status == STATUS_RUNNING)
			status = confirmation_await(verification);
		if (status == STATUS_RUNNING)
			status = await_forgotten(verification);
		if (status == STATUS_RUNNING)
			status = compare_touched(verification);
	}
	return status == STATUS_RUNNING ? count_repaired(verification) : status;
}
