/*
 * verbs/outcome.c
 *		Performs many tasks of one call, each by itself: see verbs/outcome.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/resowner.h"

#include "base/compat.h"
#include "json/build.h"
#include "json/edit.h"
#include "verbs/outcome.h"
#include "verbs/problem_json.h"

/* Append text to a URL's path; what is not plain is percent-encoded. */
static void
append_url_segment(StringInfo url, const text *segment)
{
	for (const char *c = VARDATA_ANY(segment); c < VARDATA_ANY(segment) + VARSIZE_ANY_EXHDR(segment); c++)
	{
		if (isalnum((unsigned char) *c) || strchr("-._~:", *c))
			appendStringInfoChar(url, *c);
		else
			appendStringInfo(url, "%%%02X", (unsigned char) *c);
	}
}

/* What a problem is about, as a reference to a resource. */
static char *
outcome_instance(const Outcome *outcome)
{
	StringInfoData instance;

	if (outcome->collection_id == NULL || outcome->item_id == NULL)
		return outcome->place ? pstrdup(outcome->place) : psprintf("/requests/%d", outcome->ordinal);
	initStringInfo(&instance);
	appendStringInfoString(&instance, "/collections/");
	append_url_segment(&instance, outcome->collection_id);
	appendStringInfoString(&instance, "/items/");
	append_url_segment(&instance, outcome->item_id);
	return instance.data;
}

/*
 * Perform tasks from first to before end in one subtransaction. Answers the
 * first that is refused, its problem noted and all of them undone; end if none
 * is.
 */
static int
perform_together(Outcome **outcomes, int first, int end, Performer perform, RefusalStatus status_of)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int current = first;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		for (; current < end; current++)
			perform(outcomes[current]);
		ReleaseCurrentSubTransaction();
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
	if (error == NULL)
		return current;

	/*
	 * Thrown on only now: whoever catches it ends one subtransaction, his
	 * own.
	 */
	outcomes[current]->status = status_of(error);
	if (outcomes[current]->status == 0)
		ReThrowError(error);
	outcomes[current]->problem = problem_json(error, outcome_instance(outcomes[current]));
	return current;
}

/*
 * Perform tasks of which each stands alone. Most calls meet no refusal, and
 * many subtransactions slow every backend: so as many tasks as will go are
 * performed in one, and only those before a refusal are performed again.
 */
void
perform_apart(Outcome **outcomes, int count, Performer perform, RefusalStatus status_of)
{
	int			first = 0;

	while (first < count)
	{
		int			end = count;
		int			refused;

		while (first < end && (refused = perform_together(outcomes, first, end, perform, status_of)) < end)
			end = refused;
		first = end + 1;
	}
}

/* Did what was done leave an event? An import leaves none. */
static bool
has_event(const Receipt *receipt)
{
	static const pg_uuid_t none = {{0}};

	return receipt->changed && memcmp(&receipt->event_id, &none, UUID_LEN) != 0;
}

/* Add a member that is a string, or null. */
static void
push_text(JsonbParseState **state, const char *key, const char *value, int len)
{
	JsonbValue	null = {jbvNull};

	if (value)
		push_string_member(state, key, value, len);
	else
	{
		push_key(state, key);
		pushJsonbValue(state, WJB_VALUE, &null);
	}
}

/* Add the members of a row of type outcome, but for its ordinal. */
void
push_outcome(JsonbParseState **state, const Outcome *outcome)
{
	const Receipt *receipt = &outcome->receipt;
	bool		refused = outcome->problem != NULL;
	const char *action = !refused && receipt->changed ? receipt->action : NULL;
	const char *event_id = !refused && has_event(receipt) ?
	DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&receipt->event_id))) : NULL;
	JsonbValue	value;

	push_text(state, "action", action, action ? strlen(action) : 0);
	push_key(state, "changed");
	value.type = refused ? jbvNull : jbvBool;
	value.val.boolean = receipt->changed;
	pushJsonbValue(state, WJB_VALUE, &value);
	push_text(state, "collection_id", outcome->collection_id ? VARDATA_ANY(outcome->collection_id) : NULL,
			  outcome->collection_id ? VARSIZE_ANY_EXHDR(outcome->collection_id) : 0);
	push_text(state, "event_id", event_id, event_id ? strlen(event_id) : 0);
	push_text(state, "item_id", outcome->item_id ? VARDATA_ANY(outcome->item_id) : NULL,
			  outcome->item_id ? VARSIZE_ANY_EXHDR(outcome->item_id) : 0);
	push_key(state, "problem");
	value.type = jbvNull;
	if (refused)
	{
		value.type = jbvBinary;
		value.val.binary.data = &outcome->problem->root;
		value.val.binary.len = VARSIZE(outcome->problem) - VARHDRSZ;
	}
	pushJsonbValue(state, WJB_VALUE, &value);
	push_number_member(state, "status", outcome->status);
	if (refused || receipt->version == 0)
		push_text(state, "version", NULL, 0);
	else
		push_number_member(state, "version", receipt->version);
}

/* A string of an outcome that was told, or NULL. */
static char *
told_string(const Jsonb *told, const char *member)
{
	JsonKey		key = {member, strlen(member)};
	JsonbValue	value;

	return document_get(&told->root, &value, 1, &key) && value.type == jbvString ?
		pnstrdup(value.val.string.val, value.val.string.len) : NULL;
}

/* A number of an outcome that was told, or 0. */
static int64
told_number(const Jsonb *told, const char *member)
{
	JsonKey		key = {member, strlen(member)};
	JsonbValue	value;

	return document_get(&told->root, &value, 1, &key) && value.type == jbvNumeric ?
		DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric))) : 0;
}

/* Answer as push_outcome() has told of another task. (0.1.0 did not tell the collection, nor what is null.) */
void
recall_outcome(Outcome *outcome, const Jsonb *told)
{
	char	   *collection_id = told_string(told, "collection_id");
	char	   *item_id = told_string(told, "item_id");
	char	   *event_id = told_string(told, "event_id");
	JsonbValue	problem;

	outcome->status = (int) told_number(told, "status");
	outcome->collection_id = collection_id ? cstring_to_text(collection_id) : outcome->collection_id;
	outcome->item_id = item_id ? cstring_to_text(item_id) : outcome->item_id;
	outcome->receipt.version = told_number(told, "version");
	outcome->receipt.action = told_string(told, "action");
	outcome->receipt.changed = outcome->receipt.action != NULL;
	if (event_id)
		outcome->receipt.event_id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(event_id)));
	if (document_get(&told->root, &problem, JSON_PATH(JSON_KEY("problem"))) && problem.type == jbvBinary)
		outcome->problem = JsonbValueToJsonb(&problem);
}

/* Answer with one row for each task. */
Datum
return_outcomes(FunctionCallInfo fcinfo, Outcome **outcomes, int count)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		const Outcome *outcome = outcomes[i];
		const Receipt *receipt = &outcome->receipt;
		bool		refused = outcome->problem != NULL;
		Datum		values[9];
		bool		nulls[9];

		values[0] = Int32GetDatum(outcome->ordinal);
		values[1] = Int32GetDatum(outcome->status);
		values[2] = PointerGetDatum(outcome->collection_id);
		values[3] = PointerGetDatum(outcome->item_id);
		values[4] = Int64GetDatum(receipt->version);
		values[5] = BoolGetDatum(receipt->changed);
		values[6] = receipt->changed ? CStringGetTextDatum(receipt->action) : (Datum) 0;
		values[7] = UUIDPGetDatum(&receipt->event_id);
		values[8] = PointerGetDatum(outcome->problem);
		nulls[0] = nulls[1] = false;
		nulls[2] = outcome->collection_id == NULL;
		nulls[3] = outcome->item_id == NULL;
		nulls[4] = refused || receipt->version == 0;
		nulls[5] = refused;
		nulls[6] = refused || !receipt->changed;
		nulls[7] = refused || !has_event(receipt);
		nulls[8] = !refused;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
