/*
 * problems.c
 *		All that is wrong with a document, told at once: see problems.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "errors.h"
#include "problems.h"

/* A longer key is cut in a pointer: it was not written to be read. */
#define KEY_MAX 200

/* Append one token, "~" and "/" escaped. */
static void
append_token(StringInfo pointer, const Place *place)
{
	int			length;

	appendStringInfoChar(pointer, '/');
	if (place->key == NULL)
	{
		appendStringInfo(pointer, "%u", place->index);
		return;
	}

	length = place->length <= KEY_MAX ? place->length :
		pg_mbcliplen(place->key, place->length, KEY_MAX);
	for (int i = 0; i < length; i++)
	{
		if (place->key[i] == '~')
			appendStringInfoString(pointer, "~0");
		else if (place->key[i] == '/')
			appendStringInfoString(pointer, "~1");
		else
			appendStringInfoChar(pointer, place->key[i]);
	}
	if (length < place->length)
		appendStringInfoString(pointer, "...");
}

/* Append the tokens from the root down; a check's own depth bounds this one. */
static void
append_place(StringInfo pointer, const Place *place)
{
	if (place == NULL)
		return;
	append_place(pointer, place->parent);
	append_token(pointer, place);
}

/* Note a problem at a place; NULL is the whole document. */
void
add_problem(ProblemList *problems, const Place *place, const char *detail)
{
	StringInfoData pointer;
	Problem    *problem;

	if (problems->count++ >= PROBLEMS_MAX)
		return;

	initStringInfo(&pointer);
	append_place(&pointer, place);

	problem = palloc(sizeof(Problem));
	problem->pointer = pointer.data;
	problem->detail = pstrdup(detail);
	problems->shown = lappend(problems->shown, problem);
}

/* Say how many problems are not shown; NULL where all are. */
char *
problem_rest(const ProblemList *problems)
{
	int			rest = problems->count - list_length(problems->shown);

	return rest > 0 ? psprintf("and %d more", rest) : NULL;
}

/* Set the DETAIL of an error: a line for each problem, whatever is in its keys. */
int
errdetail_problems(const ProblemList *problems)
{
	StringInfoData lines;
	ListCell   *cell;
	char	   *rest = problem_rest(problems);

	initStringInfo(&lines);
	foreach(cell, problems->shown)
	{
		Problem    *problem = lfirst(cell);

		if (lines.len > 0)
			appendStringInfoChar(&lines, '\n');
		for (char *p = problem->pointer; *p; p++)
			appendStringInfoChar(&lines, (unsigned char) *p < ' ' ? ' ' : *p);
		appendStringInfo(&lines, ": %s", problem->detail);
	}
	if (rest)
		appendStringInfo(&lines, "\n%s", rest);

	return errdetail_internal("%s", lines.data);
}

/* Refuse a document, 400 stac-validation, if anything is wrong with it. */
void
report_problems(const ProblemList *problems, const char *table, const char *message)
{
	if (problems->count > 0)
		ereport(ERROR,
				(errproblem(PROBLEM_STAC_VALIDATION), errtable_of(table),
				 errmsg("%s", message),
				 errdetail_problems(problems)));
}
