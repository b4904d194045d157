/*
 * verbs/transact.c
 *		transact(): many requests in one call.
 *
 * Turn: a request of the array and what became of it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "access/identity.h"
#include "access/maintenance.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "json/edit.h"
#include "json/text_size.h"
#include "verbs/lock.h"
#include "verbs/outcome.h"
#include "verbs/perform.h"
#include "verbs/problem_json.h"
#include "verbs/request.h"
#include "verbs/request_key.h"
#include "verbs/transact.h"

#define MAX_REQUESTS 1000

typedef struct Turn
{
	Outcome		outcome;
	JsonbValue	source;
	ItemRequest request;
	RequestKey *key;			/* NULL: it has none */
	const Maintenance *maintenance; /* for which it is refused; NULL: none */
} Turn;

PG_FUNCTION_INFO_V1(esgf_transact);

/* Find out which items the requests concern, of those that say so. */
static List *
peek_at_all(Outcome **outcomes, int count)
{
	List	   *requests = NIL;

	for (int i = 0; i < count; i++)
	{
		Turn	   *turn = (Turn *) outcomes[i];
		ItemRequest *request = palloc(sizeof(ItemRequest));

		if (peek_at_request(&turn->source, request))
			requests = lappend(requests, request);
		request->outcome = &turn->outcome;
		turn->outcome.collection_id = request->collection_id;
		turn->outcome.item_id = request->item_id;
	}
	return requests;
}

/* Enter the idempotency keys of all requests that have a proper one, and can be printed to be remembered. */
static void
enter_all_keys(Outcome **outcomes, int count)
{
	List	   *keys = NIL;

	for (int i = 0; i < count; i++)
	{
		Turn	   *turn = (Turn *) outcomes[i];
		text	   *request_id;

		if (turn->source.type != jbvBinary || !JsonContainerIsObject(turn->source.val.binary.data))
			continue;
		request_id = peek_at_string(turn->source.val.binary.data, JSON_PATH(JSON_KEY("request_id")));
		if (request_id == NULL || request_id_problem(request_id) || value_exceeds(&turn->source, REQUEST_MAX))
			continue;
		turn->key = make_request_key(request_id, &turn->source);
		keys = lappend(keys, turn->key);
	}
	enter_keys(keys);
}

/* Forget the keys of the requests that were refused. */
static void
forget_refused_keys(Outcome **outcomes, int count)
{
	for (int i = 0; i < count; i++)
		if (outcomes[i]->problem && ((Turn *) outcomes[i])->key)
			forget_unanswered_key(((Turn *) outcomes[i])->key);
}

/* What a turn came to, as it is remembered under its idempotency key. */
static Jsonb *
outcome_json(const Outcome *outcome)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_outcome(&state, outcome);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Take one turn; a refusal is an error. */
static void
take_turn(Outcome *outcome)
{
	Turn	   *turn = (Turn *) outcome;
	Jsonb	   *remembered;

	CHECK_FOR_INTERRUPTS();
	read_request(&turn->source, &turn->request);
	if (turn->request.request_id && turn->key == NULL)
		document_too_large("request", REQUEST_MAX);
	remembered = turn->key ? remembered_outcome(turn->key) : NULL;
	if (remembered)
		recall_outcome(outcome, remembered);
	else
	{
		perform_task(outcome, &turn->request);
		if (turn->key)
			remember_outcome(turn->key, outcome_json(outcome));
	}
}

/* Perform one request by itself, only to have it judged; it leaves no idempotency key. */
void
perform_to_be_judged(const JsonbValue *source, Explanation *explanation)
{
	ItemRequest request;

	read_request(source, &request);
	request.occasion.explanation = explanation;
	perform_item_request(&request);
}

/* Take no turn: the catalogue is in maintenance. */
static void
refuse_turn(Outcome *outcome)
{
	refuse_in_maintenance(((Turn *) outcome)->maintenance);
}

/* Refuse each turn by itself; nobody is waited for. */
static void
refuse_all(Outcome **outcomes, int count, const Maintenance *maintenance)
{
	for (int i = 0; i < count; i++)
		((Turn *) outcomes[i])->maintenance = maintenance;
	perform_apart(outcomes, count, refuse_turn, problem_status);
}

/* Is this a list of requests? */
static bool
is_request_list(const Jsonb *requests)
{
	return requests && JB_ROOT_IS_ARRAY(requests) && !JB_ROOT_IS_SCALAR(requests) && JB_ROOT_COUNT(requests) <= MAX_REQUESTS;
}

/* The requests as turns. */
static Outcome **
read_turns(const Jsonb *requests, int *count)
{
	Outcome   **outcomes;
	JsonbCursor elements;
	JsonbSlice	request;

	*count = JB_ROOT_COUNT(requests);
	cursor_init(&elements, &requests->root, 0);
	outcomes = palloc(sizeof(Outcome *) * Max(1, *count));
	for (int i = 0; i < *count; i++)
	{
		Turn	   *turn = palloc0(sizeof(Turn));

		turn->outcome.ordinal = i + 1;
		cursor_next(&elements, &request);
		slice_to_value(&request, &turn->source);
		outcomes[i] = &turn->outcome;
	}
	return outcomes;
}

/* transact(requests, atomic, identity) */
Datum
esgf_transact(PG_FUNCTION_ARGS)
{
	const Jsonb *list = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	const Maintenance *maintenance;
	Outcome   **outcomes;
	int			count;
	List	   *requests;
	List	   *made;

	if (!PG_ARGISNULL(2))
		set_transaction_identity(PG_GETARG_JSONB_P(2));
	maintenance = maintenance_for_caller();
	if (maintenance && (!is_request_list(list) || PG_ARGISNULL(1) || PG_GETARG_BOOL(1)))
		refuse_in_maintenance(maintenance);
	if (!is_request_list(list))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("requests must be an array of at most %d", MAX_REQUESTS),
				 errhint("Send a longer list in several calls.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must not be null", "atomic"),
				 errhint("True is all or nothing; false lets each request stand alone.")));
	outcomes = read_turns(list, &count);
	requests = peek_at_all(outcomes, count);
	if (maintenance)
	{
		refuse_all(outcomes, count, maintenance);
		return return_outcomes(fcinfo, outcomes, count);
	}
	require_writable_catalogue();
	require_identity();
	enter_all_keys(outcomes, count);
	made = lock_items_of_requests(requests);
	if (PG_GETARG_BOOL(1))
		for (int i = 0; i < count; i++)
			take_turn(outcomes[i]);
	else
	{
		perform_apart(outcomes, count, take_turn, problem_status);
		forget_refused_keys(outcomes, count);
	}
	forget_empty_datasets(made);
	return return_outcomes(fcinfo, outcomes, count);
}
