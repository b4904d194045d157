/*
 * outcomes.c
 *		Outcomes that are to be sent: read from the inbox, whoever performed the
 *		events, and noted when they are acknowledged.
 */
#include "ingest/catalogue/catalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log.h"

/* So many are read at once. */
#define MOST "1000"

/* Columns of source_results(). */
enum
{
	COLUMN_OFFSET,
	COLUMN_ATTEMPT,
	COLUMN_SUCCESS,
	COLUMN_KEY,
	COLUMN_VALUE,
};

static int64_t
number_at(const PGresult *rows, int row, int column)
{
	return strtoll(PQgetvalue(rows, row, column), NULL, 10);
}

static PGresult *
read_outcomes(const Catalogue *catalogue, const char *partition, Buffer *problem)
{
	const char *parameters[] = {catalogue->settings->source, partition};

	return database_query(catalogue->sql, problem,
						  "SELECT \"offset\", attempt, success, key, value"
						  " FROM esgf_stac_internal.source_results($1, $2::int, " MOST ")", 2, parameters);
}

/* Have outcomes acknowledged */
static ExitStatus
write_outcomes(Results *results, const PGresult *rows)
{
	int			count = PQntuples(rows);
	Outcome    *outcomes = allocate((size_t) count * sizeof(Outcome));
	Buffer		problem = {0};
	bool		written;

	for (int i = 0; i < count; i++)
	{
		outcomes[i] = (Outcome)
		{
			.offset = number_at(rows, i, COLUMN_OFFSET),
				.success = PQgetvalue(rows, i, COLUMN_SUCCESS)[0] == 't',
				.key = PQgetisnull(rows, i, COLUMN_KEY) ? NULL : PQgetvalue(rows, i, COLUMN_KEY),
				.value = PQgetvalue(rows, i, COLUMN_VALUE)
		};
	}
	results->asked_at = monotonic_ms();
	written = results->kind->write(results, outcomes, count, &problem);
	results->asked_at = 0;
	if (!written)
		log_line(stop_due() ? LOG_NOTE : LOG_ERROR, "results are down: %s", problem.data);
	buffer_free(&problem);
	free(outcomes);
	return written ? STATUS_RUNNING : STATUS_ENDPOINT;
}

/* Note that outcomes are acknowledged: how far they are, and which, for some come late */
static ExitStatus
note_outcomes(const Catalogue *catalogue, const char *partition, const PGresult *rows)
{
	char		up_to[24] = "";
	Buffer		sent = {0};
	Buffer		problem = {0};
	PGresult   *result;

	for (int i = 0; i < PQntuples(rows); i++)
	{
		buffer_printf(&sent, "%s[%s,%s]", i > 0 ? "," : "[", PQgetvalue(rows, i, COLUMN_OFFSET), PQgetvalue(rows, i, COLUMN_ATTEMPT));
		if (number_at(rows, i, COLUMN_ATTEMPT) == 1)
			snprintf(up_to, sizeof(up_to), "%" PRId64, number_at(rows, i, COLUMN_OFFSET) + 1);
	}
	buffer_text(&sent, "]");
	{
		const char *parameters[] = {catalogue->settings->source, partition, up_to[0] != '\0' ? up_to : NULL, sent.data};

		result = database_query(catalogue->sql, &problem,
								"SELECT esgf_stac_internal.note_results($1, $2::int, $3::bigint, $4::jsonb)", 4, parameters);
	}
	buffer_free(&sent);
	if (result == NULL)
		return failure_status(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Send all outcomes of a partition that are to be sent */
ExitStatus
outcomes_send(Catalogue *catalogue, Results *results, const Partition *partition)
{
	char		number[16];
	ExitStatus	status = STATUS_RUNNING;
	int			count;

	snprintf(number, sizeof(number), "%d", partition->number);
	do
	{
		Buffer		problem = {0};
		PGresult   *rows = read_outcomes(catalogue, number, &problem);

		if (rows == NULL)
			return failure_status(&problem);
		count = PQntuples(rows);
		if (count > 0)
			status = write_outcomes(results, rows);
		if (count > 0 && status == STATUS_RUNNING)
			status = note_outcomes(catalogue, number, rows);
		if (status == STATUS_RUNNING)
			catalogue->results += count;
		PQclear(rows);
	} while (status == STATUS_RUNNING && count > 0 && !partition->lost && !stop_due());
	return status;
}
