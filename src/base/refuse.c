/*
 * base/refuse.c
 *		refuse(): the refusals of PL/pgSQL, which are those of C.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/problems.h"

PG_FUNCTION_INFO_V1(esgf_refuse);

/* An argument as a string; NULL is NULL. */
static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* Note the problems of an array {{pointer, detail}, ...}. */
static void
add_problems(ProblemList *problems, ArrayType *array)
{
	Datum	   *words;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &words, NULL, &count);
	for (int i = 0; i + 1 < count; i += 2)
		add_pointed_problem(problems, TextDatumGetCString(words[i]), TextDatumGetCString(words[i + 1]));
}

/* refuse(slug, table_name, message, problems, hint) */
Datum
esgf_refuse(PG_FUNCTION_ARGS)
{
	char	   *slug = text_argument(fcinfo, 0);
	char	   *table = text_argument(fcinfo, 1);
	char	   *message = text_argument(fcinfo, 2);
	char	   *hint = text_argument(fcinfo, 4);
	ProblemKind kind = slug ? problem_kind(slug) : PROBLEM_KIND_COUNT;
	ProblemList problems = {0};

	if (kind == PROBLEM_KIND_COUNT || table == NULL || message == NULL)
		elog(ERROR, "no refusal: %s of %s: %s", slug, table, message);
	if (!PG_ARGISNULL(3))
		add_problems(&problems, PG_GETARG_ARRAYTYPE_P(3));

	/*
	 * The context is where PL/pgSQL refuses, without the statement by which
	 * it calls.
	 */
	if (error_context_stack)
		error_context_stack = error_context_stack->previous;
	ereport(ERROR,
			(errproblem(kind), errtable_of(table),
			 errmsg_internal("%s", message),
			 problems.count > 0 ? errdetail_problems(&problems) : 0,
			 hint ? errhint("%s", hint) : 0));
	PG_RETURN_VOID();
}
