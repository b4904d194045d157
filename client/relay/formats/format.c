/*
 * format.c
 *		Writes an event in the form that --format asks for, as lines of JSON.
 */
#include "formats/format.h"

#include <string.h>

static const char *const names[] = {
	[FORMAT_EVENT] = "event",
	[FORMAT_DOCUMENT] = "document",
	[FORMAT_ESGF] = "esgf",
};

bool
format_find(const char *name, Format *format)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(names[i], name) == 0)
		{
			*format = (Format) i;
			return true;
		}
	}
	return false;
}

static void
document_line(Buffer *line, const Event *event)
{
	if (event->document != NULL)
		buffer_append(line, event->document, event->document_length);
	else
		buffer_text(line, "null");
	buffer_append(line, "\n", 1);
}

/* Append the lines that tell of an event, if any; no text in JSON holds a newline */
void
format_event(Buffer *lines, const Event *event, Format format)
{
	switch (format)
	{
		case FORMAT_EVENT:
			event_line(lines, event);
			break;
		case FORMAT_DOCUMENT:
			document_line(lines, event);
			break;
		case FORMAT_ESGF:
			esgf_lines(lines, event);
			break;
	}
}
