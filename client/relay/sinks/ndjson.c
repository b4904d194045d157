/*
 * ndjson.c
 *		Newline-delimited JSON, to a file, to stdout or to a pipe.
 */
#include "sinks/reader.h"

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
} NdjsonSink;

/* How a line begins; a document may in any way. */
static const char *const beginnings[] = {
	[FORMAT_EVENT] = "{\"id\":",
	[FORMAT_DOCUMENT] = "",
	[FORMAT_ESGF] = "{\"metadata\":",
};

static LineFileDurable durable;

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
	if (line_file_open(&sink->file, settings->target, beginnings[sink->format], &durable, problem))
		return &sink->sink;
	ndjson_close(&sink->sink);
	return NULL;
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
ndjson_flush(Sink *opened, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	return outcome(sink, line_file_flush(&sink->file, problem));
}

/* The last line, without its document */
static bool
ndjson_newest(Sink *opened, Buffer *event)
{
	NdjsonSink *sink = (NdjsonSink *) opened;
	char		head[8192];
	char	   *document;
	struct stat status;
	off_t		start;
	ssize_t		count;

	if (sink->format != FORMAT_EVENT || !sink->file.regular || fstat(sink->file.descriptor, &status) != 0 || status.st_size == 0)
		return false;
	start = end_of_last_line(sink->file.reader, status.st_size - 1);
	count = start < 0 ? -1 : pread(sink->file.reader, head, sizeof(head) - 1, start);
	if (count <= 0)
		return false;
	head[count] = '\0';

	/* Within a string its quotes would be escaped. */
	document = strstr(head, ",\"document\":");
	if (document == NULL)
		return false;
	buffer_append(event, head, (size_t) (document - head));
	buffer_text(event, "}");
	return true;
}

const SinkKind sink_ndjson = {
	.scheme = "ndjson",
	.syntax = "ndjson:-, ndjson:PATH       one line of JSON per event, to stdout or appended to a file",
	.takes_format = true,
	.open = ndjson_open,
	.write = ndjson_write,
	.flush = ndjson_flush,
	.newest = ndjson_newest,
	.reader = &ndjson_reader,
	.close = ndjson_close,
};
