/*
 * inbox/ingest.c
 *		ingest() and redrive_inbox(): events of a source are performed, each by
 *		itself and once.
 *
 * Locks are taken in one order: the partition, the event_ids of the call, then
 * what transact() locks. So two calls never wait for each other.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "access/identity.h"
#include "access/maintenance.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/statement.h"
#include "inbox/message.h"
#include "inbox/rows.h"
#include "verbs/lock.h"

PG_FUNCTION_INFO_V1(esgf_ingest);
PG_FUNCTION_INFO_V1(esgf_ingest_columns);
PG_FUNCTION_INFO_V1(esgf_redrive_inbox);

/* The name of a source, which must be given. */
static text *
source_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errproblem(PROBLEM_SOURCE_DOES_NOT_EXIST), errtable_of("source"),
				 errmsg("source NULL does not exist")));
	return PG_GETARG_TEXT_PP(0);
}

/* The number of a partition, which must be given. */
static int
partition_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 0)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("source_partition"),
				 errmsg("partition must be given, and not be negative"),
				 errhint("It is the number that the log has for it; 0 of a file.")));
	return PG_GETARG_INT32(1);
}

/* Perform messages, each by itself, with all that they concern locked before. */
static void
perform_messages(Message **messages, int count)
{
	List	   *requests = NIL;
	List	   *made;

	for (int i = 0; i < count; i++)
	{
		ItemRequest *request = palloc(sizeof(ItemRequest));
		Message    *message = messages[i];

		if (peek_at_message(message, request) && message->first == NULL && message->first_outcome == NULL)
			requests = lappend(requests, request);
		request->outcome = &message->outcome;
		message->outcome.collection_id = request->collection_id;
		message->outcome.item_id = request->item_id;
	}
	made = lock_items_of_requests(requests);
	perform_apart((Outcome **) messages, count, perform_message, message_status);
	forget_empty_datasets(made);
}

/*
 * Which partition a call is about, of a source that is active. In maintenance
 * there is none: events are never an administrator's, whoever brings them.
 */
static void
begin_call(FunctionCallInfo fcinfo, Partition *partition)
{
	const Maintenance *maintenance;
	bool		active;

	calling_role();
	maintenance = maintenance_for_others();
	if (maintenance)
		refuse_in_maintenance(maintenance);
	require_writable_catalogue();
	partition->source = find_source(source_argument(fcinfo), &active);
	partition->number = partition_argument(fcinfo);
	if (!active)
		ereport(ERROR,
				(errproblem(PROBLEM_SOURCE_INACTIVE), errtable_of("source"),
				 errmsg("source \"%s\" is not active", text_to_cstring(partition->source->name))));
}

/* Perform what a call brings, unless that was done before, and note what became of it. */
static Datum
finish_call(FunctionCallInfo fcinfo, Partition *partition, Message **messages, int count)
{
	SavedUser	caller;
	int64		next_offset;

	if (count == 0)
		return return_outcomes(fcinfo, NULL, 0);
	next_offset = messages[count - 1]->offset + 1;
	become_owner(&caller);
	lock_partition(partition);
	count = take_out_known(partition, messages, count);
	enter_messages(partition, messages, count);
	perform_messages(messages, count);
	write_outcomes(partition, messages, count);
	move_partition(partition, next_offset);
	become_caller(&caller);
	return return_outcomes(fcinfo, (Outcome **) messages, count);
}

/* ingest(source, partition, events) */
Datum
esgf_ingest(PG_FUNCTION_ARGS)
{
	Partition	partition;
	Message   **messages;
	int			count;

	begin_call(fcinfo, &partition);
	messages = read_messages(partition.source, partition.number, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), &count);
	return finish_call(fcinfo, &partition, messages, count);
}

/* ingest_columns(source, partition, offsets, keys, values, unreadable) */
Datum
esgf_ingest_columns(PG_FUNCTION_ARGS)
{
	Partition	partition;
	Message   **messages;
	MessageColumns columns;
	int			count;

	begin_call(fcinfo, &partition);
	columns.offsets = PG_GETARG_ARRAYTYPE_P(2);
	columns.keys = PG_GETARG_ARRAYTYPE_P(3);
	columns.values = PG_GETARG_ARRAYTYPE_P(4);
	columns.unreadable = PG_GETARG_ARRAYTYPE_P(5);
	messages = read_columns(partition.source, partition.number, &columns, &count);
	return finish_call(fcinfo, &partition, messages, count);
}

/* redrive_inbox(source, partition, offset) */
Datum
esgf_redrive_inbox(PG_FUNCTION_ARGS)
{
	SavedUser	caller;
	Source	   *source;
	Message   **messages;
	bool		active;
	int			count;
	char		nulls[] = {' ', PG_ARGISNULL(1) ? 'n' : ' ', PG_ARGISNULL(2) ? 'n' : ' ', '\0'};

	require_open();
	require_writable_catalogue();
	require_own_rights();
	admit_transaction();
	source = find_source(source_argument(fcinfo), &active);
	if (PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("inbox"),
				 errmsg("an offset is one of a partition, which must be given"),
				 errhint("Give both, the partition alone, or neither.")));
	become_owner(&caller);
	messages = lock_refused(source, PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), nulls, &count);
	perform_messages(messages, count);
	for (int i = 0; i < count; i++)
		write_retried(messages[i]);
	become_caller(&caller);
	return return_outcomes(fcinfo, (Outcome **) messages, count);
}
