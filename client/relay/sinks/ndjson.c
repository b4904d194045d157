/*
 * ndjson.c
 *		Newline-delimited JSON, to a file, to stdout or to a pipe.
 *
 * file		is appended to, by one relay at a time, and ends with a whole line:
 *			what a crash or a full disk left of another is cut off. Its lines
 *			are durable when it was synced and still is what its name names
 * tail		the lines of a file that no flush made durable. Their events come
 *			again; those that stand there already are not written twice
 * pipe		its lines are as durable as can be when the reader has taken them
 */
#include "sinks/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Lines are handed to the system once they are that many bytes. */
#define WRITE_SIZE (256 * 1024)

/* So often we see whether the reader of a pipe has taken everything. */
#define DRAIN_MS 20

/* Who can read a file on stdout, though it may be open for writing alone. */
#define STDOUT_PATH "/dev/stdout"

typedef struct NdjsonSink
{
	Sink		sink;
	const char *name;			/* "-": stdout */
	int			file;
	bool		regular;		/* a file that can be cut and synced */
	bool		pipe;
	Format		format;
	Buffer		lines;

	/* Of a regular file. */
	off_t		end;			/* of its last whole line */
	off_t		tail;			/* where an event that comes again may stand */
	int			reader;			/* to compare; -1: not open */
} NdjsonSink;

/* How much of which file is durable: a sink that is opened again has to know. */
static struct
{
	dev_t		device;
	ino_t		inode;
	off_t		end;
}			durable;

static bool
is_stdout(const NdjsonSink *sink)
{
	return strcmp(sink->name, "-") == 0;
}

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

/* Open what the name names; a pipe that nobody reads cannot be opened */
static bool
open_named(NdjsonSink *sink)
{
	sink->file = open(sink->name, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
	if (sink->file < 0 && errno == ENOENT)
	{
		sink->file = open(sink->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (sink->file >= 0 && !sync_directory(sink->name))
			return false;
	}
	return sink->file >= 0;
}

/* Cut a file to a length; what is written next is to stand there */
static bool
cut_file(NdjsonSink *sink, off_t length)
{
	struct stat status;

	sink->end = length;
	return fstat(sink->file, &status) == 0 &&
		(status.st_size == length || ftruncate(sink->file, length) == 0) &&
		lseek(sink->file, length, SEEK_SET) >= 0;
}

/*
 * Does what stands behind that place begin as our lines do, or with the zeros
 * that a crash of the machine may leave? What somebody else has written is not
 * ours to cut off.
 */
static bool
is_ours(const NdjsonSink *sink, off_t start)
{
	static const char *const beginnings[] = {
		[FORMAT_EVENT] = "{\"id\":",
		[FORMAT_DOCUMENT] = "",
		[FORMAT_ESGF] = "{\"metadata\":",
	};
	const char *beginning = beginnings[sink->format];
	char		bytes[32] = "";
	ssize_t		count = pread(sink->reader, bytes, strlen(beginning), start);

	if (count >= 0 && (strncmp(bytes, beginning, (size_t) count) == 0 || bytes[0] == '\0'))
		return true;
	errno = EBADMSG;
	return false;
}

/* Make a file ours, and have it end with a whole line */
static bool
prepare_file(NdjsonSink *sink, const struct stat *status)
{
	bool		known = status->st_dev == durable.device && status->st_ino == durable.inode && status->st_size >= durable.end;
	off_t		end;

	/* Where files cannot be locked, the operator has to know what he does. */
	if (flock(sink->file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		return false;
	sink->reader = open(is_stdout(sink) ? STDOUT_PATH : sink->name, O_RDONLY | O_CLOEXEC);
	if (sink->reader < 0)
		return false;
	end = end_of_last_line(sink->reader, status->st_size);
	if (end < 0 || !is_ours(sink, end) || !cut_file(sink, end))
		return false;
	if (!known)
	{
		durable.device = status->st_dev;
		durable.inode = status->st_ino;
		durable.end = end;
	}
	sink->tail = durable.end;
	return true;
}

static bool
open_file(NdjsonSink *sink)
{
	struct stat status;

	if (is_stdout(sink))
		sink->file = STDOUT_FILENO;
	else if (!open_named(sink))
		return false;
	if (fstat(sink->file, &status) != 0)
		return false;
	sink->regular = S_ISREG(status.st_mode);
	sink->pipe = S_ISFIFO(status.st_mode);
	return !sink->regular || prepare_file(sink, &status);
}

static void
ndjson_close(Sink *opened)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	if (sink->file > STDOUT_FILENO)
		close(sink->file);
	if (sink->reader >= 0)
		close(sink->reader);
	buffer_free(&sink->lines);
	free(sink);
}

/* Say what is wrong; stdout cannot be opened again */
static bool
fail(NdjsonSink *sink, const char *what, Buffer *problem)
{
	const char *why = errno == EWOULDBLOCK ? "another relay writes to it" : errno == ENXIO ? "nobody reads it" :
	errno == EBADMSG ? "its last line is neither complete nor an event" : strerror(errno);

	buffer_printf(problem, "could not %s \"%s\": %s", what, sink->name, why);
	sink->sink.gone = is_stdout(sink);
	return false;
}

static Sink *
ndjson_open(const SinkSettings *settings, const char *source, Buffer *problem)
{
	NdjsonSink *sink = allocate(sizeof(NdjsonSink));

	(void) source;
	sink->sink.kind = &sink_ndjson;
	sink->name = settings->target;
	sink->format = settings->format;
	sink->file = sink->reader = -1;
	if (open_file(sink))
		return &sink->sink;
	fail(sink, "open file", problem);
	ndjson_close(&sink->sink);
	return NULL;
}

/* ---------------------------------------------------------------- writing */

/* Say that the reader of a pipe takes nothing */
static bool
fail_pipe(NdjsonSink *sink, const char *what, Buffer *problem)
{
	buffer_printf(problem, "the reader of \"%s\" %s", sink->name, what);
	sink->sink.gone = is_stdout(sink);
	return false;
}

/* Wait until a pipe has room, which its reader makes; false and a problem if that takes too long for a stop */
static bool
await_room(NdjsonSink *sink, Buffer *problem)
{
	Wait		wait = wait_begin("the reader of what the sink writes");

	while (!wait_on(&wait, sink->file, POLLOUT, 1000))
		if (stop_due())
			return fail_pipe(sink, "stands still", problem);
	wait_end(&wait);
	return true;
}

/*
 * A line that the disk did not take whole is none; the whole ones stand, and
 * what others write to stdout
 */
static void
cut_half_line(NdjsonSink *sink, size_t done)
{
	off_t		position = lseek(sink->file, 0, SEEK_CUR);
	struct stat status;
	size_t		half = 0;

	while (half < done && sink->lines.data[done - half - 1] != '\n')
		half++;
	if (half > 0 && fstat(sink->file, &status) == 0 && status.st_size == position)
		cut_file(sink, position - (off_t) half);
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
		if (count < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (count < 0)
		{
			fail(sink, "write to", problem);
			if (sink->regular)
				cut_half_line(sink, done);
			return false;
		}
		done += (size_t) count;
	}
	if (sink->regular)
		sink->end = lseek(sink->file, 0, SEEK_CUR);
	buffer_clear(&sink->lines);
	return true;
}

/* Is that line the next one of the tail? Then it need not be written */
static bool
stands_in_tail(NdjsonSink *sink, const char *line, size_t length)
{
	char		chunk[65536];
	size_t		same = 0;

	if (sink->tail + (off_t) length > sink->end)
		return false;
	while (same < length)
	{
		size_t		part = length - same < sizeof(chunk) ? length - same : sizeof(chunk);

		if (pread(sink->reader, chunk, part, sink->tail + (off_t) same) != (ssize_t) part ||
			memcmp(chunk, line + same, part) != 0)
			return false;
		same += part;
	}
	sink->tail += (off_t) length;
	return true;
}

/* Append what tells of an event, unless it stands there already */
static void
add_event(NdjsonSink *sink, const Event *event)
{
	size_t		before = sink->lines.length;

	format_event(&sink->lines, event, sink->format);
	if (sink->tail >= sink->end || sink->lines.length == before)
		return;
	if (before == 0 && stands_in_tail(sink, sink->lines.data, sink->lines.length))
		buffer_clear(&sink->lines);
	else
		sink->tail = sink->end; /* from here on it is other events */
}

static bool
ndjson_write(Sink *opened, Event *events, int count, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	for (int i = 0; i < count; i++)
	{
		add_event(sink, &events[i]);
		if (sink->lines.length >= WRITE_SIZE && !write_lines(sink, problem))
			return false;
	}
	return write_lines(sink, problem);
}

/* ---------------------------------------------------------------- flushing */

/* Wait until the reader of a pipe has taken everything */
static bool
flush_pipe(NdjsonSink *sink, Buffer *problem)
{
	Wait		wait = wait_begin("the reader of what the sink writes");
	int			unread = 0;

	while (ioctl(sink->file, FIONREAD, &unread) == 0 && unread > 0)
	{
		/* Ready without a wish: nobody is there to read. */
		if (wait_on(&wait, sink->file, 0, DRAIN_MS))
			return fail_pipe(sink, "is gone", problem);
		if (stop_due())
			return fail_pipe(sink, "stands still", problem);
	}
	wait_end(&wait);
	return true;
}

/* Will a reader find our lines under the file's name? Who has us open it anew has moved it himself */
static bool
file_stands(NdjsonSink *sink, Buffer *problem)
{
	struct stat opened;
	struct stat named;

	if (fstat(sink->file, &opened) != 0)
		return fail(sink, "look at", problem);
	if (is_stdout(sink) || reload_requested ? opened.st_nlink == 0 :
		(stat(sink->name, &named) != 0 || named.st_dev != opened.st_dev || named.st_ino != opened.st_ino))
		buffer_printf(problem, "\"%s\" was removed or renamed", sink->name);
	else if (opened.st_size < sink->end)
		buffer_printf(problem, "\"%s\" was cut by somebody else", sink->name);
	else
		return true;
	sink->sink.gone = is_stdout(sink);
	return false;
}

static bool
flush_file(NdjsonSink *sink, Buffer *problem)
{
	if (fsync(sink->file) != 0)
	{
		/*
		 * What of the tail is on disk, nobody knows: it has to be written
		 * again.
		 */
		durable.inode = 0;
		return fail(sink, "sync", problem);
	}
	if (!file_stands(sink, problem))
		return false;
	durable.end = sink->tail = sink->end;
	return true;
}

static bool
ndjson_flush(Sink *opened, Buffer *problem)
{
	NdjsonSink *sink = (NdjsonSink *) opened;

	if (sink->pipe)
		return flush_pipe(sink, problem);
	return !sink->regular || flush_file(sink, problem);
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
	start = end_of_last_line(sink->reader, status.st_size - 1);
	count = start < 0 ? -1 : pread(sink->reader, head, sizeof(head) - 1, start);
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
