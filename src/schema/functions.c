/*
 * schema/functions.c
 *		jsonb_schema_valid() and jsonb_schema_problems(): pure functions, which
 *		know no documents but the one they are given.
 *
 * call site	one call in one statement: it keeps the schemas that it has
 *				compiled, the latest first. A constant of the plan is always the
 *				first one; any other is recognised by its bytes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"

#include "schema/functions.h"
#include "schema/judge.h"

#define SCHEMAS_KEPT 8

typedef struct CallSite
{
	bool		constant;
	int			count;
	Schema	   *schemas[SCHEMAS_KEPT];
} CallSite;

/* Is the first argument a constant? get_fn_expr_arg_stable() also takes variables of PL/pgSQL for one. */
static bool
schema_is_constant(const FmgrInfo *function)
{
	const Node *call = function->fn_expr;

	return call && IsA(call, FuncExpr) && IsA(linitial(((const FuncExpr *) call)->args), Const);
}

static CallSite *
call_site(FunctionCallInfo fcinfo)
{
	FmgrInfo   *function = fcinfo->flinfo;

	if (function->fn_extra == NULL)
	{
		CallSite   *site = MemoryContextAllocZero(function->fn_mcxt, sizeof(CallSite));

		site->constant = schema_is_constant(function);
		function->fn_extra = site;
	}
	return function->fn_extra;
}

/* Put a schema first; those before it move back. */
static Schema *
put_first(CallSite *site, int place, Schema *schema)
{
	memmove(&site->schemas[1], &site->schemas[0], sizeof(Schema *) * place);
	site->schemas[0] = schema;
	return schema;
}

/* The schema of the first argument, compiled now or earlier. */
static Schema *
schema_argument(FunctionCallInfo fcinfo)
{
	CallSite   *site = call_site(fcinfo);
	SchemaSource source = {0};
	const Jsonb *document;
	Schema	   *schema;

	if (site->constant && site->count > 0)
		return site->schemas[0];
	document = PG_GETARG_JSONB_P(0);
	for (int i = 0; i < site->count; i++)
	{
		schema = site->schemas[i];
		if (VARSIZE(schema->document) == VARSIZE(document) && memcmp(schema->document, document, VARSIZE(document)) == 0)
			return put_first(site, i, schema);
	}
	source.document = document;
	schema = compile_schema(&source, fcinfo->flinfo->fn_mcxt, NULL, NULL);
	if (site->count == SCHEMAS_KEPT)
		MemoryContextDelete(site->schemas[--site->count]->context);
	return put_first(site, site->count++, schema);
}

/* jsonb_schema_valid(schema jsonb, document jsonb) -> boolean */
PG_FUNCTION_INFO_V1(jsonb_schema_valid);
Datum
jsonb_schema_valid(PG_FUNCTION_ARGS)
{
	Schema	   *schema = schema_argument(fcinfo);
	JsonbSlice	document;

	slice_of_jsonb(PG_GETARG_JSONB_P(1), &document);
	PG_RETURN_BOOL(schema_allows(schema, &document));
}

/* Answer with a row for each problem, and one for the rest. */
void
put_problem_rows(FunctionCallInfo fcinfo, const ProblemList *problems)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	ListCell   *cell;
	char	   *rest = problem_rest(problems);

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, problems->shown)
	{
		Problem    *problem = lfirst(cell);

		values[0] = CStringGetTextDatum(problem->pointer);
		values[1] = CStringGetTextDatum(problem->keyword);
		values[2] = CStringGetTextDatum(problem->detail);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	if (rest)
	{
		nulls[0] = nulls[1] = true;
		values[2] = CStringGetTextDatum(rest);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* jsonb_schema_problems(schema jsonb, document jsonb) -> setof (pointer, keyword, detail) */
PG_FUNCTION_INFO_V1(jsonb_schema_problems);
Datum
jsonb_schema_problems(PG_FUNCTION_ARGS)
{
	ProblemList problems = {0};
	JsonbSlice	document;

	slice_of_jsonb(PG_GETARG_JSONB_P(1), &document);
	list_schema_problems(schema_argument(fcinfo), &document, &problems);
	put_problem_rows(fcinfo, &problems);
	return (Datum) 0;
}
