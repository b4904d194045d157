/*
 * verbs/outcome.c
 *		Performs many tasks of one call, each by itself: see verbs/outcome.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "base/compat.h"
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
		return psprintf("/requests/%d", outcome->ordinal);
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
perform_together(Outcome **outcomes, int first, int end, Performer perform)
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
	if (problem_status(error) == 0)
		ReThrowError(error);
	outcomes[current]->status = problem_status(error);
	outcomes[current]->problem = problem_json(error, outcome_instance(outcomes[current]));
	return current;
}

/*
 * Perform tasks of which each stands alone. Most calls meet no refusal, and
 * many subtransactions slow every backend: so as many tasks as will go are
 * performed in one, and only those before a refusal are performed again.
 */
void
perform_apart(Outcome **outcomes, int count, Performer perform)
{
	int			first = 0;

	while (first < count)
	{
		int			end = count;
		int			refused;

		while (first < end && (refused = perform_together(outcomes, first, end, perform)) < end)
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
