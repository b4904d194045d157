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
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (scheme_is(name, kinds[i]->scheme, target))
			return kinds[i];
	return NULL;
}

/* Are all options that were given in that list, which NULL ends? */
bool
sink_options_known(const SinkSettings *settings, const char *const *names, Buffer *problem)
{
	const char *unknown = pairs_unknown(&settings->options, names);

	if (unknown != NULL)
		buffer_printf(problem, "the sink has no option %s", unknown);
	return unknown == NULL;
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
