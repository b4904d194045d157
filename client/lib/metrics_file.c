/*
 * metrics_file.c
 *		A file in Prometheus' text format.
 */
#include "lib/metrics_file.h"

#include <stdio.h>

/* Put a new file into the place of the old one; false and errno if that cannot be done */
bool
metrics_file_write(const char *path, const Buffer *text)
{
	Buffer		temporary = {0};
	FILE	   *file;
	bool		done;

	buffer_printf(&temporary, "%s.new", path);
	file = fopen(temporary.data, "we");
	done = file != NULL && fwrite(text->data, 1, text->length, file) == text->length;
	done = (file != NULL && fclose(file) == 0) && done && rename(temporary.data, path) == 0;
	buffer_free(&temporary);
	return done;
}
