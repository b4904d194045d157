/*
 * ndjson.c
 *		Newline-delimited JSON, to a file, to stdout or to a pipe.
 */
#include "sinks/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/line_file.h"

typedef struct NdjsonSink
{
	Sink		sink;
	Format		format;
	LineFile	file;
	LineFileDurable durable;	/* of a job's */
} NdjsonSink;

/* How a line begins; a document may in any way. */
static const char *const beginnings[] = {
	[FORMAT_EVENT] = "{\"id\":",
	[FORMAT_DOCUMENT] = "",
	[FORMAT_ESGF] = "{\"metadata\":",
};

/* Of the stream's own sink, that is known as long as the program runs. */
static LineFileDurable durable;

/* What a job says of itself. */
#define JOB_LINE "{\"id\":null,\"type\":\"iteration."

static void
ndjson_close(Sink *opened)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	line_file_close(&sink->file);
	free(sink);
}

static Sink *
ndjson_open(const SinkSettings *settings, const char *source, Buffer *problem)
{
	NdjsonSink *sink = allocate(sizeof(NdjsonSink));

	(void) source;
	sink->sink.kind = &sink_ndjson;
	sink->format = settings->format;
	if (line_file_open(&sink->file, settings->target, beginnings[sink->format], settings->of_job ? &sink->durable : &durable, problem))
		return &sink->sink;
	ndjson_close(&sink->sink);
	return NULL;
}

static bool
ndjson_try(const SinkSettings *settings, bool beside, Buffer *problem)
{
	return line_file_try(settings->target, beginnings[settings->format], beside, problem);
}

/* Did it work? If not, opening the file again may not help */
static bool
outcome(NdjsonSink *sink, bool done)
{
	sink->sink.gone = sink->file.gone;
	return done;
}

static bool
ndjson_write(Sink *opened, Event *events, int count, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;
	bool		written = true;

	for (int i = 0; i < count && written; i++)
	{
		size_t		before = sink->file.lines.length;

		format_event(&sink->file.lines, &events[i], sink->format);
		written = line_file_added(&sink->file, before, problem);
	}
	return outcome(sink, written && line_file_write(&sink->file, problem));
}

static bool
ndjson_control(Sink *opened, const Event *event, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	format_event(&sink->file.lines, event, sink->format);
	return outcome(sink, line_file_added(&sink->file, 0, problem) && line_file_write(&sink->file, problem));
}

/*
 * Is there nothing of that name, an empty file as a crash leaves it, or one that
 * begins with a line of that job, not the first where it was rotated? A link leads elsewhere, and who
 * opens a pipe waits for its other end.
 */
static bool
ndjson_is_free(const SinkSettings *settings, const char *job_id, Buffer *problem)
{
	struct stat status = {0};
	bool		there = lstat(settings->target, &status) == 0 || errno != ENOENT;
	FILE	   *file = there && S_ISREG(status.st_mode) ? fopen(settings->target, "r") : NULL;
	char		line[4096] = "";
	Buffer		its_id = {0};
	bool		free_for_it = !there;

	if (file != NULL)
	{
		buffer_printf(&its_id, ",\"job_id\":\"%s\",", job_id);
		free_for_it = status.st_size == 0 ||
			(fgets(line, sizeof(line), file) != NULL && strncmp(line, beginnings[FORMAT_EVENT], strlen(beginnings[FORMAT_EVENT])) == 0 && strstr(line, its_id.data) != NULL);
		fclose(file);
	}
	if (!free_for_it)
		buffer_printf(problem, "there is \"%s\" already, and it does not begin with this job", settings->target);
	buffer_free(&its_id);
	return free_for_it;
}

static bool
ndjson_flush(Sink *opened, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	return outcome(sink, line_file_flush(&sink->file, problem));
}

/* The last line that tells of an item or collection, without its document */
static bool
ndjson_newest(Sink *opened, Buffer *event)
{
	NdjsonSink *sink = (NdjsonSink *) opened;
	char		head[8192];
	char	   *end;
	struct stat status;
	off_t		start;

	if (sink->format != FORMAT_EVENT || !sink->file.regular || fstat(sink->file.descriptor, &status) != 0)
		return false;
	start = status.st_size;
	do
	{
		ssize_t		count;

		start = start > 0 ? end_of_last_line(sink->file.reader, start - 1) : -1;
		count = start < 0 ? -1 : pread(sink->file.reader, head, sizeof(head) - 1, start);
		if (count <= 0)
			return false;
		head[count] = '\0';
	} while (strncmp(head, JOB_LINE, strlen(JOB_LINE)) == 0);

	/* Within a string its quotes would be escaped. */
	end = strstr(head, ",\"job_id\":");
	if (end == NULL)
		end = strstr(head, ",\"document\":");
	if (end == NULL)
		return false;
	buffer_append(event, head, (size_t) (end - head));
	buffer_text(event, "}");
	return true;
}

const SinkKind sink_ndjson = {
	.scheme = "ndjson",
	.syntax = "ndjson:-, ndjson:PATH       one line of JSON per event, to stdout or appended to a file",
	.takes_format = true,
	.open = ndjson_open,
	.try = ndjson_try,
	.write = ndjson_write,
	.flush = ndjson_flush,
	.place = "",
	.control = ndjson_control,
	.is_free = ndjson_is_free,
	.newest = ndjson_newest,
	.reader = &ndjson_reader,
	.close = ndjson_close,
};
