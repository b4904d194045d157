/*
 * place.c
 *		A place at a sink.
 */
#include "sinks/place.h"

#include <string.h>

/* Does a pattern match the whole of a text? Its * matches anything but a slash */
static bool
matches(const char *pattern, const char *text)
{
	const char *star = NULL;
	const char *from = NULL;

	while (*text != '\0' || *pattern != '\0')
	{
		if (*pattern == '*')
		{
			star = pattern++;
			from = text;
		}
		else if (*pattern == *text)
		{
			pattern++;
			text++;
		}
		else if (star != NULL && *from != '\0' && *from != '/')
		{
			pattern = star + 1;
			text = ++from;
		}
		else
			return false;
	}
	return true;
}

/* Where in the target of a sink its place begins; NULL: it has none */
static const char *
find_place(const SinkSettings *settings, const SinkKind *kind)
{
	const char *place = settings->target;

	if (kind->place == NULL)
		return NULL;
	for (const char *c = settings->target; *c != '\0'; c++)
		if (strchr(kind->place, *c) != NULL)
			place = c + 1;
	return place;
}

/* No place climbs, has a placeholder, or what a log or a name cannot show */
static bool
is_safe(const char *place)
{
	for (const char *c = place; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7F)
			return false;
	return place[0] != '\0' && strcmp(place, "-") != 0 && strstr(place, "..") == NULL && strchr(place, '{') == NULL;
}

/* May lines of others go to that place? Never where the stream goes itself */
bool
place_allowed(const SinkSettings *settings, const SinkKind *kind, const char *pattern, const char *place)
{
	const char *own = find_place(settings, kind);

	return own != NULL && pattern != NULL && is_safe(place) && strcmp(own, place) != 0 && matches(pattern, place);
}

/* The settings of a sink at another place, named in the buffer; false and a problem: it can have none of that name */
bool
place_settings(const SinkSettings *settings, const SinkKind *kind, const char *place,
			   Buffer *name, SinkSettings *made, Buffer *problem)
{
	const char *own = find_place(settings, kind);
	size_t		scheme = (size_t) (settings->target - settings->name);

	buffer_clear(name);
	buffer_append(name, settings->name, (size_t) (own - settings->name));
	buffer_text(name, place);
	*made = *settings;
	made->of_job = true;
	made->name = name->data;
	made->target = name->data + scheme;
	if (strcmp(find_place(made, kind), place) != 0)
		buffer_text(problem, "that is no name for it");
	return problem->length == 0 && (kind->check == NULL || kind->check(made, problem));
}
