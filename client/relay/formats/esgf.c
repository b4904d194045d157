/*
 * esgf.c
 *		The federation's envelope, in the one form that both of its consumers
 *		accept.
 *
 * POST creates an item; where there is one, it changes nothing. PATCH adds each
 * member of the document, which replaces the member that is there. A member
 * keeps the server's text: a scan finds where it ends. A deletion can only be
 * said as a retraction.
 */
#include "formats/format.h"

#include <string.h>

#define RETRACTION "{\"op\":\"add\",\"path\":\"/properties/latest\",\"value\":false}," \
	"{\"op\":\"add\",\"path\":\"/properties/retracted\",\"value\":true}," \
	"{\"op\":\"add\",\"path\":\"/assets\",\"value\":{}}"

/* Find the quote that closes the string */
static const char *
string_end(const char *text)
{
	for (text++; *text != '"'; text++)
		if (*text == '\\')
			text++;
	return text;
}

/* Find the comma or brace behind the value */
static const char *
value_end(const char *text)
{
	int			depth = 0;

	for (; depth > 0 || (*text != ',' && *text != '}'); text++)
	{
		if (*text == '"')
			text = string_end(text);
		else if (*text == '{' || *text == '[')
			depth++;
		else if (*text == '}' || *text == ']')
			depth--;
	}
	return text;
}

/* Append the JSON Pointer to a member, whose name is escaped for JSON already */
static void
append_pointer(Buffer *line, const char *name, size_t length)
{
	buffer_text(line, "\"/");
	for (; length > 0; name++, length--)
	{
		if (*name == '~')
			buffer_text(line, "~0");
		else if (*name == '/')
			buffer_text(line, "~1");
		else
			buffer_append(line, name, 1);
	}
	buffer_text(line, "\"");
}

static bool
is_name(const char *name, size_t length, const char *other)
{
	return length == strlen(other) && memcmp(name, other, length) == 0;
}

/* Append an operation for each member of the document but those that say whose it is */
static void
append_operations(Buffer *line, const char *document)
{
	const char *separator = "";

	for (bool more = document[1] != '}'; more; more = *document == ',')
	{
		const char *name = strchr(document, '"') + 1;
		size_t		length = (size_t) (string_end(name - 1) - name);
		const char *value = name + length + strlen("\": ");

		document = value_end(value);
		if (is_name(name, length, "id") || is_name(name, length, "collection"))
			continue;
		buffer_printf(line, "%s{\"op\":\"add\",\"path\":", separator);
		append_pointer(line, name, length);
		buffer_text(line, ",\"value\":");
		buffer_append(line, value, (size_t) (document - value));
		buffer_text(line, "}");
		separator = ",";
	}
}

/* Append a line up to the members that only its method has */
static void
begin_line(Buffer *line, const Event *event, const char *metadata, const char *method)
{
	buffer_printf(line, "{\"metadata\":%s,\"data\":{\"type\":\"STAC\",\"payload\":{\"method\":\"%s\",\"collection_id\":",
				  metadata, method);
	append_string(line, event->collection_id);
	buffer_text(line, ",\"item_id\":");
	append_string(line, event->item_id);
}

static void
post_line(Buffer *line, const Event *event, const char *metadata)
{
	begin_line(line, event, metadata, "POST");
	buffer_text(line, ",\"item\":");
	buffer_append(line, event->document, event->document_length);
	buffer_text(line, "}}}\n");
}

static void
patch_line(Buffer *line, const Event *event)
{
	begin_line(line, event, event->metadata, "PATCH");
	buffer_text(line, ",\"patch\":[");
	if (event->document != NULL)
		append_operations(line, event->document);
	else
		buffer_text(line, RETRACTION);
	buffer_text(line, "]}}}\n");
}

/* Append the lines of an event: none for a collection's, which nobody there takes */
void
esgf_lines(Buffer *lines, const Event *event)
{
	if (event->item_id == NULL)
		return;
	if (event->document != NULL && event->introduction != NULL)
		post_line(lines, event, event->introduction);
	if (event->document != NULL && event->introduction == NULL && event->version == 1)
		post_line(lines, event, event->metadata);
	else
		patch_line(lines, event);
}
