/*
 * verbs/problem_json.c
 *		Turns errors into problems of RFC 9457: see verbs/problem_json.h.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/problems.h"
#include "json/build.h"
#include "verbs/problem_json.h"

#define PROBLEM_TYPE_BASE "https://esgf.io/publication/errors/"

/* What the server's own errors are to a caller, by the class of their SQLSTATE. */
static const struct
{
	char		class[3];
	ProblemKind kind;
}			classes[] = {
	{"22", PROBLEM_BAD_REQUEST},
	{"23", PROBLEM_UNKNOWN},
	{"54", PROBLEM_DOCUMENT_TOO_LARGE}
};

/* What an error is that is told although it is no answer. */
static const ProblemFacts failure = {"unknown", 500, "The database failed to do it", NULL};

/* The facts of an error: of a site's own check those that it has; of a failure none. */
static ProblemFacts
facts_of(const ErrorData *error)
{
	const char *state = unpack_sql_state(error->sqlerrcode);
	ProblemFacts facts = {0};

	if (strncmp(state, "PT", 2) == 0)
	{
		ProblemKind kind;

		facts.slug = error->constraint_name ? error->constraint_name : problem_facts[PROBLEM_UNKNOWN].slug;
		facts.status = atoi(state + 2);
		kind = problem_kind(facts.slug);
		facts.title = kind < PROBLEM_KIND_COUNT ? problem_facts[kind].title : facts.slug;
	}
	for (int i = 0; i < (int) lengthof(classes); i++)
		if (strncmp(state, classes[i].class, 2) == 0)
			facts = problem_facts[classes[i].kind];
	return facts;
}

/* The HTTP status of an error; 0 for one that is no answer but a failure. */
int
problem_status(const ErrorData *error)
{
	return facts_of(error).status;
}

/* Add when to try again: seconds, or null where nobody knows. */
static void
push_retry_after(JsonbParseState **state, int64 retry_after)
{
	JsonbValue	null = {jbvNull};

	if (retry_after != RETRY_UNKNOWN)
	{
		push_number_member(state, "retry_after", retry_after);
		return;
	}
	push_key(state, "retry_after");
	pushJsonbValue(state, WJB_VALUE, &null);
}

/* What a person is to read, in one line: the message, and a DETAIL that is not the list of problems. */
static char *
problem_detail(const ErrorData *error, const Particulars *particulars)
{
	char	   *message = pstrdup(error->message);

	if (particulars && particulars->in_detail && particulars->rest)
		return without_controls(psprintf("%s: the first %d problems are told, %s", message, PROBLEMS_MAX, particulars->rest));
	if (error->detail == NULL || (particulars && particulars->in_detail))
		return without_controls(message);
	return without_controls(psprintf("%s: %s", message, error->detail));
}

/* An error as a problem; instance is a URI reference for the occasion. */
Jsonb *
problem_json(const ErrorData *error, const char *instance)
{
	JsonbParseState *state = NULL;
	const Particulars *particulars = particulars_of(error);
	ProblemFacts facts = facts_of(error);

	if (facts.status == 0)
		facts = failure;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (particulars && particulars->has_version)
		push_number_member(&state, "current_version", particulars->current_version);
	push_if_given(&state, "detail", problem_detail(error, particulars));
	push_key(&state, "errors");
	push_problems(&state, particulars ? particulars->problems : NIL, false);
	push_if_given(&state, "hint", error->hint);
	push_if_given(&state, "instance", instance);
	if (particulars && particulars->has_retry_after)
		push_retry_after(&state, particulars->retry_after);
	push_number_member(&state, "status", facts.status);
	push_if_given(&state, "title", facts.title);
	push_if_given(&state, "type", psprintf(PROBLEM_TYPE_BASE "%s", facts.slug));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
