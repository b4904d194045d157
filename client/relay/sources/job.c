/*
 * job.c
 *		An iteration job in hand, and where its lines go.
 */
#include "sources/job.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/wait.h"
#include "sinks/place.h"

/* A sink that is down is tried again after that time, twice as long each time. */
#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE_MS 30000

/* Its page is done with */
void
job_forget_page(Job *job)
{
	for (int i = 0; i < job->key_count; i++)
		PQclear(job->keys[i].held);
	PQclear(job->page);
	free(job->keys);
	job->page = NULL;
	job->keys = NULL;
	job->due = NULL;
	job->held_bytes = 0;
	job->key_count = job->left = job->next = 0;
}

static void
close_sink(Job *job)
{
	if (job->target == NULL)
		return;
	batch_drop(&job->delivery);
	sink_close(&job->delivery);
}

/* It is in hand no more */
void
job_forget(Job *job)
{
	close_sink(job);
	batch_free(&job->delivery);
	job_forget_page(job);
	free(job->id);
	free(job->target);
	free(job->state);
	free(job->failure);
	free(job->writers);
	buffer_free(&job->sink_name);
	buffer_free(&job->refusal);
	*job = (Job)
	{
		.phase = JOB_NONE
	};
}

/* It cannot go on */
void
job_fail(Job *job, const char *why)
{
	if (job->failure == NULL)
		job->failure = copy_string(why);
	job->phase = JOB_END;
}

/* ---------------------------------------------------------------- sinks */

/* Where its lines go */
Delivery *
job_delivery(Job *job)
{
	return job->target != NULL ? &job->delivery : job->own;
}

/* Can lines of a job be told in that form, by that sink? NULL: they can */
static const char *
why_not(const Job *job, const DeliverySettings *settings)
{
	if (!job->with_document && (!settings->sink_kind->takes_format || settings->sink.format != FORMAT_EVENT))
		return "the sink takes no lines without a document: payload id needs lines of --format event";
	return NULL;
}

/* Make its sink known, once; false: it is none, and the job fails */
static bool
prepare_sink(Job *job)
{
	const DeliverySettings *settings = job->own->settings;
	const char *why = why_not(job, settings);
	Buffer		problem = {0};

	if (why != NULL)
		job_fail(job, why);
	else if (job->target != NULL && job->delivery.settings == NULL)
	{
		job->settings = *settings;
		if (!place_settings(&settings->sink, settings->sink_kind, job->target, &job->sink_name, &job->settings.sink, &problem))
			job_fail(job, problem.data);
		job->consumer.catalogue = job->own->consumer->catalogue;
		job->delivery.consumer = &job->consumer;
		job->delivery.settings = &job->settings;
		job->delivery.refusal = &job->refusal;
	}
	buffer_free(&problem);
	return job->failure == NULL;
}

/*
 * Its sink failed. With a target that is the job's matter alone: what it has in
 * hand comes again, after a pause.
 */
ExitStatus
job_sink_failed(Job *job, ExitStatus status, JobPhase again)
{
	int64_t		pause = (int64_t) FIRST_PAUSE_MS << (job->failures < 5 ? job->failures : 5);

	if (job->target == NULL || status != STATUS_ENDPOINT)
		return status;
	close_sink(job);
	job_forget_page(job);
	job->failures++;
	job->phase = again;
	job->not_before = monotonic_ms() + (pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS);
	return STATUS_RUNNING;
}

/* Open the sink of a job; a new one must find its place free, or as it left it */
ExitStatus
job_open_sink(Job *job, bool fresh)
{
	Buffer		problem = {0};
	ExitStatus	status = STATUS_RUNNING;

	if (!prepare_sink(job) || job->target == NULL || job->delivery.sink != NULL)
		return STATUS_RUNNING;
	if (job->settings.sink_kind->is_free != NULL && fresh && !job->settings.sink_kind->is_free(&job->settings.sink, job->id, &problem))
		job_fail(job, problem.data);
	else
		status = sink_open(&job->delivery);
	buffer_free(&problem);
	return status;
}

/*
 * Have its sink make durable what it has, and close it: it is opened anew, as
 * settings are then. False: that is not durable.
 */
bool
job_close_sink(Job *job)
{
	bool		settled = job->delivery.sink == NULL || batch_settle(&job->delivery) == STATUS_RUNNING;

	close_sink(job);
	batch_free(&job->delivery);
	job->delivery.settings = NULL;
	return settled;
}

/* Say something of the job itself where its lines go: the job's row, and when */
ExitStatus
job_say(Job *job, const char *what, const char *row, const char *time)
{
	Delivery   *delivery = job_delivery(job);
	Buffer		type = {0};
	Event		event = {.time = time,.job_id = job->id,.document = row,.document_length = strlen(row)};
	ExitStatus	status = STATUS_RUNNING;

	buffer_printf(&type, "iteration.%s", what);
	event.type = type.data;
	if (delivery->sink != NULL && delivery->settings->sink_kind->control != NULL && delivery->settings->sink.format == FORMAT_EVENT)
		status = batch_control(delivery, &event);
	if (status == STATUS_RUNNING)
		log_line(LOG_NOTE, "job %s: %s%s%s", job->id, what, job->failure != NULL ? ": " : "", job->failure != NULL ? job->failure : "");
	buffer_free(&type);
	return status;
}
