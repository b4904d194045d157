/*
 * inbox/rows.c
 *		Reads and writes sources, partitions and the inbox: see inbox/rows.h.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/bytes.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/statement.h"
#include "inbox/rows.h"
#include "json/build.h"
#include "json/edit.h"

/* What redrive_inbox() takes at once, unless one alone is larger. */
#define REDRIVEN_BYTES (16 * 1024 * 1024)

/* A column of a row that was read; (Datum) 0 where it is null. */
static Datum
column(int row, int number)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &isnull);

	return isnull ? (Datum) 0 : value;
}

/* The same of a text or jsonb, to be kept by the caller. */
static void *
kept_column(int row, int number)
{
	Datum		value = column(row, number);

	if (value == (Datum) 0)
		return NULL;
	return DatumGetPointer(SPI_datumTransfer(PointerGetDatum(PG_DETOAST_DATUM(value)), false, -1));
}

/* An array of texts or jsonbs; a NULL is null. */
static Datum
pointer_array(void **values, int count, Oid type)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, count));
	bool	   *nulls = palloc(sizeof(bool) * Max(1, count));
	int			lower_bound = 1;

	for (int i = 0; i < count; i++)
	{
		elements[i] = PointerGetDatum(values[i]);
		nulls[i] = values[i] == NULL;
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &count, &lower_bound, type, -1, false, TYPALIGN_INT));
}

/* The offsets of messages as an array. */
static Datum
offset_array(Message **messages, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, count));

	for (int i = 0; i < count; i++)
		elements[i] = Int64GetDatum(messages[i]->offset);
	return PointerGetDatum(construct_array(elements, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Find a source, or 404; and whether it is active. */
Source *
find_source(text *name, bool *active)
{
	static Statement statement = {
		"SELECT drop_nulls, null_members OPERATOR(pg_catalog.=) 'ignore', active,"
		" pg_catalog.to_jsonb(pg_catalog.array_prepend(pg_catalog.concat('source:', name), principals))"
		" FROM esgf_stac.source WHERE name OPERATOR(pg_catalog.=) $1",
		1, {TEXTOID}
	};
	Source	   *source = palloc(sizeof(Source));
	Datum		values[1] = {PointerGetDatum(name)};

	SPI_connect();
	if (run_statement_as_owner(&statement, values, NULL) == 0)
		ereport(ERROR,
				(errproblem(PROBLEM_SOURCE_DOES_NOT_EXIST), errtable_of("source"),
				 errsentence("source \"%s\" does not exist", text_to_cstring(name))));
	source->name = name;
	source->drop_nulls = DatumGetBool(column(0, 1));
	source->null_members = DatumGetBool(column(0, 2)) ? NULLS_IGNORED : NULLS_REJECTED;
	*active = DatumGetBool(column(0, 3));
	source->principals = kept_column(0, 4);
	SPI_finish();
	return source;
}

/* The parameters that name a partition. */
static void
partition_parameters(const Partition *partition, Datum *values)
{
	values[0] = PointerGetDatum(partition->source->name);
	values[1] = Int32GetDatum(partition->number);
}

/* Make the row of a partition that has none, if its source is still there. */
static void
make_partition(const Partition *partition)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.source_partition (source, partition)"
		" SELECT name, $2 FROM esgf_stac.source WHERE name OPERATOR(pg_catalog.=) $1 FOR KEY SHARE"
		" ON CONFLICT (source, partition) DO NOTHING",
		2, {TEXTOID, INT4OID}
	};
	Datum		values[2];
	bool		active;

	find_source(partition->source->name, &active);
	partition_parameters(partition, values);
	run_statement_as_owner(&statement, values, NULL);
}

/* Lock a partition, after whoever has it, and read its position. */
void
lock_partition(Partition *partition)
{
	static Statement statement = {
		"SELECT next_offset, results_offset FROM esgf_stac.source_partition"
		" WHERE source OPERATOR(pg_catalog.=) $1 AND partition OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
		2, {TEXTOID, INT4OID}
	};
	Datum		values[2];

	partition_parameters(partition, values);
	SPI_connect();
	while (run_statement_as_owner(&statement, values, NULL) == 0)
		make_partition(partition);
	partition->next_offset = DatumGetInt64(column(0, 1));
	partition->results_offset = DatumGetInt64(column(0, 2));
	SPI_finish();
}

/* Note that all before an offset is performed, unless more is. */
void
move_partition(const Partition *partition, int64 next_offset)
{
	static Statement statement = {
		"UPDATE esgf_stac.source_partition SET next_offset = GREATEST(next_offset, $3), updated = pg_catalog.clock_timestamp()"
		" WHERE source OPERATOR(pg_catalog.=) $1 AND partition OPERATOR(pg_catalog.=) $2",
		3, {TEXTOID, INT4OID, INT8OID}
	};
	Datum		values[3];

	partition_parameters(partition, values);
	values[2] = Int64GetDatum(next_offset);
	SPI_connect();
	run_statement_as_owner(&statement, values, NULL);
	SPI_finish();
}

/* Find a message by its offset. */
static Message *
find_by_offset(Message **messages, int count, int64 offset)
{
	int			low = 0;

	while (count > low)
	{
		int			middle = low + (count - low) / 2;

		if (messages[middle]->offset == offset)
			return messages[middle];
		if (messages[middle]->offset < offset)
			low = middle + 1;
		else
			count = middle;
	}
	return NULL;
}

/* Order messages by their offsets. */
static int
compare_offsets(const void *a, const void *b)
{
	int64		oa = (*(Message *const *) a)->offset;
	int64		ob = (*(Message *const *) b)->offset;

	return (oa > ob) - (oa < ob);
}

/* Are two texts the same, or both missing? */
static bool
same_text(const text *a, const text *b)
{
	return a && b ? compare_texts(a, b) == 0 : a == b;
}

/* Refuse a message in whose place the inbox has another: the log is another. */
static void
check_same_event(const Partition *partition, const Message *message, const text *known)
{
	if (same_text(message->event_id, known))
		return;
	ereport(ERROR,
			(errproblem(PROBLEM_SOURCE_DIFFERS), errtable_of("inbox"),
			 errmsg("source \"%s\" was read from another log", text_to_cstring(partition->source->name)),
			 errdetail("In partition %d at offset " INT64_FORMAT " it had another event.", partition->number, message->offset)));
}

/* Take out what was performed before; answers how many messages are left. */
int
take_out_known(const Partition *partition, Message **messages, int count)
{
	static Statement statement = {
		"SELECT \"offset\", event_id FROM esgf_stac.inbox WHERE source OPERATOR(pg_catalog.=) $1"
		" AND partition OPERATOR(pg_catalog.=) $2 AND \"offset\" OPERATOR(pg_catalog.=) ANY ($3)"
		/* Mostly there is none, and the places of all need not be looked up. */
		" AND EXISTS (SELECT FROM esgf_stac.inbox AS i WHERE i.source OPERATOR(pg_catalog.=) $1"
		" AND i.partition OPERATOR(pg_catalog.=) $2 AND i.\"offset\" OPERATOR(pg_catalog.>=) $4)",
		4, {TEXTOID, INT4OID, INT8ARRAYOID, INT8OID}
	};
	Datum		values[4];
	int			left = 0;

	partition_parameters(partition, values);
	values[2] = offset_array(messages, count);
	values[3] = Int64GetDatum(messages[0]->offset);
	SPI_connect();
	run_statement_as_owner(&statement, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Message    *message = find_by_offset(messages, count, DatumGetInt64(column(i, 1)));

		check_same_event(partition, message, (text *) DatumGetPointer(column(i, 2)));
		message->known = true;
	}
	SPI_finish();
	for (int i = 0; i < count; i++)
		if (!messages[i]->known && messages[i]->offset >= partition->next_offset)
			messages[left++] = messages[i];
	return left;
}

/* Order messages by event_id, those that have none first, and then as they come. */
static int
compare_event_ids(const void *a, const void *b)
{
	const Message *ma = *(Message *const *) a;
	const Message *mb = *(Message *const *) b;
	int			result;

	if (ma->event_id == NULL || mb->event_id == NULL)
		result = (ma->event_id != NULL) - (mb->event_id != NULL);
	else
		result = compare_texts(ma->event_id, mb->event_id);
	return result ? result : ma->outcome.ordinal - mb->outcome.ordinal;
}

/* Enter messages, in their order, but those whose event_id the source has; notes which were. */
static void
enter(const Partition *partition, Message **sorted, int count)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.inbox AS i (source, partition, \"offset\", key, event_id, request_id, attempt, status, outcome, settled_at)"
		" SELECT $1, $2, m.\"offset\", m.key, m.event_id, m.request_id, 1, 0, 'null', pg_catalog.now()"
		" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6))"
		" WITH ORDINALITY AS m (\"offset\", key, event_id, request_id, place) ORDER BY m.place"
		" ON CONFLICT (source, event_id) WHERE NOT repeats DO NOTHING RETURNING i.\"offset\"",
		6, {TEXTOID, INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	};
	Message   **by_offset = palloc(sizeof(Message *) * Max(1, count));
	void	  **columns[3];
	Datum		values[6];

	for (int i = 0; i < 3; i++)
		columns[i] = palloc(sizeof(void *) * Max(1, count));
	for (int i = 0; i < count; i++)
	{
		columns[0][i] = sorted[i]->key;
		columns[1][i] = sorted[i]->event_id;
		columns[2][i] = sorted[i]->request_id;
	}
	partition_parameters(partition, values);
	values[2] = offset_array(sorted, count);
	for (int i = 0; i < 3; i++)
		values[3 + i] = pointer_array(columns[i], count, TEXTOID);
	run_statement_as_owner(&statement, values, NULL);
	memcpy(by_offset, sorted, sizeof(Message *) * count);
	qsort(by_offset, count, sizeof(Message *), compare_offsets);
	for (uint64 i = 0; i < SPI_processed; i++)
		find_by_offset(by_offset, count, DatumGetInt64(column(i, 1)))->entered = true;
}

/*
 * Find out what became of the first event of each of these event_ids. One may
 * have been pruned since it was in the way.
 */
static void
find_firsts(const Partition *partition, Message **sorted, int count)
{
	static Statement statement = {
		"SELECT event_id, partition, \"offset\", outcome FROM esgf_stac.inbox"
		" WHERE source OPERATOR(pg_catalog.=) $1 AND event_id OPERATOR(pg_catalog.=) ANY ($2) AND NOT repeats"
		" ORDER BY event_id COLLATE \"C\"",
		2, {TEXTOID, TEXTARRAYOID}
	};
	void	  **event_ids = palloc(sizeof(void *) * count);
	Datum		values[2] = {PointerGetDatum(partition->source->name)};
	int			next = 0;

	for (int i = 0; i < count; i++)
		event_ids[i] = sorted[i]->event_id;
	values[1] = pointer_array(event_ids, count, TEXTOID);
	run_statement_as_owner(&statement, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		text	   *event_id = kept_column(i, 1);
		Jsonb	   *outcome = kept_column(i, 4);

		while (next < count && compare_texts(sorted[next]->event_id, event_id) < 0)
			next++;
		for (; next < count && compare_texts(sorted[next]->event_id, event_id) == 0; next++)
		{
			sorted[next]->first_partition = DatumGetInt32(column(i, 2));
			sorted[next]->first_offset = DatumGetInt64(column(i, 3));
			sorted[next]->first_outcome = outcome;
		}
	}
}

/* Of messages sorted by event_id, those that were not entered get the first of theirs in this call; answers how many have none. */
static int
pair_within_call(const Partition *partition, Message **sorted, int count)
{
	Message    *first = NULL;
	int			left = 0;

	for (int i = 0; i < count; i++)
	{
		Message    *message = sorted[i];

		if (message->entered)
			first = message;
		else if (first && same_text(first->event_id, message->event_id))
		{
			message->first = first;
			message->first_partition = partition->number;
			message->first_offset = first->offset;
		}
		else if (message->first_outcome == NULL)
			sorted[left++] = message;
	}
	return left;
}

/*
 * Enter all messages of a call before anything is done, in the order of their
 * event_ids: of two calls with the same ones the second waits for the first, and
 * none ever for one that the other will come to later. What a source has had is
 * a repetition, whose first is found.
 */
void
enter_messages(const Partition *partition, Message **messages, int count)
{
	Message   **sorted = palloc(sizeof(Message *) * Max(1, count));
	int			left = count;

	memcpy(sorted, messages, sizeof(Message *) * count);
	qsort(sorted, count, sizeof(Message *), compare_event_ids);
	SPI_connect();
	while (left > 0)
	{
		CHECK_FOR_INTERRUPTS();
		enter(partition, sorted, left);
		left = pair_within_call(partition, sorted, left);
		if (left == 0)
			break;
		find_firsts(partition, sorted, left);
		left = pair_within_call(partition, sorted, left);
	}
	SPI_finish();
}

/* What became of a message, as the inbox keeps it. */
static Jsonb *
outcome_json(const Message *message)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_outcome(&state, &message->outcome);
	if (message->method)
		push_string_member(&state, "method", VARDATA_ANY(message->method), VARSIZE_ANY_EXHDR(message->method));
	if (!message->entered)
	{
		push_key(&state, "repeats");
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		push_number_member(&state, "offset", message->first_offset);
		push_number_member(&state, "partition", message->first_partition);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The parameter for what is kept of a message: all of one that was refused. */
static Datum
kept_value(const Message *message, char *is_null)
{
	*is_null = message->outcome.problem ? ' ' : 'n';
	return message->outcome.problem ? JsonbPGetDatum(JsonbValueToJsonb((JsonbValue *) &message->value)) : (Datum) 0;
}

/* Outcomes of which results_offset does not speak go out by themselves, once somebody sends any. */
#define UNSENT(attempt, at, outcome) \
	"pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('attempt', " attempt ", 'at', " at ", 'outcome', " outcome "))"

/* Does results_offset not speak of a message? */
static bool
is_late(const Partition *partition, const Message *message)
{
	return message->offset < partition->results_offset;
}

/* Write what became of a message that was entered; one that was refused is kept. */
static void
write_entered(const Partition *partition, const Message *message)
{
	static Statement statement = {
		"UPDATE esgf_stac.inbox SET status = $4, outcome = $5, identity = $6, value = $7,"
		" settled_at = CASE WHEN $7 IS NULL THEN settled_at END,"
		" unsent = CASE WHEN $8 THEN " UNSENT("1", "received_at", "$5") " END"
		" WHERE source OPERATOR(pg_catalog.=) $1 AND partition OPERATOR(pg_catalog.=) $2 AND \"offset\" OPERATOR(pg_catalog.=) $3",
		8, {TEXTOID, INT4OID, INT8OID, INT4OID, JSONBOID, JSONBOID, JSONBOID, BOOLOID}
	};
	Datum		values[8];
	char		nulls[] = "        ";

	partition_parameters(partition, values);
	values[2] = Int64GetDatum(message->offset);
	values[3] = Int32GetDatum(message->outcome.status);
	values[4] = JsonbPGetDatum(outcome_json(message));
	values[5] = JsonbPGetDatum(message->identity);
	nulls[5] = message->identity ? ' ' : 'n';
	values[6] = kept_value(message, &nulls[6]);
	values[7] = BoolGetDatum(is_late(partition, message));
	run_statement_as_owner(&statement, values, nulls);
}

/* Write what a repetition was answered: it is settled. */
static void
write_repetition(const Partition *partition, const Message *message)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.inbox (source, partition, \"offset\", key, event_id, request_id, attempt, status, outcome, identity, value, settled_at, repeats, unsent)"
		" VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, pg_catalog.now(), true,"
		" CASE WHEN $11 THEN " UNSENT("1", "pg_catalog.now()", "$8") " END)",
		11, {TEXTOID, INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, JSONBOID, JSONBOID, BOOLOID}
	};
	Datum		values[11];
	char		nulls[] = "           ";

	partition_parameters(partition, values);
	values[2] = Int64GetDatum(message->offset);
	values[3] = PointerGetDatum(message->key);
	values[4] = PointerGetDatum(message->event_id);
	values[5] = PointerGetDatum(message->request_id);
	values[6] = Int32GetDatum(message->outcome.status);
	values[7] = JsonbPGetDatum(outcome_json(message));
	values[8] = JsonbPGetDatum(message->identity);
	values[9] = kept_value(message, &nulls[9]);
	values[10] = BoolGetDatum(is_late(partition, message));
	nulls[8] = message->identity ? ' ' : 'n';
	nulls[3] = message->key ? ' ' : 'n';
	nulls[5] = message->request_id ? ' ' : 'n';
	run_statement_as_owner(&statement, values, nulls);
}

/* Write what became of the messages of a call. */
void
write_outcomes(const Partition *partition, Message **messages, int count)
{
	SPI_connect();
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (messages[i]->entered)
			write_entered(partition, messages[i]);
		else
			write_repetition(partition, messages[i]);
	}
	SPI_finish();
}

/* Lock the partitions, in one order, of the refusals that are next to be tried again. */
static void
lock_partitions(Datum *values, const char *nulls)
{
	static Statement statement = {
		"SELECT FROM esgf_stac.source_partition AS p WHERE p.source OPERATOR(pg_catalog.=) $1 AND p.partition OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT i.partition FROM esgf_stac.inbox AS i WHERE i.source OPERATOR(pg_catalog.=) $1 AND i.settled_at IS NULL"
		" AND ($2 IS NULL OR i.partition OPERATOR(pg_catalog.=) $2) AND ($3 IS NULL OR i.\"offset\" OPERATOR(pg_catalog.=) $3)))"
		" ORDER BY p.partition FOR NO KEY UPDATE",
		3, {TEXTOID, INT4OID, INT8OID}
	};

	run_statement_as_owner(&statement, values, nulls);
}

/* Columns of a refusal that is to be tried again. */
typedef enum RefusalColumn
{
	REFUSAL_PARTITION = 1, REFUSAL_OFFSET, REFUSAL_VALUE, REFUSAL_TRIED_AT
} RefusalColumn;

/* Order rows by when they were last tried, and then as they come. */
static int
compare_tried(const void *a, const void *b)
{
	int			ra = *(const int *) a;
	int			rb = *(const int *) b;
	TimestampTz ta = DatumGetTimestampTz(column(ra, REFUSAL_TRIED_AT));
	TimestampTz tb = DatumGetTimestampTz(column(rb, REFUSAL_TRIED_AT));

	return ta == tb ? ra - rb : ta < tb ? -1 : 1;
}

/* Which rows are tried: those least recently tried whose values, as they are once read, go into 16 MB, or one. */
static bool *
choose_rows(int count)
{
	bool	   *chosen = palloc0(sizeof(bool) * Max(1, count));
	int		   *rows = palloc(sizeof(int) * Max(1, count));
	Size		bytes = 0;

	for (int i = 0; i < count; i++)
		rows[i] = i;
	qsort(rows, count, sizeof(int), compare_tried);
	for (int i = 0; i < count; i++)
	{
		bytes += toast_raw_datum_size(column(rows[i], REFUSAL_VALUE));
		if (i > 0 && bytes > REDRIVEN_BYTES)
			break;
		chosen[rows[i]] = true;
	}
	return chosen;
}

/* The message of a row, of which this was kept. */
static Message *
refused_message(const Source *source, int row, Jsonb *kept)
{
	JsonbValue	value;
	Message    *message;

	set_to_jsonb(&value, kept);
	message = make_message(source, DatumGetInt32(column(row, REFUSAL_PARTITION)), DatumGetInt64(column(row, REFUSAL_OFFSET)),
						   &value, !is_unreadable(&value));
	message->entered = true;
	return message;
}

/*
 * Lock open refusals, at most 1,000 or 16 MB, those least recently tried; they
 * come in the order of their log.
 */
Message   **
lock_refused(const Source *source, Datum partition, Datum offset, const char *nulls, int *count)
{
	static Statement statement = {
		"WITH next AS MATERIALIZED (SELECT i.partition, i.\"offset\" FROM esgf_stac.inbox AS i"
		" WHERE i.source OPERATOR(pg_catalog.=) $1 AND i.settled_at IS NULL"
		" AND ($2 IS NULL OR i.partition OPERATOR(pg_catalog.=) $2) AND ($3 IS NULL OR i.\"offset\" OPERATOR(pg_catalog.=) $3)"
		" ORDER BY i.tried_at, i.partition, i.\"offset\" LIMIT 1000)"
		" SELECT i.partition, i.\"offset\", i.value, i.tried_at FROM esgf_stac.inbox AS i, next AS n"
		" WHERE i.source OPERATOR(pg_catalog.=) $1 AND i.partition OPERATOR(pg_catalog.=) n.partition AND i.\"offset\" OPERATOR(pg_catalog.=) n.\"offset\""
		" AND i.settled_at IS NULL ORDER BY i.partition, i.\"offset\" FOR NO KEY UPDATE OF i",
		3, {TEXTOID, INT4OID, INT8OID}
	};
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[3] = {PointerGetDatum(source->name), partition, offset};
	Message   **messages;
	bool	   *chosen;
	int			found;

	SPI_connect();
	lock_partitions(values, nulls);
	found = run_statement_as_owner(&statement, values, nulls);
	chosen = choose_rows(found);
	messages = SPI_palloc(sizeof(Message *) * Max(1, found));
	*count = 0;
	for (int i = 0; i < found; i++)
	{
		Jsonb	   *kept;
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (!chosen[i])
			continue;
		kept = kept_column(i, REFUSAL_VALUE);
		old = MemoryContextSwitchTo(caller);
		messages[*count] = refused_message(source, i, kept);
		messages[*count]->outcome.ordinal = *count + 1;
		(*count)++;
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return messages;
}

/* Write what became of an event that was performed again; the outcome goes out by itself. */
void
write_retried(Message *message)
{
	static Statement statement = {
		"UPDATE esgf_stac.inbox AS i SET attempt = i.attempt OPERATOR(pg_catalog.+) 1, status = $4, outcome = $5, identity = $6,"
		" value = CASE WHEN $4 OPERATOR(pg_catalog.>=) 400 THEN i.value END,"
		" settled_at = CASE WHEN $4 OPERATOR(pg_catalog.<) 400 THEN pg_catalog.now() END, tried_at = pg_catalog.now(),"
		" unsent = CASE WHEN p.results_offset IS NOT NULL THEN COALESCE(i.unsent,"
		" CASE WHEN i.attempt OPERATOR(pg_catalog.=) 1 AND i.\"offset\" OPERATOR(pg_catalog.>=) p.results_offset"
		" THEN " UNSENT("1", "i.received_at", "i.outcome") " ELSE '[]' END)"
		" OPERATOR(pg_catalog.||) " UNSENT("i.attempt OPERATOR(pg_catalog.+) 1", "pg_catalog.now()", "$5::pg_catalog.jsonb") " ELSE i.unsent END"
		" FROM esgf_stac.source_partition AS p WHERE p.source OPERATOR(pg_catalog.=) $1 AND p.partition OPERATOR(pg_catalog.=) $2"
		" AND i.source OPERATOR(pg_catalog.=) $1 AND i.partition OPERATOR(pg_catalog.=) $2 AND i.\"offset\" OPERATOR(pg_catalog.=) $3",
		6, {TEXTOID, INT4OID, INT8OID, INT4OID, JSONBOID, JSONBOID}
	};
	Datum		values[6];

	values[0] = PointerGetDatum(message->source->name);
	values[1] = Int32GetDatum(message->partition);
	values[2] = Int64GetDatum(message->offset);
	values[3] = Int32GetDatum(message->outcome.status);
	values[4] = JsonbPGetDatum(outcome_json(message));
	values[5] = JsonbPGetDatum(message->identity);
	SPI_connect();
	run_statement_as_owner(&statement, values, message->identity ? NULL : "     n");
	SPI_finish();
}
