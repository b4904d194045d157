/*
 * session.c
 *		From connecting to losing a connection: takes what comes, has it performed
 *		and answered.
 */
#include "ingest/ingest.h"

#include <inttypes.h>

#include "lib/log.h"
#include "lib/notify.h"

/* Others may have performed events whose outcomes we send: that is looked for so often. */
#define LOOK_MS 1000

/* Something beside the database failed, called by a word */
static ExitStatus
endpoint_down(Ingest *ingest, const char *word, const char *what, Buffer *problem)
{
	ingest->metrics.obstacle = word;
	log_line(LOG_ERROR, "%s: %s", what, problem->data);
	buffer_free(problem);
	return STATUS_ENDPOINT;
}

/* ---------------------------------------------------------------- opening */

static ExitStatus
connect_and_check(Ingest *ingest)
{
	ExitStatus	status = handshake_connect(ingest->options.catalogue.dbname, NULL, &ingest->catalogue.sql);

	if (status == STATUS_RUNNING)
		status = handshake_check(ingest->catalogue.sql, ingest->options.no_loop);
	ingest->is_served = status == STATUS_RUNNING;
	return status;
}

/* Results stay open from session to session, unless they failed */
static ExitStatus
open_results(Ingest *ingest)
{
	const ResultsKind *kind = ingest->options.results_kind;
	Buffer		problem = {0};

	if (kind == NULL || ingest->results != NULL)
		return STATUS_RUNNING;
	ingest->results = kind->open(&ingest->options.results, &problem);
	if (ingest->results == NULL)
		return endpoint_down(ingest, "results", "results are down", &problem);
	ingest->results->no_loop = ingest->options.no_loop;
	return STATUS_RUNNING;
}

/* Open what the events are read from; several of us share it under a name */
static ExitStatus
open_shared(Ingest *ingest)
{
	Buffer		group = {0};
	Buffer		problem = {0};
	ExitStatus	status = position_group(&ingest->catalogue, &group);

	if (status == STATUS_RUNNING)
	{
		ingest->source = ingest->options.source_kind->open(&ingest->options.source, group.data, &ingest->gone, &problem);
		if (ingest->source == NULL)
			status = endpoint_down(ingest, "source", "source is down", &problem);
	}
	buffer_free(&group);
	return status;
}

/* What can be read only once stays open, too */
static ExitStatus
open_source(Ingest *ingest)
{
	ExitStatus	status = ingest->source == NULL ? open_shared(ingest) : STATUS_RUNNING;
	Source	   *source = ingest->source;

	if (status != STATUS_RUNNING || source == NULL)
		return status;
	source->no_loop = ingest->options.no_loop;
	source->unsurveyed = true;
	for (int i = 0; i < source->partition_count; i++)
		source->partitions[i]->surveyed = false;
	return STATUS_RUNNING;
}

void
session_close_results(Ingest *ingest)
{
	if (ingest->results == NULL)
		return;
	ingest->gone = ingest->gone || ingest->results->gone;
	ingest->metrics.results_refused += ingest->results->refused;
	ingest->results->kind->close(ingest->results);
	ingest->results = NULL;
}

void
session_close_source(Ingest *ingest)
{
	Source	   *source = ingest->source;

	/* Nobody attends to it any more. */
	ingest->source = NULL;
	if (source != NULL)
		source->kind->close(source);
	batch_free(&ingest->batch);
}

/* ---------------------------------------------------------------- the loop */

/* Where partitions have become ours, learn where they stand, and read all from there */
static ExitStatus
begin_partitions(Ingest *ingest)
{
	Source	   *source = ingest->source;
	Buffer		problem = {0};
	ExitStatus	status = STATUS_RUNNING;

	source_remove_lost(source);
	if (!source->unsurveyed)
		return STATUS_RUNNING;
	source->unsurveyed = false;
	for (int i = 0; i < source->partition_count && status == STATUS_RUNNING; i++)
		if (!source->partitions[i]->surveyed && !source->partitions[i]->lost)
			status = position_begin(&ingest->catalogue, source, source->partitions[i], &ingest->batch, ingest->results != NULL);

	if (status == STATUS_ENDPOINT)
		ingest->metrics.obstacle = "source";

	/* More may have changed meanwhile. */
	if (status != STATUS_RUNNING || source->unsurveyed)
		return status;
	if (source->kind->start != NULL && !source->kind->start(source, &problem))
		return endpoint_down(ingest, "source", "source", &problem);
	return STATUS_RUNNING;
}

/* Send the outcomes of a partition, if they are wanted */
static ExitStatus
send_outcomes(Ingest *ingest, const Partition *partition)
{
	ExitStatus	status = STATUS_RUNNING;

	if (ingest->results != NULL && !partition->lost)
		status = outcomes_send(&ingest->catalogue, ingest->results, partition);
	if (status == STATUS_ENDPOINT)
	{
		ingest->metrics.obstacle = "results";
		session_close_results(ingest);
	}
	return status;
}

/* One call of the batch in hand, and its outcomes */
static ExitStatus
perform(Ingest *ingest)
{
	Batch	   *batch = &ingest->batch;
	Partition  *partition = source_partition(ingest->source, batch->partition);
	int			done = batch->done;
	ExitStatus	status;

	/* Whoever has it now reads it from its position. */
	if (partition == NULL)
	{
		batch->done = batch->count;
		return STATUS_RUNNING;
	}
	status = call_next(&ingest->catalogue, batch);
	if (batch->done == done || partition->lost)
		return status;
	if (batch->events[batch->done - 1].offset >= partition->position)
		partition->position = batch->events[batch->done - 1].offset + 1;
	return status == STATUS_RUNNING ? send_outcomes(ingest, partition) : status;
}

/* Once a second: note where the log ends, and look for outcomes of others. At the end, too */
static ExitStatus
look_around(Ingest *ingest, bool at_end)
{
	Source	   *source = ingest->source;
	ExitStatus	status = STATUS_RUNNING;

	if (!at_end && monotonic_ms() < ingest->looked_at + LOOK_MS)
		return STATUS_RUNNING;
	wait_attend();
	for (int i = 0; i < source->partition_count && status == STATUS_RUNNING; i++)
	{
		Partition  *partition = source->partitions[i];

		if (partition->lost || !partition->surveyed)
			continue;
		if (at_end)
			partition->noted_at = 0;
		status = send_outcomes(ingest, partition);
		if (status == STATUS_RUNNING)
			status = position_note(&ingest->catalogue, partition, &ingest->moved);
	}
	ingest->looked_at = monotonic_ms();
	if (status == STATUS_RUNNING && ingest->batch.done == ingest->batch.count)
		log_success();
	return status;
}

/* Take the next events, or wait for them */
static ExitStatus
take(Ingest *ingest)
{
	Source	   *source = ingest->source;
	Wait		wait = wait_begin(NULL);
	Buffer		problem = {0};

	if (!source->kind->take(source, &ingest->batch, ingest->options.catalogue.batch, &problem))
	{
		log_line(LOG_WARNING, "source: %s", problem.data);
		buffer_free(&problem);
		ingest->metrics.obstacle = "source";
		return STATUS_ENDPOINT;
	}
	if (ingest->batch.count == 0 && !source->ended)
		source->kind->wait(source, &wait, LOOK_MS);
	return STATUS_RUNNING;
}

/* Read until there is a reason to end */
static ExitStatus
read_source(Ingest *ingest)
{
	ExitStatus	status = STATUS_RUNNING;

	ingest->metrics.reading = true;
	ingest->moved = false;
	while (status == STATUS_RUNNING && !stop_requested && !reload_requested && !ingest->source->ended && !ingest->moved)
	{
		status = begin_partitions(ingest);
		if (status == STATUS_RUNNING)
			notify_ready();
		if (status == STATUS_RUNNING)
			status = ingest->batch.done < ingest->batch.count ? perform(ingest) : take(ingest);
		if (status == STATUS_RUNNING)
			status = look_around(ingest, false);
	}
	if (ingest->moved)
		log_line(LOG_NOTE, "an administrator has moved back where a partition stands: the session begins anew");
	else if (status == STATUS_RUNNING)
		status = look_around(ingest, true);
	if (status != STATUS_RUNNING)
		return status;
	return stop_requested || ingest->source->ended ? STATUS_STOPPED : STATUS_RUNNING;
}

/* Connect, check, and read until something ends it */
ExitStatus
session_run(Ingest *ingest)
{
	ExitStatus	status = connect_and_check(ingest);

	if (status == STATUS_RUNNING)
		status = open_results(ingest);
	if (status == STATUS_RUNNING)
		status = open_source(ingest);
	if (status == STATUS_RUNNING)
		status = read_source(ingest);
	if (status == STATUS_STOPPED)
		log_line(LOG_NOTE, "stopped; %" PRId64 " events performed, %" PRId64 " of them refused",
				 ingest->catalogue.events, ingest->catalogue.refused);
	ingest->metrics.reading = false;
	if (ingest->source != NULL && !ingest->source->once)
		session_close_source(ingest);
	metrics_report(ingest);
	PQfinish(ingest->catalogue.sql);
	ingest->catalogue.sql = NULL;
	return status;
}
