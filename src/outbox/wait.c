/*
 * outbox/wait.c
 *		wait_for_delivery(): waits until streams have delivered an event.
 *
 * A look at the tables is a subtransaction that is rolled back: what it locked
 * is free between two looks. Each has snapshots of its own.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/pg_lsn.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "access/identity.h"
#include "access/judge.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/statement.h"
#include "outbox/wal_end.h"

/* Longer than that nobody may hold a snapshot only to wait. */
#define LONGEST_WAIT_S 60

/* The pauses between two looks grow from the one to the other. */
#define FIRST_PAUSE_MS 5
#define LONGEST_PAUSE_MS 200

/* What is waited for. */
typedef struct Waiting
{
	Datum		event_id;
	text	   *author;			/* who may see it; NULL: everybody */
	Datum		streams;		/* text[]; 0: all */
	XLogRecPtr	past;			/* the event's commit is before it; none yet */
	MemoryContext context;		/* of what a look found */
	List	   *found;			/* of StreamState */
	char	   *unknown;		/* a stream that is none; NULL: there is none */
	bool		gone;			/* the event is not there */
} Waiting;

typedef struct StreamState
{
	char	   *stream;
	char	   *state;
} StreamState;

PG_FUNCTION_INFO_V1(esgf_wait_for_delivery);

/* Is there such an event, of an author who may be asked after? Then its seq. */
static bool
find_event(const Waiting *waiting, Datum *seq)
{
	static Statement statement = {
		"SELECT o.seq FROM esgf_stac.outbox AS o WHERE o.id OPERATOR(pg_catalog.=) $1"
		" AND ($2 IS NULL OR esgf_stac_internal.author_of(o.identity) OPERATOR(pg_catalog.=) $2)",
		2, {UUIDOID, TEXTOID}
	};
	Datum		values[2] = {waiting->event_id, PointerGetDatum(waiting->author)};
	bool		isnull;

	if (read_latest_as_owner(&statement, values, waiting->author ? "  " : " n") == 0)
		return false;
	*seq = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return true;
}

/* Find a name among those of the streams that is none. */
static void
find_unknown_stream(Waiting *waiting)
{
	static Statement statement = {
		"SELECT n FROM pg_catalog.unnest($1) AS n"
		" WHERE NOT EXISTS (SELECT FROM esgf_stac.stream AS s WHERE s.name OPERATOR(pg_catalog.=) n) LIMIT 1",
		1, {TEXTARRAYOID}
	};

	if (read_latest_as_owner(&statement, &waiting->streams, NULL) > 0)
		waiting->unknown = MemoryContextStrdup(waiting->context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
}

/* Find the state of an event in each stream. */
static void
find_states(Waiting *waiting, Datum seq)
{
	static Statement statement = {
		"SELECT stream, state FROM esgf_stac_internal.delivery(ARRAY[$1], $2, $3)",
		3, {INT8OID, TEXTARRAYOID, LSNOID}
	};
	Datum		values[3] = {seq, waiting->streams, LSNGetDatum(waiting->past)};
	char		nulls[3] = {' ', waiting->streams ? ' ' : 'n', XLogRecPtrIsInvalid(waiting->past) ? 'n' : ' '};
	int			count = read_latest_as_owner(&statement, values, nulls);

	for (int i = 0; i < count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(waiting->context);
		StreamState *state = palloc(sizeof(StreamState));

		state->stream = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		state->state = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
		waiting->found = lappend(waiting->found, state);
		MemoryContextSwitchTo(old);
	}
}

/* See that there is a catalogue, or 503. */
static void
find_catalogue(Waiting *waiting)
{
	require_catalogue();
}

/* Look at the tables as they are now. */
static void
look(Waiting *waiting)
{
	Datum		seq;

	MemoryContextReset(waiting->context);
	waiting->found = NIL;
	SPI_connect();
	waiting->gone = !find_event(waiting, &seq);
	if (!waiting->gone)
	{
		if (waiting->streams)
			find_unknown_stream(waiting);
		if (XLogRecPtrIsInvalid(waiting->past))
			waiting->past = wal_end();
		find_states(waiting, seq);
	}
	SPI_finish();
}

/* Read something, and keep no lock. */
static void
read_and_let_go(void (*read) (Waiting *waiting), Waiting *waiting)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		read(waiting);
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
	if (error)
		ReThrowError(error);
}

/* Refuse what was found to be no event, or no stream. */
static void
check_found(const Waiting *waiting)
{
	if (waiting->gone)
		ereport(ERROR,
				(errproblem(PROBLEM_EVENT_DOES_NOT_EXIST), errtable_of("outbox"),
				 errmsg("event %s does not exist", DatumGetCString(DirectFunctionCall1(uuid_out, waiting->event_id))),
				 errhint("It never was, is another author's, or has been pruned.")));
	if (waiting->unknown)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("stream"),
				 errsentence("stream \"%s\" does not exist", waiting->unknown),
				 errhint("The view esgf_stac.stream_status lists the streams.")));
}

/* Has the event still to be delivered by one of the streams? */
static bool
is_pending(const Waiting *waiting)
{
	ListCell   *cell;

	foreach(cell, waiting->found)
		if (strcmp(((StreamState *) lfirst(cell))->state, "pending") == 0)
		return true;
	return false;
}

/* Sleep for so long, or to a time; a cancellation ends it at once. */
static void
sleep_until(TimestampTz deadline, long pause)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(pause, left), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Look until the event is pending nowhere, or the time is over. */
static void
wait_until_delivered(Waiting *waiting, TimestampTz deadline)
{
	long		pause = FIRST_PAUSE_MS;

	for (;;)
	{
		/* What is pending at the deadline is what is answered. */
		bool		last = GetCurrentTimestamp() >= deadline;

		read_and_let_go(look, waiting);
		check_found(waiting);
		if (last || !is_pending(waiting))
			return;
		sleep_until(deadline, pause);
		pause = Min(pause * 2, LONGEST_PAUSE_MS);
	}
}

static void
bad_argument(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_REQUEST), errtable_of("outbox"),
			 errmsg("argument \"%s\" %s", name, problem),
			 errhint("%s", hint)));
}

/* How long is an interval, in microseconds? A month is as long as where intervals are compared. */
static int64
length_of(const Interval *interval)
{
	return ((int64) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY + interval->time;
}

/* Refuse a call for its form. */
static void
check_arguments(FunctionCallInfo fcinfo)
{
	Interval	none = {0};
	Interval	longest = {.time = LONGEST_WAIT_S * USECS_PER_SEC};
	Datum		timeout = PG_GETARG_DATUM(2);
	ArrayType  *streams = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);

	if (PG_ARGISNULL(0))
		bad_argument("event_id", "must not be null", "A receipt has a null event_id where nothing has changed: there is nothing to wait for.");
	if (streams && (ARR_NDIM(streams) > 1 || array_contains_nulls(streams)))
		bad_argument("streams", "must be a plain list of streams", "Leave it null to wait for all streams.");
	if (PG_ARGISNULL(2) ||
		DatumGetBool(DirectFunctionCall2(interval_lt, timeout, IntervalPGetDatum(&none))) ||
		DatumGetBool(DirectFunctionCall2(interval_gt, timeout, IntervalPGetDatum(&longest))))
		bad_argument("timeout", psprintf("must be from 0 to %d seconds", LONGEST_WAIT_S), "Whoever waits holds a snapshot: call again to wait for longer.");
}

/* Refuse to wait with locks held, or where nothing new would be seen. */
static void
check_transaction(void)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errproblem(PROBLEM_OPERATION_NOT_PERMITTED), errtable_of("outbox"),
				 errmsg("a transaction that has written cannot wait for delivery"),
				 errdetail("Its own events are not committed, and others would wait for its locks."),
				 errhint("COMMIT first, and wait in a transaction of its own.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errproblem(PROBLEM_OPERATION_NOT_PERMITTED), errtable_of("outbox"),
				 errmsg("a transaction above READ COMMITTED cannot wait for delivery"),
				 errdetail("It sees nothing that is committed while it waits."),
				 errhint("Wait in a transaction that is READ COMMITTED.")));
}

/* Answer with a row for each stream. */
static void
return_states(FunctionCallInfo fcinfo, const Waiting *waiting)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, waiting->found)
	{
		StreamState *state = lfirst(cell);
		Datum		values[2] = {CStringGetTextDatum(state->stream), CStringGetTextDatum(state->state)};
		bool		nulls[2] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* wait_for_delivery(event_id, streams, timeout) -> setof (stream, state) */
Datum
esgf_wait_for_delivery(PG_FUNCTION_ARGS)
{
	Waiting		waiting = {0};
	TimestampTz deadline;

	read_and_let_go(find_catalogue, &waiting);
	check_arguments(fcinfo);
	check_transaction();
	require_identity();
	waiting.event_id = PG_GETARG_DATUM(0);
	waiting.author = is_administrator() ? NULL : current_client();
	waiting.streams = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	waiting.context = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac wait", ALLOCSET_SMALL_SIZES);
	deadline = GetCurrentTimestamp() + length_of(PG_GETARG_INTERVAL_P(2));
	wait_until_delivered(&waiting, deadline);
	return_states(fcinfo, &waiting);
	return (Datum) 0;
}
