/*
 * problem_json.c
 *		Turns errors into problems of RFC 9457: see problem_json.h.
 */
#include "postgres.h"

#include "access.h"
#include "compat.h"
#include "json_build.h"
#include "problem_json.h"

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
	return 0;
}

/* The slug of an error; those of the server have none of their own. */
static const char *
problem_slug(const ErrorData *error)
{
	const char *state = unpack_sql_state(error->sqlerrcode);

	if (strncmp(state, "PT", 2) == 0 && error->constraint_name)
		return error->constraint_name;
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

/* Is a line of DETAIL "<JSON pointer>: <sentence>"? Then tell where the sentence begins. */
static const char *
pointed_sentence(const char *line, int len)
{
	const char *found = NULL;

	if (len == 0 || (line[0] != '/' && line[0] != ':'))
		return NULL;
	for (int i = 0; i + 1 < len; i++)
		if (line[i] == ':' && line[i + 1] == ' ')
			found = line + i + 2;
	return found;
}

/* Add one element to errors for each line of DETAIL that points somewhere. */
static void
push_errors(JsonbParseState **state, const char *detail)
{
	const char *line = detail ? detail : "";

	while (*line)
	{
		int			len = strcspn(line, "\n");
		const char *sentence = pointed_sentence(line, len);

		if (sentence)
		{
			pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
			push_string_member(state, "detail", sentence, len - (sentence - line));
			push_string_member(state, "pointer", line, sentence - line - 2);
			pushJsonbValue(state, WJB_END_OBJECT, NULL);
		}
		line += len + (line[len] == '\n');
	}
}

/* Add one element to errors for each part of a change that was not permitted. */
static void
push_refused_parts(JsonbParseState **state)
{
	ListCell   *cell;

	foreach(cell, refused_parts())
	{
		Part	   *part = lfirst(cell);
		const char *right = role_names[part->roles[0]];
		const char *scope = scope_names[part->scope];
		char	   *sentence = describe_refused_part(part);

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_string_member(state, "detail", sentence, strlen(sentence));
		push_string_member(state, "pointer", part->pointer, strlen(part->pointer));
		push_string_member(state, "reason", part->reason, strlen(part->reason));
		push_string_member(state, "right", right, strlen(right));
		push_string_member(state, "scope", scope, strlen(scope));
		push_string_member(state, "target", part->target, strlen(part->target));
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
}

/* What a person is to read: the message, and a DETAIL that points nowhere. */
static char *
problem_detail(const ErrorData *error)
{
	if (error->detail == NULL || pointed_sentence(error->detail, strcspn(error->detail, "\n")))
		return error->message;
	return psprintf("%s: %s", error->message, error->detail);
}

/* An error as a problem; instance is a URI reference for the occasion. */
Jsonb *
problem_json(const ErrorData *error, const char *instance)
{
	JsonbParseState *state = NULL;
	const char *slug = problem_slug(error);
	char	   *type = psprintf(PROBLEM_TYPE_BASE "%s", slug);
	char	   *detail = problem_detail(error);

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_string_member(&state, "detail", detail, strlen(detail));
	push_key(&state, "errors");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	if (strcmp(slug, "missing-permission") == 0)
		push_refused_parts(&state);
	else
		push_errors(&state, error->detail);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	push_string_member(&state, "instance", instance, strlen(instance));
	push_number_member(&state, "status", problem_status(error));
	push_string_member(&state, "title", problem_title(slug), strlen(problem_title(slug)));
	push_string_member(&state, "type", type, strlen(type));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
