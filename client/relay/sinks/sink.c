/*
 * sink.c
 *		The kinds of sinks that this program was built with.
 */
#include "sinks/sink.h"

#include <stdio.h>
#include <string.h>

static const SinkKind *const kinds[] = {
	&sink_ndjson,
	&sink_postgres,
#ifdef WITH_KAFKA
	&sink_kafka,
#endif
#ifdef WITH_CURL
	&sink_opensearch,
	&sink_http,
	&sink_https,
#endif
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* Find the kind that scheme:target names, and where its target begins */
const SinkKind *
sink_find(const char *name, const char **target)
{
	const char *colon = strchr(name, ':');

	if (colon == NULL || colon[1] == '\0')
		return NULL;
	for (size_t i = 0; i < KIND_COUNT; i++)
	{
		if (strlen(kinds[i]->scheme) == (size_t) (colon - name) &&
			strncmp(kinds[i]->scheme, name, (size_t) (colon - name)) == 0)
		{
			*target = colon + 1;
			return kinds[i];
		}
	}
	return NULL;
}

/* The value of an option; NULL if it was not given */
const char *
sink_option(const SinkSettings *settings, const char *name)
{
	const char *value = NULL;

	for (int i = 0; i < settings->options.count; i++)
		if (strcmp(settings->options.list[i].name, name) == 0)
			value = settings->options.list[i].value;
	return value;
}

/* Are all options that were given in that list, which NULL ends? */
bool
sink_options_known(const SinkSettings *settings, const char *const *names, Buffer *problem)
{
	for (int i = 0; i < settings->options.count; i++)
	{
		const char *const *name = names;

		while (*name != NULL && strcmp(*name, settings->options.list[i].name) != 0)
			name++;
		if (*name == NULL)
		{
			buffer_printf(problem, "the sink has no option %s", settings->options.list[i].name);
			return false;
		}
	}
	return true;
}

/*
 * A sink that waits for its server calls this several times a second, with a
 * problem if it knows of one: without, the server is merely slow. False: the
 * sink is to give up, and fail.
 */
bool
sink_waits(Sink *sink, Wait *wait, const char *problem)
{
	return sink->waits(sink->owner, wait, problem);
}

/* Print what --sink may be */
void
sink_help(void)
{
	printf("\nSinks:\n");
	for (size_t i = 0; i < KIND_COUNT; i++)
		printf("  %s\n", kinds[i]->syntax);
}

/* Print, on a line, which sinks this program has */
void
sink_list(void)
{
	printf("sinks:");
	for (size_t i = 0; i < KIND_COUNT; i++)
		printf(" %s", kinds[i]->scheme);
	printf("\n");
}
