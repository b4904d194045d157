/*
 * sink_ndjson.c
 *		Newline-delimited JSON, to a file or to stdout.
 *
 * A file is appended to. What a crash left of an unfinished last line is cut
 * off on opening: its event was never confirmed, so it comes again.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Lines are handed to the system once they are that many bytes. */
#define WRITE_SIZE (256 * 1024)

typedef struct NdjsonSink
{
	Sink		sink;
	const char *name;
	int			file;
	bool		regular;		/* a file that can be cut and synced */
	Format		format;
	Buffer		lines;
} NdjsonSink;

/* Find where the last complete line ends; -1 if the file cannot be read */
static off_t
end_of_last_line(int file, off_t size)
{
	char		chunk[8192];

	while (size > 0)
	{
		off_t		start = size > (off_t) sizeof(chunk) ? size - (off_t) sizeof(chunk) : 0;
		ssize_t		count = pread(file, chunk, (size_t) (size - start), start);

		if (count <= 0)
			return -1;
		for (ssize_t i = count; i > 0; i--)
			if (chunk[i - 1] == '\n')
				return start + i;
		size = start;
	}
	return 0;
}

/* A new file is durable when its directory is */
static bool
sync_directory(const char *path)
{
	char	   *copy = copy_string(path);
	int			directory = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool		synced = directory >= 0 && fsync(directory) == 0;

	if (directory >= 0)
		close(directory);
	free(copy);
	return synced;
}

static bool
open_file(NdjsonSink *sink)
{
	struct stat status;
	off_t		end;

	sink->file = open(sink->name, O_RDWR | O_APPEND | O_CLOEXEC);
	if (sink->file < 0 && errno == ENOENT)
	{
		sink->file = open(sink->name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (sink->file < 0 || !sync_directory(sink->name))
			return false;
	}
	if (sink->file < 0 || fstat(sink->file, &status) != 0)
		return false;
	sink->regular = S_ISREG(status.st_mode);
	if (!sink->regular)
		return true;
	end = end_of_last_line(sink->file, status.st_size);
	return end >= 0 && (end == status.st_size || ftruncate(sink->file, end) == 0);
}

static void
ndjson_close(Sink *opened)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	if (sink->file > STDOUT_FILENO)
		close(sink->file);
	buffer_free(&sink->lines);
	free(sink);
}

static Sink *
ndjson_open(const SinkSettings *settings, const char *source, Buffer *problem)
{
	NdjsonSink *sink = allocate(sizeof(NdjsonSink));

	(void) source;
	sink->sink.kind = &sink_ndjson;
	sink->name = settings->target;
	sink->format = settings->format;
	sink->file = STDOUT_FILENO;
	if (strcmp(sink->name, "-") != 0 && !open_file(sink))
	{
		buffer_printf(problem, "could not open file \"%s\": %s", sink->name, strerror(errno));
		ndjson_close(&sink->sink);
		return NULL;
	}
	return &sink->sink;
}

/* Wait until a pipe has room, which its reader makes; false and a problem if that takes too long for a stop */
static bool
await_room(NdjsonSink *sink, Buffer *problem)
{
	Wait		wait = wait_begin("the reader of what the sink writes");

	while (!wait_on(&wait, sink->file, POLLOUT, 1000))
	{
		if (stop_due())
		{
			buffer_printf(problem, "the reader of \"%s\" stands still", sink->name);
			return false;
		}
	}
	wait_end(&wait);
	return true;
}

/* Hand the lines to the system */
static bool
write_lines(NdjsonSink *sink, Buffer *problem)
{
	size_t		done = 0;

	while (done < sink->lines.length)
	{
		size_t		rest = sink->lines.length - done;
		ssize_t		count;

		/* A pipe that has room takes so much without blocking. */
		if (!sink->regular && !await_room(sink, problem))
			return false;
		if (!sink->regular && rest > PIPE_BUF)
			rest = PIPE_BUF;
		count = write(sink->file, sink->lines.data + done, rest);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
		{
			buffer_printf(problem, "could not write to \"%s\": %s", sink->name, strerror(errno));
			sink->sink.gone = sink->file == STDOUT_FILENO;
			return false;
		}
		done += (size_t) count;
	}
	buffer_clear(&sink->lines);
	return true;
}

static bool
ndjson_write(Sink *opened, Event *events, int count, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	for (int i = 0; i < count; i++)
	{
		format_event(&sink->lines, &events[i], sink->format);
		if (sink->lines.length >= WRITE_SIZE && !write_lines(sink, problem))
			return false;
	}
	return write_lines(sink, problem);
}

static bool
ndjson_flush(Sink *opened, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	if (sink->regular && fsync(sink->file) != 0)
	{
		buffer_printf(problem, "could not sync \"%s\": %s", sink->name, strerror(errno));
		return false;
	}
	return true;
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

	if (sink->format != FORMAT_EVENT || !sink->regular || fstat(sink->file, &status) != 0 || status.st_size == 0)
		return false;
	start = end_of_last_line(sink->file, status.st_size - 1);
	count = start < 0 ? -1 : pread(sink->file, head, sizeof(head) - 1, start);
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
	.close = ndjson_close,
};
