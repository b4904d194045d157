/*
 * line_file.c
 *		Lines to a file, to stdout or to a pipe.
 */
#include "lib/line_file.h"

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

#include "lib/program.h"
#include "lib/wait.h"

/* Lines are handed to the system once they are that many bytes. */
#define WRITE_SIZE (256 * 1024)

/* So often we see whether the reader of a pipe has taken everything. */
#define DRAIN_MS 20

/* Who moves a file away tells us so within that time. */
#define MOVED_MS 2000

/* Who can read a file on stdout, though it may be open for writing alone. */
#define STDOUT_PATH "/dev/stdout"

static bool
is_stdout(const LineFile *file)
{
	return strcmp(file->name, "-") == 0;
}

/* Find where the last complete line ends; -1 if the file cannot be read */
off_t
end_of_last_line(int descriptor, off_t size)
{
	char		chunk[8192];

	while (size > 0)
	{
		off_t		start = size > (off_t) sizeof(chunk) ? size - (off_t) sizeof(chunk) : 0;
		ssize_t		count = pread(descriptor, chunk, (size_t) (size - start), start);

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
open_named(LineFile *file)
{
	file->descriptor = open(file->name, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
	if (file->descriptor < 0 && errno == ENOENT)
	{
		file->descriptor = open(file->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (file->descriptor >= 0 && !sync_directory(file->name))
			return false;
	}
	return file->descriptor >= 0;
}

/* Cut a file to a length; what is written next is to stand there */
static bool
cut_file(LineFile *file, off_t length)
{
	struct stat status;

	file->end = length;
	return fstat(file->descriptor, &status) == 0 &&
		(status.st_size == length || ftruncate(file->descriptor, length) == 0) &&
		lseek(file->descriptor, length, SEEK_SET) >= 0;
}

/*
 * Does what stands behind that place begin as our lines do, or with the zeros
 * that a crash of the machine may leave? What somebody else has written is not
 * ours to cut off.
 */
static bool
is_ours(const LineFile *file, off_t start)
{
	char		bytes[32] = "";
	ssize_t		count = pread(file->reader, bytes, strlen(file->beginning), start);

	if (count >= 0 && (strncmp(bytes, file->beginning, (size_t) count) == 0 || bytes[0] == '\0'))
		return true;
	errno = EBADMSG;
	return false;
}

/* Make a file ours, and have it end with a whole line */
static bool
prepare_file(LineFile *file, const struct stat *status)
{
	bool		known = status->st_dev == file->durable->device && status->st_ino == file->durable->inode && status->st_size >= file->durable->end;
	off_t		end;

	/* Where files cannot be locked, the operator has to know what he does. */
	if (flock(file->descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		return false;
	file->reader = open(is_stdout(file) ? STDOUT_PATH : file->name, O_RDONLY | O_CLOEXEC);
	if (file->reader < 0)
		return false;
	end = end_of_last_line(file->reader, status->st_size);
	if (end < 0 || !is_ours(file, end) || !cut_file(file, end))
		return false;
	if (!known)
	{
		file->durable->device = status->st_dev;
		file->durable->inode = status->st_ino;
		file->durable->end = end;
	}
	file->tail = file->durable->end;
	return true;
}

static bool
open_file(LineFile *file)
{
	struct stat status;

	if (is_stdout(file))
		file->descriptor = STDOUT_FILENO;
	else if (!open_named(file))
		return false;
	if (fstat(file->descriptor, &status) != 0)
		return false;
	file->regular = S_ISREG(status.st_mode);
	file->pipe = S_ISFIFO(status.st_mode);
	return !file->regular || prepare_file(file, &status);
}

/* Say what is wrong; stdout cannot be opened again */
static bool
fail(LineFile *file, const char *what, Buffer *problem)
{
	int			error = errno;

	buffer_printf(problem, "could not %s \"%s\": ", what, file->name);
	if (error == EWOULDBLOCK)
		buffer_printf(problem, "another %s writes to it", program_noun);
	else
		buffer_text(problem, error == ENXIO ? "nobody reads it" :
					error == EBADMSG ? "its last line is neither complete nor an event" : strerror(error));
	file->gone = is_stdout(file);
	return false;
}

bool
line_file_open(LineFile *file, const char *name, const char *beginning, LineFileDurable *durable, Buffer *problem)
{
	file->name = name;
	file->beginning = beginning;
	file->durable = durable;
	file->descriptor = file->reader = -1;
	return open_file(file) || fail(file, "open file", problem);
}

/* Could a file that is not there be made? */
static bool
try_directory(const char *name, Buffer *problem)
{
	char	   *copy = copy_string(name);
	const char *directory = dirname(copy);
	struct stat status;
	bool		good = stat(directory, &status) == 0 && access(directory, W_OK | X_OK) == 0;

	if (good && !S_ISDIR(status.st_mode))
	{
		errno = ENOTDIR;
		good = false;
	}
	if (!good)
		buffer_printf(problem, "could not make a file in \"%s\": %s", directory, strerror(errno));
	free(copy);
	return good;
}

/* Would line_file_open() succeed? Changes nothing. Another writer is as it should be beside a program that runs */
bool
line_file_try(const char *name, const char *beginning, bool beside, Buffer *problem)
{
	LineFile	file = {.name = name,.beginning = beginning,.descriptor = -1,.reader = -1};
	struct stat status;
	bool		good;

	if (is_stdout(&file))
		return true;
	if (stat(name, &status) != 0)
		return errno == ENOENT ? try_directory(name, problem) : fail(&file, "open file", problem);

	/* Opening a pipe would be noticed at its other end. */
	if (!S_ISREG(status.st_mode))
	{
		errno = EISDIR;
		return (!S_ISDIR(status.st_mode) && access(name, W_OK) == 0) || fail(&file, "open file", problem);
	}
	file.descriptor = open(name, O_WRONLY | O_APPEND | O_CLOEXEC);
	file.reader = file.descriptor >= 0 ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	good = file.reader >= 0 && (beside || flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
	if (good && !beside)
	{
		off_t		end = end_of_last_line(file.reader, status.st_size);

		good = end >= 0 && is_ours(&file, end);
	}
	good = good || fail(&file, "open file", problem);
	line_file_close(&file);
	return good;
}

void
line_file_close(LineFile *file)
{
	if (file->descriptor > STDOUT_FILENO)
		close(file->descriptor);
	if (file->reader >= 0)
		close(file->reader);
	buffer_free(&file->lines);
}

/* ---------------------------------------------------------------- writing */

/* Say that the reader of a pipe takes nothing */
static bool
fail_pipe(LineFile *file, const char *what, Buffer *problem)
{
	buffer_printf(problem, "the reader of \"%s\" %s", file->name, what);
	file->gone = is_stdout(file);
	return false;
}

/* Wait until a pipe has room, which its reader makes; false and a problem if that takes too long for a stop */
static bool
await_room(LineFile *file, Buffer *problem)
{
	Wait		wait = wait_begin("the reader of what is written");

	while (!wait_on(&wait, file->descriptor, POLLOUT, 1000))
		if (stop_due())
			return fail_pipe(file, "stands still", problem);
	wait_end(&wait);
	return true;
}

/*
 * A line that the disk did not take whole is none; the whole ones stand, and
 * what others write to stdout
 */
static void
cut_half_line(LineFile *file, size_t done)
{
	off_t		position = lseek(file->descriptor, 0, SEEK_CUR);
	struct stat status;
	size_t		half = 0;

	while (half < done && file->lines.data[done - half - 1] != '\n')
		half++;
	if (half > 0 && fstat(file->descriptor, &status) == 0 && status.st_size == position)
		cut_file(file, position - (off_t) half);
}

/* Hand the lines to the system */
bool
line_file_write(LineFile *file, Buffer *problem)
{
	size_t		done = 0;

	while (done < file->lines.length)
	{
		size_t		rest = file->lines.length - done;
		ssize_t		count;

		/* A pipe that has room takes so much without blocking. */
		if (!file->regular && !await_room(file, problem))
			return false;
		if (!file->regular && rest > PIPE_BUF)
			rest = PIPE_BUF;
		count = write(file->descriptor, file->lines.data + done, rest);
		if (count < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (count < 0)
		{
			fail(file, "write to", problem);
			if (file->regular)
				cut_half_line(file, done);
			return false;
		}
		done += (size_t) count;
	}
	if (file->regular)
		file->end = lseek(file->descriptor, 0, SEEK_CUR);
	buffer_clear(&file->lines);
	return true;
}

/* Is that line the next one of the tail? Then it need not be written */
static bool
stands_in_tail(LineFile *file, const char *line, size_t length)
{
	char		chunk[65536];
	size_t		same = 0;

	if (file->tail + (off_t) length > file->end)
		return false;
	while (same < length)
	{
		size_t		part = length - same < sizeof(chunk) ? length - same : sizeof(chunk);

		if (pread(file->reader, chunk, part, file->tail + (off_t) same) != (ssize_t) part ||
			memcmp(chunk, line + same, part) != 0)
			return false;
		same += part;
	}
	file->tail += (off_t) length;
	return true;
}

/*
 * Lines were appended to those to be written, from that place on. What stands
 * in the tail already is taken back.
 */
bool
line_file_added(LineFile *file, size_t before, Buffer *problem)
{
	if (file->tail < file->end && file->lines.length > before)
	{
		if (before == 0 && stands_in_tail(file, file->lines.data, file->lines.length))
			buffer_clear(&file->lines);
		else
			file->tail = file->end; /* from here on it is other lines */
	}
	return file->lines.length < WRITE_SIZE || line_file_write(file, problem);
}

/* ---------------------------------------------------------------- flushing */

/* Wait until the reader of a pipe has taken everything */
static bool
flush_pipe(LineFile *file, Buffer *problem)
{
	Wait		wait = wait_begin("the reader of what is written");
	int			unread = 0;

	while (ioctl(file->descriptor, FIONREAD, &unread) == 0 && unread > 0)
	{
		/* Ready without a wish: nobody is there to read. */
		if (wait_on(&wait, file->descriptor, 0, DRAIN_MS))
			return fail_pipe(file, "is gone", problem);
		if (stop_due())
			return fail_pipe(file, "stands still", problem);
	}
	wait_end(&wait);
	return true;
}

static bool
is_named(const LineFile *file, const struct stat *opened)
{
	struct stat named;

	return stat(file->name, &named) == 0 && named.st_dev == opened->st_dev && named.st_ino == opened->st_ino;
}

/* Was it moved away by somebody who has us open it anew, or is about to? */
static bool
is_rotated(const struct stat *opened)
{
	Wait		wait = wait_begin(NULL);

	while (opened->st_nlink > 0 && !reload_requested && !stop_requested && monotonic_ms() < wait.since + MOVED_MS)
		wait_on(&wait, -1, 0, MOVED_MS);
	return opened->st_nlink > 0 && reload_requested;
}

/* Will a reader find our lines, under the file's name or where it was moved? */
static bool
file_stands(LineFile *file, Buffer *problem)
{
	struct stat opened;

	if (fstat(file->descriptor, &opened) != 0)
		return fail(file, "look at", problem);
	if (is_stdout(file) ? opened.st_nlink == 0 : !is_named(file, &opened) && !is_rotated(&opened))
		buffer_printf(problem, "\"%s\" was removed or renamed", file->name);
	else if (opened.st_size < file->end)
		buffer_printf(problem, "\"%s\" was cut by somebody else", file->name);
	else
		return true;
	file->gone = is_stdout(file);
	return false;
}

static bool
flush_file(LineFile *file, Buffer *problem)
{
	if (fsync(file->descriptor) != 0)
	{
		/*
		 * What of the tail is on disk, nobody knows: it has to be written
		 * again.
		 */
		file->durable->inode = 0;
		return fail(file, "sync", problem);
	}
	if (!file_stands(file, problem))
		return false;
	file->durable->end = file->tail = file->end;
	return true;
}

/* Make durable all that was written */
bool
line_file_flush(LineFile *file, Buffer *problem)
{
	if (file->pipe)
		return flush_pipe(file, problem);
	return !file->regular || flush_file(file, problem);
}
