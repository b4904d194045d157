/*
 * line_file.h
 *		Lines to a file, to stdout or to a pipe.
 *
 * file		is appended to, by one program at a time, and ends with a whole line:
 *			what a crash or a full disk left of another is cut off. Its lines
 *			are durable when it was synced and still is what its name names
 * tail		the lines of a file that no flush made durable. They come again;
 *			those that stand there already are not written twice
 * pipe		its lines are as durable as can be when the reader has taken them
 */
#ifndef LIB_LINE_FILE_H
#define LIB_LINE_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/buffer.h"

/* How much of which file is durable: who opens it again has to know. */
typedef struct LineFileDurable
{
	dev_t		device;
	ino_t		inode;
	off_t		end;
} LineFileDurable;

typedef struct LineFile
{
	const char *name;			/* "-": stdout */
	const char *beginning;		/* of each line */
	LineFileDurable *durable;
	int			descriptor;
	bool		regular;		/* a file that can be cut and synced */
	bool		pipe;
	bool		gone;			/* opening it again would not help */
	Buffer		lines;			/* to be written */

	/* Of a regular file. */
	off_t		end;			/* of its last whole line */
	off_t		tail;			/* where a line that comes again may stand */
	int			reader;			/* to compare; -1: not open */
} LineFile;

extern off_t end_of_last_line(int descriptor, off_t size);

extern bool line_file_try(const char *name, const char *beginning, bool beside, Buffer *problem);
extern bool line_file_open(LineFile *file, const char *name, const char *beginning, LineFileDurable *durable, Buffer *problem);
extern bool line_file_added(LineFile *file, size_t before, Buffer *problem);
extern bool line_file_write(LineFile *file, Buffer *problem);
extern bool line_file_flush(LineFile *file, Buffer *problem);
extern void line_file_close(LineFile *file);

#endif							/* LIB_LINE_FILE_H */
