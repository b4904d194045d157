/*
 * ndjson.c
 *		Newline-delimited JSON, of a file or of stdin: one event a line. The offset
 *		of an event is the byte where its line begins.
 *
 * A position is one behind the beginning of the last line that was performed:
 * what comes next begins behind the first newline from there on. Of stdin what
 * was read cannot be had again, so it stays open for as long as the program
 * runs, and what is not performed is kept.
 */
#include "ingest/sources/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/line_file.h"

/* So much is read at once. */
#define READ_SIZE (256 * 1024)

/* Of a line that is too large its beginning will do. */
#define LINE_SHOWN (64 * 1024)

/* So often a file is looked at for more. */
#define FOLLOW_MS 100

typedef struct NdjsonSource
{
	Source		source;
	const char *name;			/* "-": stdin */
	bool		follow;
	int			file;
	bool		reached_end;	/* at the last look */

	Buffer		bytes;			/* read, and not taken */
	size_t		taken;			/* so many of them are */
	size_t		searched;		/* so far there is no newline */
	int64_t		start;			/* where in the log the bytes begin */
	bool		overlong;		/* the line that begins there has no room; the
								 * rest of it is passed over */
	int64_t		passed;			/* bytes of it */

	int64_t		newest;			/* where the last whole line begins that was
								 * seen; -1: none was */
	int64_t		size;			/* of the file, when that was looked for */
	Buffer		last_line;		/* the last one performed, as far as that is
								 * asked after, */
	int64_t		last_offset;	/* which begins there; -1: none was */
} NdjsonSource;

static bool
is_stdin(const NdjsonSource *source)
{
	return strcmp(source->name, "-") == 0;
}

static void
ndjson_close(Source *opened)
{
	NdjsonSource *source = (NdjsonSource *) opened;

	if (source->file > STDERR_FILENO)
		close(source->file);
	buffer_free(&source->bytes);
	buffer_free(&source->last_line);
	source_free_partitions(opened);
	free(source);
}

/* Open what can be read line by line; false, and errno, if it cannot */
static bool
open_file(NdjsonSource *source)
{
	struct stat status;

	if (is_stdin(source))
		source->file = STDIN_FILENO;
	else
		source->file = open(source->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (source->file < 0 || fstat(source->file, &status) != 0)
		return false;
	errno = S_ISDIR(status.st_mode) ? EISDIR : ESPIPE;
	return is_stdin(source) || S_ISREG(status.st_mode);
}

static Source *
ndjson_open(const SourceSettings *settings, const char *group, bool *gone, Buffer *problem)
{
	NdjsonSource *source = allocate(sizeof(NdjsonSource));

	(void) group;
	source->source.kind = &source_ndjson;
	source->name = settings->target;
	source->follow = settings->follow;
	source->newest = source->last_offset = -1;
	source->source.once = is_stdin(source);
	if (open_file(source))
	{
		source_add_partition(&source->source, 0, sizeof(Partition));
		return &source->source;
	}
	/* Who follows a file may be there before it. */
	*gone = !(settings->follow && errno == ENOENT);
	buffer_printf(problem, "could not open file \"%s\": %s", source->name,
				  errno == ESPIPE ? "it is no file, and \"-\" reads what is piped in" : strerror(errno));
	ndjson_close(&source->source);
	return NULL;
}

/* ---------------------------------------------------------------- reading */

/* Forget what was taken */
static void
drop_taken(NdjsonSource *source)
{
	Buffer	   *bytes = &source->bytes;

	if (source->taken == 0)
		return;
	memmove(bytes->data, bytes->data + source->taken, bytes->length - source->taken);
	buffer_cut(bytes, bytes->length - source->taken);
	source->start += (int64_t) source->taken;
	source->searched -= source->taken;
	source->taken = 0;
	if (bytes->length == 0)
		buffer_clear(bytes);
}

/* Read more, if there is more now; false and a problem if it cannot be read */
static bool
read_more(NdjsonSource *source, Buffer *problem)
{
	char		chunk[READ_SIZE];
	struct pollfd one = {source->file, POLLIN, 0};
	ssize_t		count;

	/* A pipe is asked before, as nobody may wait for what it has not. */
	source->reached_end = false;
	if (is_stdin(source) && poll(&one, 1, 0) == 0)
		return true;
	drop_taken(source);
	count = read(source->file, chunk, sizeof(chunk));
	if (count < 0 && errno != EINTR && errno != EAGAIN)
	{
		buffer_printf(problem, "could not read \"%s\": %s", source->name, strerror(errno));
		return false;
	}
	source->reached_end = count == 0;
	if (count > 0)
		buffer_append(&source->bytes, chunk, (size_t) count);
	return true;
}

/* The next whole line in the bytes: its length, without the newline; -1 if there is none */
static ssize_t
next_line(NdjsonSource *source)
{
	Buffer	   *bytes = &source->bytes;
	const char *newline = bytes->length > source->searched ?
	memchr(bytes->data + source->searched, '\n', bytes->length - source->searched) : NULL;

	if (newline == NULL)
	{
		source->searched = bytes->length;
		return -1;
	}
	source->searched = (size_t) (newline - bytes->data);
	return (ssize_t) (source->searched - source->taken);
}

/* That line is taken */
static void
pass_line(NdjsonSource *source, size_t length)
{
	int64_t		place = source->start + (int64_t) source->taken;

	if (place > source->newest)
		source->newest = place;
	source->taken += length + 1;
	source->searched = source->taken;
}

/* A line grows beyond all measure: keep where it begins, and how */
static void
shorten_line(NdjsonSource *source)
{
	drop_taken(source);
	if (source->bytes.length <= EVENT_BYTES)
		return;
	source->overlong = true;
	source->passed += (int64_t) (source->bytes.length - LINE_SHOWN);
	buffer_cut(&source->bytes, LINE_SHOWN);
	source->searched = LINE_SHOWN;
}

/* Add a line to the batch */
static void
add_line(NdjsonSource *source, Batch *batch, size_t length)
{
	IngestEvent *event = batch_add(batch, source->start + (int64_t) source->taken, NULL, 0, source->bytes.data + source->taken, length);

	if (source->overlong)
	{
		event->unreadable = EVENT_TOO_LARGE;
		source->overlong = false;
	}
	pass_line(source, length);
	source->start += source->passed;
	source->passed = 0;
}

/* Of stdin the last line needs no newline */
static void
add_last_line(NdjsonSource *source, Batch *batch, int64_t most)
{
	size_t		rest = source->bytes.length - source->taken;

	if (is_stdin(source) && rest > 0 && batch_has_room(batch, most, rest))
	{
		buffer_text(&source->bytes, "\n");
		add_line(source, batch, rest);
	}
}

/* Is the file still what its name names, with all that was read of it? */
static bool
file_stands(NdjsonSource *source, Buffer *problem)
{
	struct stat opened;
	struct stat named;
	int64_t		read_up_to = source->start + (int64_t) source->bytes.length + source->passed;

	if (is_stdin(source))
		return true;
	if (fstat(source->file, &opened) != 0 || stat(source->name, &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
		buffer_printf(problem, "\"%s\" was removed or renamed", source->name);
	else if (opened.st_size < read_up_to)
		buffer_printf(problem, "\"%s\" was cut", source->name);
	else
		return true;
	return false;
}

static void
keep_line(NdjsonSource *source, int64_t offset, const char *line, size_t length)
{
	buffer_clear(&source->last_line);
	buffer_append(&source->last_line, line, length);
	source->last_offset = offset;
}

/* What was performed of stdin last may be asked for once more */
static void
remember_last(NdjsonSource *source, const Batch *batch)
{
	const IngestEvent *last = batch->count > 0 ? &batch->events[batch->count - 1] : NULL;

	if (source->source.once && last != NULL)
		keep_line(source, last->offset, event_value(batch, last), last->value_length);
}

static bool
ndjson_take(Source *opened, Batch *batch, int64_t most, Buffer *problem)
{
	NdjsonSource *source = (NdjsonSource *) opened;

	remember_last(source, batch);
	batch_clear(batch);
	batch->partition = 0;
	for (;;)
	{
		ssize_t		length = next_line(source);

		if (length >= 0 && !batch_has_room(batch, most, (size_t) length))
			break;
		if (length >= 0)
		{
			add_line(source, batch, (size_t) length);
			continue;
		}
		shorten_line(source);
		if (!read_more(source, problem))
			return false;
		if (source->reached_end)
			add_last_line(source, batch, most);
		if (source->searched == source->bytes.length && (source->reached_end || is_stdin(source)))
			break;
	}
	opened->ended = source->reached_end && (is_stdin(source) || !source->follow) && batch->count == 0;
	return !source->reached_end || file_stands(source, problem);
}

static void
ndjson_wait(Source *opened, Wait *wait, int64_t milliseconds)
{
	NdjsonSource *source = (NdjsonSource *) opened;

	/* At its end, stdin is ready for ever. */
	if (is_stdin(source) && !source->reached_end)
		wait_on(wait, source->file, POLLIN, milliseconds);
	else
		wait_on(wait, -1, 0, milliseconds < FOLLOW_MS ? milliseconds : FOLLOW_MS);
}

/* ---------------------------------------------------------------- positions */

/* Where the line begins that ends there, with its newline */
static int64_t
beginning_of_line(const NdjsonSource *source, int64_t end)
{
	return end > 0 ? end_of_last_line(source->file, end - 1) : 0;
}

/* Where a log ends is one behind the beginning of its last whole line */
static int64_t
log_end(NdjsonSource *source)
{
	struct stat status;

	if (!is_stdin(source) && fstat(source->file, &status) == 0 && status.st_size != source->size)
	{
		int64_t		end = end_of_last_line(source->file, status.st_size);

		source->size = status.st_size;
		source->newest = end > 0 ? beginning_of_line(source, end) : -1;
	}
	return source->newest + 1;
}

/* Move to a place of the log, where a file can be read from */
static bool
move_to(NdjsonSource *source, int64_t place, Buffer *problem)
{
	buffer_clear(&source->bytes);
	source->taken = source->searched = 0;
	source->start = place;
	if (lseek(source->file, place, SEEK_SET) >= 0)
		return true;
	buffer_printf(problem, "could not read \"%s\": %s", source->name, strerror(errno));
	return false;
}

/* Read up to the end of the line that is the next, and pass over it; -1 if there is none */
static ssize_t
read_line(NdjsonSource *source, Buffer *problem)
{
	Wait		wait = wait_begin("the log of the source");
	ssize_t		length;

	while ((length = next_line(source)) < 0 && !source->reached_end && !stop_requested)
	{
		shorten_line(source);
		if (!read_more(source, problem))
			return -1;
		if (source->searched == source->bytes.length && !source->reached_end)
			ndjson_wait(&source->source, &wait, 1000);
	}
	wait_end(&wait);
	return length;
}

/* Pass over what was performed, and keep the last line of it */
static bool
pass_performed(NdjsonSource *source, int64_t position, Buffer *problem)
{
	while (source->start + (int64_t) source->taken < position)
	{
		int64_t		place = source->start + (int64_t) source->taken;
		ssize_t		length = read_line(source, problem);

		if (length < 0 && source->source.once && source->reached_end && place == position - 1)
			keep_line(source, place, source->bytes.data + source->taken, source->bytes.length - source->taken);
		if (length < 0)
			break;
		if (place == position - 1 && !source->overlong)
			keep_line(source, place, source->bytes.data + source->taken, (size_t) length);
		pass_line(source, (size_t) length);
		source->start += source->passed;
		source->passed = 0;
		source->overlong = false;
		drop_taken(source);
	}
	return problem->length == 0;
}

/* The line that begins there, if it is still at hand */
static void
find_line(const NdjsonSource *source, int64_t offset, const Batch *batch, Buffer *line)
{
	if (offset == source->last_offset)
		buffer_append(line, source->last_line.data, source->last_line.length);
	for (int i = 0; i < batch->count; i++)
		if (batch->events[i].offset == offset)
			buffer_append(line, event_value(batch, &batch->events[i]), batch->events[i].value_length);
}

/* The first time all of stdin can be had, later only what was not performed */
static bool
survey_stdin(NdjsonSource *source, const Partition *partition, int64_t position, Survey *survey, Buffer *problem)
{
	if (source->newest >= 0)
		survey->first = partition->position;
	else if (!pass_performed(source, position, problem))
		return false;

	/* What is yet to come we cannot know. */
	survey->end = source->start + source->passed + (int64_t) source->bytes.length;
	if (survey->end < position && !source->reached_end)
		survey->end = position;
	return true;
}

/* Of a file all can be had. A line may not begin there: an administrator has named the place, or it is another file */
static bool
survey_file(NdjsonSource *source, int64_t position, Survey *survey, Buffer *problem)
{
	int64_t		place = position > 0 ? position - 1 : 0;
	struct stat status;
	char		before = '\n';

	source->last_offset = -1;
	survey->end = fstat(source->file, &status) == 0 ? status.st_size : 0;
	if (position > survey->end)
		return true;
	if (place > 0 && pread(source->file, &before, 1, place - 1) != 1)
		before = '\0';
	if (!move_to(source, place, problem) || !pass_performed(source, position, problem))
		return false;
	if (before != '\n')
		source->last_offset = -1;
	return true;
}

static bool
ndjson_survey(Source *opened, Partition *partition, int64_t next_offset, const Batch *batch, Survey *survey, Buffer *problem)
{
	NdjsonSource *source = (NdjsonSource *) opened;
	int64_t		position = next_offset > 0 ? next_offset : 0;

	if (!(is_stdin(source) ? survey_stdin(source, partition, position, survey, problem) : survey_file(source, position, survey, problem)))
		return false;
	if (position > 0)
		find_line(source, position - 1, batch, &survey->last_line);
	return true;
}

static void
ndjson_attend(Source *opened)
{
	if (opened->partition_count > 0)
		opened->partitions[0]->end = log_end((NdjsonSource *) opened);
}

const SourceKind source_ndjson = {
	.scheme = "ndjson",
	.takes_follow = true,
	.open = ndjson_open,
	.survey = ndjson_survey,
	.take = ndjson_take,
	.wait = ndjson_wait,
	.attend = ndjson_attend,
	.close = ndjson_close,
};
