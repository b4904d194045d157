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

/* What a type of problem is called, whatever the occasion. */
static const struct
{
	const char *slug;
	const char *title;
}			titles[] = {
	{"stac-validation", "Document is not what STAC and the catalogue ask"},
	{"operation-not-permitted", "Operation is never permitted"},
	{"bad-patch", "Patch is not well-formed"},
	{"bad-request", "Request is not well-formed"},
	{"identity-missing", "Gateway did not say for whom it acts"},
	{"missing-permission", "A right is missing"},
	{"item-does-not-exist", "Item does not exist"},
	{"collection-does-not-exist", "Collection does not exist"},
	{"replica-does-not-exist", "Replica does not exist"},
	{"version-pruned", "Version is not kept"},
	{"item-already-exists", "Item exists already"},
	{"collection-already-exists", "Collection exists already"},
	{"collection-not-empty", "Collection has items"},
	{"item-retracted", "Item is retracted"},
	{"institution-differs", "Dataset belongs to another institution"},
	{"content-changed", "Content of a file would change at one version"},
	{"replica-already-exists", "Replica exists already with other content"},
	{"replica-incomplete", "Replica does not cover every data file"},
	{"last-replica", "Replica is the last one"},
	{"patch-does-not-apply", "Patch does not apply to the item"},
	{"request-id-reused", "Idempotency key belongs to another request"},
	{"version-conflict", "Item has another version"},
	{"document-too-large", "Document is larger, or nested deeper, than it may be"},
	{"version-required", "A precondition is required"},
	{"unknown", "The database refused the change"}
};

/* The HTTP status of an error; 0 for one that is no answer but a failure. */
int
problem_status(const ErrorData *error)
{
	const char *state = unpack_sql_state(error->sqlerrcode);

	if (strncmp(state, "PT", 2) == 0)
		return atoi(state + 2);
	if (strncmp(state, "22", 2) == 0)
		return 400;
	if (strncmp(state, "23", 2) == 0)
		return 409;
	if (strncmp(state, "54", 2) == 0)
		return 413;
	return 0;
}

/* The slug of an error; those of the server have none of their own. */
static const char *
problem_slug(const ErrorData *error)
{
	const char *state = unpack_sql_state(error->sqlerrcode);

	if (strncmp(state, "PT", 2) == 0 && error->constraint_name)
		return error->constraint_name;
	if (strncmp(state, "54", 2) == 0)
		return "document-too-large";
	return strncmp(state, "22", 2) == 0 ? "bad-request" : "unknown";
}

/* The title of a slug. */
static const char *
problem_title(const char *slug)
{
	for (int i = 0; i < (int) lengthof(titles); i++)
		if (strcmp(titles[i].slug, slug) == 0)
			return titles[i].title;
	return slug;
}

/* Add a member unless it has no value. */
static void
push_if_given(JsonbParseState **state, const char *key, const char *value)
{
	if (value)
		push_string_member(state, key, value, strlen(value));
}

/* Add the list of what is wrong where. */
static void
push_errors(JsonbParseState **state, const Particulars *particulars)
{
	ListCell   *cell;

	push_key(state, "errors");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, particulars ? particulars->problems : NIL)
	{
		Problem    *problem = lfirst(cell);

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_if_given(state, "detail", problem->detail);
		push_if_given(state, "pointer", problem->pointer);
		push_if_given(state, "reason", problem->reason);
		push_if_given(state, "right", problem->right);
		push_if_given(state, "scope", problem->scope);
		push_if_given(state, "target", problem->target);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
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
	const char *slug = problem_slug(error);

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (particulars && particulars->has_version)
		push_number_member(&state, "current_version", particulars->current_version);
	push_if_given(&state, "detail", problem_detail(error, particulars));
	push_errors(&state, particulars);
	push_if_given(&state, "hint", error->hint);
	push_if_given(&state, "instance", instance);
	push_number_member(&state, "status", problem_status(error));
	push_if_given(&state, "title", problem_title(slug));
	push_if_given(&state, "type", psprintf(PROBLEM_TYPE_BASE "%s", slug));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
