/*
 * base/problems.c
 *		All that is wrong with what was sent, told at once: see base/problems.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/problems.h"

/* A longer key is cut in a pointer: it was not written to be read. */
#define KEY_MAX 200

/* Those of the last refusal; NULL if it had none. */
static Particulars *particulars = NULL;

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

/* The pointer of a place; NULL is the whole document. */
char *
place_pointer(const Place *place)
{
	StringInfoData pointer;

	initStringInfo(&pointer);
	append_place(&pointer, place);
	return pointer.data;
}

/* Is a problem at that place one that is to be noted? */
bool
is_asked_for(const ProblemList *problems, const Place *place)
{
	const Place *below = NULL;

	if (problems->member == NULL)
		return true;
	while (place && place->parent)
	{
		below = place;
		place = place->parent;
	}
	return below && below->key == NULL && below->index >= problems->first_element &&
		place->length == (int) strlen(problems->member) && memcmp(place->key, problems->member, place->length) == 0;
}

/* Note a problem at a place. */
void
add_problem(ProblemList *problems, const Place *place, const char *detail)
{
	if (!is_asked_for(problems, place))
		return;
	if (problems->count < PROBLEMS_MAX)
		add_pointed_problem(problems, place_pointer(place), detail);
	else
		problems->count++;
}

/* Note a problem at a pointer; answers it, or NULL where it is only counted. */
Problem *
add_pointed_problem(ProblemList *problems, const char *pointer, const char *detail)
{
	Problem    *problem;

	if (problems->count++ >= PROBLEMS_MAX)
		return NULL;

	problem = palloc0(sizeof(Problem));
	problem->pointer = pstrdup(pointer);
	problem->detail = pstrdup(detail);
	problems->shown = lappend(problems->shown, problem);
	return problem;
}

/* Say how many problems are not shown; NULL where all are. */
char *
problem_rest(const ProblemList *problems)
{
	uint64		rest = problems->count - list_length(problems->shown);

	return rest > 0 ? psprintf("and " UINT64_FORMAT " more", rest) : NULL;
}

/* There are none any more: the transaction has ended, or another refusal came. */
static void
forget_particulars(void *arg)
{
	particulars = NULL;
}

/* Keep the particulars of the error that is being reported, which has this DETAIL. */
static Particulars *
keep_particulars(const char *detail, const ProblemList *problems)
{
	static MemoryContextCallback callback = {forget_particulars};
	MemoryContext context;
	MemoryContext old;
	ListCell   *cell;
	Particulars *kept;

	if (particulars)
		MemoryContextDelete(GetMemoryChunkContext(particulars));
	context = AllocSetContextCreate(TopTransactionContext, "esgf_stac particulars of a refusal", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	kept = palloc0(sizeof(Particulars));
	kept->detail = pstrdup(detail);
	foreach(cell, problems ? problems->shown : NIL)
	{
		Problem    *problem = palloc(sizeof(Problem));

		*problem = *(Problem *) lfirst(cell);
		problem->pointer = pstrdup(problem->pointer);
		problem->detail = pstrdup(problem->detail);
		problem->target = problem->target ? pstrdup(problem->target) : NULL;
		problem->url = problem->url ? pstrdup(problem->url) : NULL;
		kept->problems = lappend(kept->problems, problem);
	}
	kept->rest = problems ? problem_rest(problems) : NULL;
	MemoryContextSwitchTo(old);
	MemoryContextRegisterResetCallback(context, &callback);
	particulars = kept;
	return kept;
}

/* The particulars of an error, or NULL. */
const Particulars *
particulars_of(const ErrorData *error)
{
	if (particulars == NULL || error->detail == NULL || strcmp(error->detail, particulars->detail) != 0)
		return NULL;
	return particulars;
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
		char	   *line = psprintf("%s: %s", problem->pointer, problem->detail);

		appendStringInfo(&lines, "%s%s", lines.len > 0 ? "\n" : "", without_controls(line));
	}
	if (rest)
		appendStringInfo(&lines, "\n%s", rest);

	keep_particulars(lines.data, problems)->in_detail = true;
	return errdetail_internal("%s", lines.data);
}

/* Set the DETAIL of an error that has one problem, at a place. */
int
errdetail_place(const Place *place, const char *detail)
{
	return errdetail_pointer(place_pointer(place), detail);
}

/* Set the DETAIL of an error that has one problem, at a pointer. */
int
errdetail_pointer(const char *pointer, const char *detail)
{
	ProblemList problems = {0};

	add_pointed_problem(&problems, pointer, detail);
	return errdetail_problems(&problems);
}

/* Set a DETAIL that says more than the list of problems. */
int
errdetail_beside(const ProblemList *problems, const char *detail)
{
	keep_particulars(detail, problems);
	return errdetail_internal("%s", detail);
}

/* Set a DETAIL about the version that an item has; 0 is none. */
int
errdetail_version(int64 current_version, const char *detail)
{
	Particulars *kept = keep_particulars(detail, NULL);

	kept->has_version = true;
	kept->current_version = current_version;
	return errdetail_internal("%s", detail);
}

/* Set a DETAIL about when to try again: in so many seconds, or RETRY_UNKNOWN. */
int
errdetail_retry(int64 retry_after, const char *detail)
{
	Particulars *kept = keep_particulars(detail, NULL);

	kept->has_retry_after = true;
	kept->retry_after = retry_after;
	return errdetail_internal("%s", detail);
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
