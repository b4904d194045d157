/*
 * template.h
 *		Names made of an event: "items_{collection}", "{item_id}|{collection}".
 */
#ifndef FORMATS_TEMPLATE_H
#define FORMATS_TEMPLATE_H

#include "formats/event.h"
#include "lib/template.h"

extern bool event_template_valid(const char *template, bool of_item);
extern void event_template_expand(Buffer *name, const char *template, const Event *event);

#endif							/* FORMATS_TEMPLATE_H */
