/*
 * ndjson.c
 *		Outcomes as lines of JSON, to files or to stdout.
 */
#include "ingest/results/results.h"

#include <stdlib.h>
#include <string.h>

#include "lib/line_file.h"

/* How each line begins. */
#define BEGINNING "{\"data\":"

typedef struct NdjsonResults
{
	Results		results;
	Buffer		names[2];		/* of those for errors, and for successes */
	LineFile	files[2];
	int			count;			/* 1: both go into the first */
} NdjsonResults;

static LineFileDurable durable[2];

static bool
ndjson_check(const ResultsSettings *settings, Buffer *problem)
{
	if (!results_target_valid(settings->target))
		buffer_text(problem, "its only placeholder is {outcome}");
	return problem->length == 0;
}

static void
ndjson_close(Results *opened)
{
	NdjsonResults *results = (NdjsonResults *) opened;

	for (int i = 0; i < 2; i++)
	{
		if (results->files[i].name != NULL)
			line_file_close(&results->files[i]);
		buffer_free(&results->names[i]);
	}
	free(results);
}

static Results *
ndjson_open(const ResultsSettings *settings, Buffer *problem)
{
	NdjsonResults *results = allocate(sizeof(NdjsonResults));

	results->results.kind = &results_ndjson;
	results->count = strchr(settings->target, '{') != NULL ? 2 : 1;
	for (int i = 0; i < results->count; i++)
	{
		results_target(&results->names[i], settings->target, i == 1);
		if (!line_file_open(&results->files[i], results->names[i].data, BEGINNING, &durable[i], problem))
		{
			ndjson_close(&results->results);
			return NULL;
		}
	}
	return &results->results;
}

static bool
ndjson_try(const ResultsSettings *settings, Buffer *problem)
{
	int			count = strchr(settings->target, '{') != NULL ? 2 : 1;
	bool		good = true;

	for (int i = 0; i < count && good; i++)
	{
		Buffer		name = {0};

		results_target(&name, settings->target, i == 1);
		good = line_file_try(name.data, BEGINNING, false, problem);
		buffer_free(&name);
	}
	return good;
}

/* Write what was added, and make it durable */
static bool
finish(NdjsonResults *results, Buffer *problem)
{
	for (int i = 0; i < results->count; i++)
		if (!line_file_write(&results->files[i], problem) || !line_file_flush(&results->files[i], problem))
			return false;
	return true;
}

static bool
ndjson_write(Results *opened, const Outcome *outcomes, int count, Buffer *problem)
{
	NdjsonResults *results = (NdjsonResults *) opened;
	bool		written = true;

	for (int i = 0; i < count && written; i++)
	{
		LineFile   *file = &results->files[results->count == 2 ? outcomes[i].success : 0];
		size_t		before = file->lines.length;

		buffer_text(&file->lines, outcomes[i].value);
		buffer_text(&file->lines, "\n");
		written = line_file_added(file, before, problem);
	}
	written = written && finish(results, problem);
	opened->gone = results->files[0].gone || results->files[1].gone;
	return written;
}

const ResultsKind results_ndjson = {
	.scheme = "ndjson",
	.check = ndjson_check,
	.open = ndjson_open,
	.try = ndjson_try,
	.write = ndjson_write,
	.close = ndjson_close,
};
