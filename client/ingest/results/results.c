/*
 * results.c
 *		The kinds of results that this program was built with, and what they share.
 */
#include "ingest/results/results.h"

#include "lib/log.h"

static const ResultsKind *const kinds[] = {
	&results_ndjson,
#ifdef WITH_KAFKA
	&results_kafka,
#endif
};

/* Find the kind that scheme:target names, and where its target begins */
const ResultsKind *
results_find(const char *name, const char **target)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (scheme_is(name, kinds[i]->scheme, target))
			return kinds[i];
	return NULL;
}

/* Where an outcome goes: {outcome} says which one it is */
void
results_target(Buffer *name, const char *target, bool success)
{
	const Placeholder known[] = {{"{outcome}", success ? "success" : "error"}, {NULL, NULL}};

	template_expand(name, target, known);
}

bool
results_target_valid(const char *target)
{
	const Placeholder known[] = {{"{outcome}", NULL}, {NULL, NULL}};

	return template_valid(target, known);
}

/* Whoever takes results does not answer, or is known to be in trouble; false: give up */
bool
results_wait(Results *results, Wait *wait, const char *problem)
{
	wait_attend();
	if (wait_tell_due(wait))
	{
		results->down = problem != NULL;
		if (problem != NULL && results->no_loop)
			return false;
		if (problem != NULL)
			log_line(LOG_ERROR, "results are down: %s", problem);
		else
			log_line(LOG_WARNING, "waiting for results to be acknowledged, for %d s now", wait_seconds(wait));
	}
	return !stop_due() && !(stop_requested && results->down);
}
