/*
 * buffer.c
 *		Bytes that grow.
 */
#include "lib/buffer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/program.h"

/* A buffer that once held a large document gives the memory back. */
#define SPACE_KEPT (1024 * 1024)

void
out_of_memory(void)
{
	fprintf(stderr, "%s: out of memory\n", program_name);
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

/* Does a character of so many bytes, which begins there, direct a terminal or a reader? */
static bool
is_control(const char *text, size_t length)
{
	static const char *const ranges[][2] = {
		{"\xc2\x80", "\xc2\x9f"},	/* controls */
		{"\xe2\x80\x8e", "\xe2\x80\x8f"},	/* direction of writing */
		{"\xe2\x80\xa8", "\xe2\x80\xae"},
		{"\xe2\x81\xa6", "\xe2\x81\xa9"},
	};

	if (length == 1)
		return (unsigned char) text[0] < 0x20 || text[0] == 0x7f;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (length == strlen(ranges[i][0]) && memcmp(text, ranges[i][0], length) >= 0 && memcmp(text, ranges[i][1], length) <= 0)
			return true;
	return false;
}

/* How many bytes are the character of UTF-8 with which a text begins; 0: it is none */
size_t
character_length(const char *text)
{
	unsigned char first = (unsigned char) text[0];
	unsigned char second = first != 0 ? (unsigned char) text[1] : 0;
	size_t		length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;

	/* The end of the text ends this too. */
	for (size_t i = 1; i < length; i++)
		if (((unsigned char) text[i] & 0xc0) != 0x80)
			return 0;

	/* Longer than it need be, a surrogate, or beyond the last one. */
	if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
		(first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90))
		return 0;
	return length;
}

/* The same of one that can be printed; 0: it is none */
size_t
printable_length(const char *text)
{
	size_t		length = character_length(text);

	return length > 0 && !is_control(text, length) ? length : 0;
}
