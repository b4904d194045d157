/*
 * call.c
 *		Calls of ingest(). Each value is a parameter of its own, which the server
 *		parses by itself: pasted into a text, one could pass for several events.
 */
#include "ingest/catalogue/catalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

/* Of what cannot be read, so many bytes are kept: in base64, 64 KB. */
#define UNREADABLE_BYTES ((size_t) 48 * 1024)

/* Of each event three parameters, beside the offsets of all: key, value, and why there is none. */
#define PARAMETERS_OF_EVENT 3

/* The pause after others came in our way doubles up to that. */
#define FIRST_PAUSE_MS 10
#define LONGEST_PAUSE_MS 2000

/* Parameters of a query, with what has to be kept for them. */
typedef struct Parameters
{
	const char **values;
	int			count;
	Buffer		offsets;		/* an array */
	char	  **texts;			/* of the unreadable; one for each event */
	int			events;
} Parameters;

/* Append bytes in base64 (RFC 4648), cut */
static void
append_base64(Buffer *text, const char *bytes, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *byte = (const unsigned char *) bytes;

	if (length > UNREADABLE_BYTES)
		length = UNREADABLE_BYTES;
	for (; length > 0; byte += 3)
	{
		unsigned int group = (unsigned int) byte[0] << 16 | (length > 1 ? (unsigned int) byte[1] << 8 : 0) | (length > 2 ? byte[2] : 0);
		char		four[] = {digits[group >> 18], digits[group >> 12 & 63],
		length > 1 ? digits[group >> 6 & 63] : '=', length > 2 ? digits[group & 63] : '='};

		buffer_append(text, four, sizeof(four));
		length -= length > 3 ? 3 : length;
	}
}

/* The value of an event: of an unreadable one, its bytes, as a JSON string */
static const char *
value_parameter(const Batch *batch, const IngestEvent *event, char **kept)
{
	const char *value = event_value(batch, event);
	Buffer		text = {0};

	if (event->unreadable == NULL)
		return value;
	buffer_text(&text, "\"");
	append_base64(&text, value, value != NULL ? event->value_length : 0);
	buffer_text(&text, "\"");
	*kept = text.data;
	return text.data;
}

/* Append the parameters of some events of a batch */
static void
add_events(Parameters *parameters, const Batch *batch, int first, int count)
{
	int			offsets = parameters->count++;

	parameters->texts = allocate((size_t) count * sizeof(char *));
	parameters->events = count;
	for (int i = 0; i < count; i++)
	{
		const IngestEvent *event = &batch->events[first + i];
		const char **value = &parameters->values[parameters->count];

		buffer_printf(&parameters->offsets, "%s%" PRId64, i > 0 ? "," : "{", event->offset);
		value[0] = event_key(batch, event);
		value[1] = value_parameter(batch, event, &parameters->texts[i]);
		value[2] = event->unreadable;
		parameters->count += PARAMETERS_OF_EVENT;
	}
	buffer_text(&parameters->offsets, "}");
	parameters->values[offsets] = parameters->offsets.data;
}

static void
free_parameters(Parameters *parameters)
{
	for (int i = 0; i < parameters->events; i++)
		free(parameters->texts[i]);
	free(parameters->texts);
	buffer_free(&parameters->offsets);
	free(parameters->values);
}

/* Append the columns of events whose parameters begin at that one, as ingest_columns() takes them */
static void
append_columns(Buffer *query, int parameter, int count)
{
	static const char *const types[PARAMETERS_OF_EVENT] = {"text", "jsonb", "text"};

	buffer_printf(query, "$%d::bigint[]", parameter++);
	for (int i = 0; i < PARAMETERS_OF_EVENT; i++)
	{
		for (int n = 0; n < count; n++)
			buffer_printf(query, "%s$%d", n > 0 ? ", " : ", ARRAY[", parameter + i + n * PARAMETERS_OF_EVENT);
		buffer_printf(query, "]::%s[]", types[i]);
	}
}

/* ---------------------------------------------------------------- the unreadable */

/* Can the server take these events of a batch? */
static PGresult *
ask_alone(const Catalogue *catalogue, const Batch *batch, int first, int count, Buffer *problem)
{
	Parameters	parameters = {.values = allocate(((size_t) count * PARAMETERS_OF_EVENT + 1) * sizeof(char *))};
	Buffer		query = {0};
	PGresult   *result;

	buffer_text(&query, "SELECT pg_catalog.num_nulls(");
	append_columns(&query, 1, count);
	buffer_text(&query, ")");
	add_events(&parameters, batch, first, count);
	result = database_query(catalogue->sql, problem, query.data, parameters.count, parameters.values);
	free_parameters(&parameters);
	buffer_free(&query);
	return result;
}

/* A key that the server cannot take is left out of an event that it cannot either */
static ExitStatus
check_key(const Catalogue *catalogue, const Batch *batch, IngestEvent *event)
{
	const char *parameters[] = {event_key(batch, event)};
	Buffer		problem = {0};
	PGresult   *result;

	if (parameters[0] == NULL)
		return STATUS_RUNNING;
	result = database_query(catalogue->sql, &problem, "SELECT $1::text IS NULL", 1, parameters);
	if (result == NULL && failure_for_now())
		return failure_status(&problem);
	if (result == NULL)
		event_drop_key(event);
	buffer_free(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/*
 * Find which of these events the server cannot take, by halves: it is asked
 * without anything being done
 */
static ExitStatus
find_unreadable(Catalogue *catalogue, Batch *batch, int first, int count, int *found)
{
	Buffer		problem = {0};
	PGresult   *result = ask_alone(catalogue, batch, first, count, &problem);
	ExitStatus	status;

	PQclear(result);
	if (result != NULL)
		return STATUS_RUNNING;
	if (failure_for_now())
		return failure_status(&problem);
	buffer_free(&problem);
	if (count > 1)
	{
		status = find_unreadable(catalogue, batch, first, count / 2, found);
		return status == STATUS_RUNNING ? find_unreadable(catalogue, batch, first + count / 2, count - count / 2, found) : status;
	}
	event_unreadable(&batch->events[first], database_refusal()->message);
	log_line(LOG_DETAIL, "the event at %" PRId64 " of partition %d cannot be read: %s", batch->events[first].offset, batch->partition,
			 batch->events[first].unreadable);
	(*found)++;
	return check_key(catalogue, batch, &batch->events[first]);
}

/* ---------------------------------------------------------------- calls */

static PGresult *
call_ingest(const Catalogue *catalogue, const Batch *batch, int first, int count, Buffer *problem)
{
	Parameters	parameters = {.values = allocate(((size_t) count * PARAMETERS_OF_EVENT + 3) * sizeof(char *))};
	char		partition[16];
	Buffer		query = {0};
	PGresult   *result;

	snprintf(partition, sizeof(partition), "%d", batch->partition);
	parameters.values[parameters.count++] = catalogue->settings->source;
	parameters.values[parameters.count++] = partition;
	buffer_text(&query, "SELECT count(*), count(*) FILTER (WHERE status >= 400) FROM esgf_stac_internal.ingest_columns($1, $2::int, ");
	append_columns(&query, parameters.count + 1, count);
	buffer_text(&query, ")");
	add_events(&parameters, batch, first, count);
	result = database_query(catalogue->sql, problem, query.data, parameters.count, parameters.values);
	free_parameters(&parameters);
	buffer_free(&query);
	return result;
}

/* These events are performed */
static void
note_performed(Catalogue *catalogue, Batch *batch, int count, PGresult *answer)
{
	for (int i = 0; i < count; i++)
	{
		const IngestEvent *event = &batch->events[batch->done + i];

		catalogue->bytes += (int64_t) event->value_length;
		catalogue->unreadable += event->unreadable != NULL;
	}
	catalogue->events += strtoll(PQgetvalue(answer, 0, 0), NULL, 10);
	catalogue->refused += strtoll(PQgetvalue(answer, 0, 1), NULL, 10);
	catalogue->failures = 0;
	catalogue->limit = catalogue->limit * 2 < catalogue->settings->batch ? catalogue->limit * 2 : catalogue->settings->batch;
	batch->done += count;
}

/* Others came in our way: let them pass */
static void
pause_a_moment(const Catalogue *catalogue)
{
	int64_t		pause = FIRST_PAUSE_MS << (catalogue->failures < 8 ? catalogue->failures : 8);
	Wait		wait = wait_begin(NULL);

	if (pause > LONGEST_PAUSE_MS)
		pause = LONGEST_PAUSE_MS;
	pause = pause / 2 + random() % (pause / 2);
	while (!stop_requested && monotonic_ms() < wait.since + pause)
		wait_on(&wait, -1, 0, wait.since + pause - monotonic_ms());
}

/* A call failed that is to come again, with half its events */
static ExitStatus
try_again(Catalogue *catalogue, int count, Buffer *problem)
{
	catalogue->retries++;
	catalogue->failures++;
	catalogue->limit = count > 1 ? count / 2 : 1;
	if (!failure_in_passing() || stop_requested)
		return failure_status(problem);
	log_line(LOG_WARNING, "a call comes again, with %" PRId64 " of %d events: %s", catalogue->limit, count, problem->data);
	buffer_free(problem);
	pause_a_moment(catalogue);
	return STATUS_RUNNING;
}

/*
 * Perform the next events of a batch, or find out which of them cannot be read,
 * or pause: whatever it takes to get on
 */
ExitStatus
call_next(Catalogue *catalogue, Batch *batch)
{
	int			rest = batch->count - batch->done;
	int			count = rest < catalogue->limit ? rest : (int) catalogue->limit;
	int			found = 0;
	Buffer		problem = {0};
	PGresult   *answer = call_ingest(catalogue, batch, batch->done, count, &problem);
	ExitStatus	status;

	if (answer != NULL)
	{
		note_performed(catalogue, batch, count, answer);
		PQclear(answer);
		return STATUS_RUNNING;
	}
	if (failure_for_now())
		return try_again(catalogue, count, &problem);
	status = find_unreadable(catalogue, batch, batch->done, count, &found);
	if (status == STATUS_RUNNING && found == 0)
		return failure_status(&problem);
	buffer_free(&problem);
	return status;
}
