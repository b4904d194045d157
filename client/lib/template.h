/*
 * template.h
 *		Names with placeholders, as "items_{collection}".
 */
#ifndef LIB_TEMPLATE_H
#define LIB_TEMPLATE_H

#include <stdbool.h>

#include "lib/buffer.h"

typedef struct Placeholder
{
	const char *name;			/* with its braces; NULL ends a list */
	const char *value;
} Placeholder;

extern bool template_valid(const char *template, const Placeholder *known);
extern void template_expand(Buffer *name, const char *template, const Placeholder *known);

#endif							/* LIB_TEMPLATE_H */
