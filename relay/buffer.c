/*
 * buffer.c
 *		Bytes that grow.
 */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A buffer that once held a large document gives the memory back. */
#define SPACE_KEPT (1024 * 1024)

void
out_of_memory(void)
{
	fprintf(stderr, "esgf_stac_relay: out of memory\n");
	exit(1);
}

/* Zeroed memory, or the end of the program */
void *
allocate(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

/* Memory of another size with the same contents, or the end of the program */
void *
reallocate(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (memory == NULL)
		out_of_memory();
	return memory;
}

char *
copy_string(const char *text)
{
	char	   *copy = strdup(text);

	if (copy == NULL)
		out_of_memory();
	return copy;
}

/* Make room for that many more bytes and the NUL */
static void
buffer_reserve(Buffer *buffer, size_t more)
{
	size_t		needed = buffer->length + more + 1;

	if (needed <= buffer->space)
		return;
	buffer->space = needed > 2 * buffer->space ? needed : 2 * buffer->space;
	buffer->data = reallocate(buffer->data, buffer->space);
}

void
buffer_append(Buffer *buffer, const char *data, size_t length)
{
	buffer_reserve(buffer, length);
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void
buffer_text(Buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void
buffer_printf(Buffer *buffer, const char *format,...)
{
	va_list		arguments;
	int			length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);

	buffer_reserve(buffer, (size_t) length);
	va_start(arguments, format);
	vsnprintf(buffer->data + buffer->length, (size_t) length + 1, format, arguments);
	va_end(arguments);
	buffer->length += (size_t) length;
}

/* Take back what was appended beyond a length */
void
buffer_cut(Buffer *buffer, size_t length)
{
	buffer->length = length;
	buffer->data[length] = '\0';
}

/* Empty it for the next use */
void
buffer_clear(Buffer *buffer)
{
	if (buffer->space > SPACE_KEPT)
		buffer_free(buffer);
	buffer->length = 0;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}
