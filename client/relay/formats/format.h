/*
 * format.h
 *		The forms in which an event can be told: what --format chooses from.
 */
#ifndef FORMATS_FORMAT_H
#define FORMATS_FORMAT_H

#include <stdbool.h>

#include "formats/event.h"

typedef enum Format
{
	FORMAT_EVENT,				/* the relay's own line */
	FORMAT_DOCUMENT,			/* the item alone; null once it is gone */
	FORMAT_ESGF,				/* the federation's envelope */
} Format;

extern bool format_find(const char *name, Format *format);
extern void format_event(Buffer *lines, const Event *event, Format format);

/* esgf.c */
extern void esgf_lines(Buffer *lines, const Event *event);

#endif							/* FORMATS_FORMAT_H */
