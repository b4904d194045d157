/*
 * verbs/explain.c
 *		explain_access(): which rights would a request need, and who holds them?
 *
 * The change is made and judged, and ended there by an error that is caught
 * here, in a subtransaction that is rolled back. To set a rule of replication is
 * no change of an item, and judged as it stands.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "access/identity.h"
#include "access/judge.h"
#include "base/bytes.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/problems.h"
#include "json/edit.h"
#include "json/slice.h"
#include "verbs/request.h"
#include "verbs/transact.h"

PG_FUNCTION_INFO_V1(esgf_explain_access);

/* Make a change in a subtransaction only to have it judged. */
static void
make_to_be_judged(const JsonbValue *request, Explanation *explanation)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		perform_to_be_judged(request, explanation);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	/*
	 * Thrown on only now: whoever catches it ends one subtransaction, his
	 * own.
	 */
	if (error && error->sqlerrcode != ERRCODE_JUDGED)
		ReThrowError(error);
}

/* Is a request to set a rule of replication? transact() knows none. */
static bool
is_rule_request(const Jsonb *request)
{
	JsonbValue	method;

	return JB_ROOT_IS_OBJECT(request) &&
		document_get(&request->root, &method, JSON_PATH(JSON_KEY("method"))) &&
		method.type == jbvString && bytes_are(method.val.string.val, method.val.string.len, "SET_REPLICATION_RULE");
}

/* The collections that such a request names; NIL: any. */
static List *
requested_collections(const JsonbSlice *value)
{
	List	   *collections = NIL;
	JsonbCursor ids;
	JsonbSlice	id;

	if (value->type == JENTRY_ISNULL)
		return NIL;
	if (!slice_is_array(value) || JsonContainerSize(slice_container(value)) == 0)
		bad_request("collections", "must be a list of collection ids, or null");
	cursor_init(&ids, slice_container(value), 0);
	while (elements_next(&ids, &id))
	{
		CHECK_FOR_INTERRUPTS();
		if (id.type != JENTRY_ISSTRING)
			bad_request("collections", "must be a list of collection ids, or null");
		collections = lappend(collections, pnstrdup(slice_key(&id).data, slice_key(&id).len));
	}
	return collections;
}

/* Judge a request to set a rule of replication. */
static void
judge_rule_request(const Jsonb *request, Explanation *explanation)
{
	MemberCursor members;
	char	   *node = NULL;
	List	   *collections = NIL;

	members_init(&members, &request->root);
	while (members_next(&members))
	{
		JsonKey		name = slice_key(&members.key);

		if (keys_equal(name, (JsonKey) JSON_KEY("collections")))
			collections = requested_collections(&members.value);
		else if (keys_equal(name, (JsonKey) JSON_KEY("node")) && members.value.type == JENTRY_ISSTRING)
			node = pnstrdup(slice_key(&members.value).data, slice_key(&members.value).len);
		else if (!keys_equal(name, (JsonKey) JSON_KEY("method")))
			bad_request(pnstrdup(name.data, name.len), "does not go with this method");
	}
	if (node == NULL)
		bad_request("node", "must be a string");
	judge_replication_rule(node, collections, explanation);
}

/* Answer with one row for each part. */
static void
return_parts(FunctionCallInfo fcinfo, List *parts)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, parts)
	{
		Part	   *part = lfirst(cell);
		Datum		values[7];
		bool		nulls[7] = {false};

		values[0] = CStringGetTextDatum(role_names[part->grant.role]);
		values[1] = CStringGetTextDatum(scope_names[part->scope]);
		values[2] = CStringGetTextDatum(part->target);
		values[3] = BoolGetDatum(part->granted);
		values[4] = Int64GetDatum(part->grant.rule_id);
		values[5] = CStringGetTextDatum(part->pointer);
		values[6] = part->reason ? CStringGetTextDatum(part->reason) : (Datum) 0;
		nulls[4] = part->grant.rule_id == 0;
		nulls[6] = part->reason == NULL;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* Tell an administrator what would give the rights that are missing. */
static void
advise(List *parts, List *principals)
{
	int			count = 0;
	ListCell   *cell;

	foreach(cell, parts)
	{
		Part	   *part = lfirst(cell);

		if (part->reason && strcmp(part->reason, "no-right") == 0 && count++ < PROBLEMS_MAX)
			ereport(NOTICE,
					(errsentence("%s", describe_refused_part(part)),
					 errhint("%s", grant_call(part, principals))));
	}
}

/* explain_access(request, identity) */
Datum
esgf_explain_access(PG_FUNCTION_ARGS)
{
	Jsonb	   *request;
	JsonbValue	source;
	Explanation explanation = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must not be null", "request"),
				 errhint("Give it a request as transact() takes it.")));
	request = PG_GETARG_JSONB_P(0);
	if (!PG_ARGISNULL(1) && !is_administrator())
		ereport(ERROR,
				(errforbidden(), errtable_of("access_rule"),
				 errmsg("only an administrator asks about others"),
				 errhint("Leave out the identity to ask about yourself.")));
	require_writable_catalogue();
	require_identity();
	if (PG_ARGISNULL(1))
	{
		explanation.administrator = is_administrator();
		explanation.principals = current_principals();
	}
	else
	{
		check_identity(PG_GETARG_JSONB_P(1), false);
		explanation.principals = principals_of(PG_GETARG_JSONB_P(1));
	}
	explanation.context = CurrentMemoryContext;
	source.type = jbvBinary;
	source.val.binary.data = &request->root;
	source.val.binary.len = VARSIZE(request) - VARHDRSZ;
	if (is_rule_request(request))
		judge_rule_request(request, &explanation);
	else
		make_to_be_judged(&source, &explanation);
	if (is_administrator())
		advise(explanation.parts, explanation.principals);
	if (explanation.left_out > 0)
		ereport(NOTICE,
				(errmsg("and " UINT64_FORMAT " more parts, which are not shown", explanation.left_out)));
	return_parts(fcinfo, explanation.parts);
	return (Datum) 0;
}
