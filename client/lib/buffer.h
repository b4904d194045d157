/*
 * buffer.h
 *		Bytes that grow. What stands in one is always closed by a NUL, which
 *		its length does not count. Running out of memory ends the program.
 */
#ifndef LIB_BUFFER_H
#define LIB_BUFFER_H

#include <stddef.h>

typedef struct Buffer
{
	char	   *data;
	size_t		length;
	size_t		space;
} Buffer;

extern void out_of_memory(void) __attribute__((noreturn));
extern void *allocate(size_t size);
extern void *reallocate(void *memory, size_t size);
extern char *copy_string(const char *text);
extern void buffer_append(Buffer *buffer, const char *data, size_t length);
extern void buffer_text(Buffer *buffer, const char *text);
extern void buffer_printf(Buffer *buffer, const char *format,...) __attribute__((format(printf, 2, 3)));
extern size_t character_length(const char *text);
extern size_t printable_length(const char *text);
extern void buffer_cut(Buffer *buffer, size_t length);
extern void buffer_clear(Buffer *buffer);
extern void buffer_free(Buffer *buffer);

#endif							/* LIB_BUFFER_H */
