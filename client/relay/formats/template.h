/*
 * template.h
 *		Names made of an event: "items_{collection}", "{item_id}|{collection}".
 */
#ifndef FORMATS_TEMPLATE_H
#define FORMATS_TEMPLATE_H

#include <stdbool.h>

#include "formats/event.h"

extern bool template_valid(const char *template, bool of_item);
extern void template_expand(Buffer *name, const char *template, const Event *event);

#endif							/* FORMATS_TEMPLATE_H */
