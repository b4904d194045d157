/*
 * iteration.c
 *		Iteration jobs. The table iteration_job says what there is to do, an
 *		advisory lock of our connection for them whose each is: who loses that
 *		connection drops what it has in hand, and another goes on at the position.
 *
 * A page is read as keys. Into the stream's own sink a state is sent once the
 * stream has brought all that was committed before the keys were read, and of
 * the item no other version than this state's: so no line comes before the live
 * event of its version, nor after one of a higher version. A state that is ahead
 * of the stream is held, and sent right behind the event of its version: so an
 * item may change without end. One whose event does not come, though the stream
 * has passed it by, is sent then: it was imported, or the event is skipped.
 *
 * No answer is waited for: live events come meanwhile.
 */
#include "sources/iteration.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/progress.h"
#include "lib/wait.h"
#include "sinks/place.h"

/* Items of a page; of a slow job, what it sends in so many seconds. */
#define PAGE_SIZE 1000
#define PAGE_SECONDS 5

/* Items that are sent at once: live events come between. A slow job sends a quarter of a second's. */
#define SLICE_SIZE 10
#define TARGET_SLICE_SIZE 200
#define SLICES_A_SECOND 4

/* Of them so many bytes are sent before more are read; and so many of those that wait for the stream are held. */
#define SLICE_BYTES (4 * 1024 * 1024)
#define HELD_BYTES (4 * 1024 * 1024)

/*
 * Live events of the last milliseconds have a slice followed by a rest, that many
 * times as long as it took: they go first.
 */
#define LIVE_MS 1000
#define RESTS 2

/* The table is read that often: with jobs in hand, and without. */
#define LOOK_MS 400
#define IDLE_LOOK_MS 1000

/* The time left is told by what was sent in the last so many milliseconds. */
#define RATE_MS 20000

/* An answer, or the stream, is asked after that often. */
#define ANSWER_MS 2
#define STREAM_MS 10
#define WRITERS_MS 100

/* The columns of the unfinished jobs. */
enum
{
	SEEN_ID, SEEN_STATE, SEEN_TARGET, SEEN_PAYLOAD, SEEN_MAX_RATE, SEEN_SENT, SEEN_TOTAL, SEEN_STARTED, SEEN_ERROR
};

/* ---------------------------------------------------------------- jobs in hand */

static char *
copy_field(const PGresult *rows, int row, int column)
{
	return PQgetisnull(rows, row, column) ? NULL : copy_string(PQgetvalue(rows, row, column));
}

static Job *
find_job(Iterations *iterations, const char *id)
{
	for (int i = 0; i < MOST_JOBS; i++)
		if (iterations->jobs[i].phase != JOB_NONE && strcmp(iterations->jobs[i].id, id) == 0)
			return &iterations->jobs[i];
	return NULL;
}

static bool
any_job(const Iterations *iterations)
{
	for (int i = 0; i < MOST_JOBS; i++)
		if (iterations->jobs[i].phase != JOB_NONE)
			return true;
	return false;
}

/* What came of a slice is for nobody */
static void
drop_slice(Iterations *iterations)
{
	while (iterations->next_row < iterations->row_count)
		PQclear(iterations->rows[iterations->next_row++]);
	iterations->next_row = iterations->row_count = 0;
	iterations->row_bytes = 0;
	iterations->sending = NULL;
}

/* The session is over: locks go with the connection */
void
iterations_forget(Iterations *iterations)
{
	for (int i = 0; i < MOST_JOBS; i++)
		job_forget(&iterations->jobs[i]);
	drop_slice(iterations);
	PQclear(iterations->seen);
	PQfinish(iterations->source.reader);
	iterations->seen = NULL;
	iterations->source.reader = NULL;
	iterations->asking = NULL;
	iterations->looking = false;
	iterations->seen_at = 0;
}

/* Is nothing under way into a sink? The next slice opens it, where it is not open */
bool
iterations_between_slices(const Iterations *iterations)
{
	return iterations->sending == NULL && (iterations->asking == NULL || iterations->asking->phase != JOB_SEND);
}

/*
 * Have targets make durable what was sent there, and close their sinks, between
 * slices: pages in hand go on. Where that fails all comes again.
 */
void
iterations_close_sinks(Iterations *iterations)
{
	bool		settled = true;

	for (int i = 0; i < MOST_JOBS; i++)
		settled = job_close_sink(&iterations->jobs[i]) && settled;
	if (!settled)
		iterations_forget(iterations);
}

/* ---------------------------------------------------------------- which jobs */

/* Whose is it: that of the stream's relay, or ours by its target? */
static bool
is_for_us(const Iterations *iterations, const PGresult *seen, int row)
{
	const IterationSettings *settings = iterations->settings;

	if (PQgetisnull(seen, row, SEEN_TARGET))
		return !settings->only;
	return settings->only && place_allowed(&iterations->delivery->settings->sink, iterations->delivery->settings->sink_kind,
										   settings->allowed, PQgetvalue(seen, row, SEEN_TARGET));
}

/* Say of a job with a target why it waits, if nobody has begun with it, or said so */
static ExitStatus
tell_not_allowed(const Iterations *iterations, const PGresult *seen, int row)
{
	const IterationSettings *settings = iterations->settings;
	Buffer		problem = {0};
	const char *parameters[] = {PQgetvalue(seen, row, SEEN_ID)};
	bool		ours = settings->only || settings->allowed == NULL;
	PGresult   *result;

	if (!ours || PQgetisnull(seen, row, SEEN_TARGET) || PQgetvalue(seen, row, SEEN_STARTED)[0] == 't' || !PQgetisnull(seen, row, SEEN_ERROR))
		return STATUS_RUNNING;
	result = database_query(iterations->source.consumer->catalogue->sql, &problem,
							"UPDATE esgf_stac.iteration_job SET error = 'no worker so far allows target \"' || left(target, 200) || '\"'"
							" WHERE id = $1 AND started IS NULL AND error IS NULL", 1, parameters);
	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/* A place for one more job, or NULL */
static Job *
find_place(Iterations *iterations)
{
	for (int i = 0; i < MOST_JOBS; i++)
		if (iterations->jobs[i].phase == JOB_NONE)
			return &iterations->jobs[i];
	return NULL;
}

static void
take_up(const Iterations *iterations, Job *job, const PGresult *seen, int row)
{
	*job = (Job)
	{
		.phase = JOB_TAKE,
			.own = iterations->delivery,
			.id = copy_string(PQgetvalue(seen, row, SEEN_ID)),
			.target = copy_field(seen, row, SEEN_TARGET),
			.with_document = strcmp(PQgetvalue(seen, row, SEEN_PAYLOAD), "document") == 0
	};
}

/* What the table says of each job, take over; take up those that nobody has, where there is a place */
static ExitStatus
take_seen(Iterations *iterations, const PGresult *seen)
{
	ExitStatus	status = STATUS_RUNNING;

	for (int i = 0; i < MOST_JOBS; i++)
	{
		free(iterations->jobs[i].state);
		iterations->jobs[i].state = NULL;
	}
	for (int row = 0; row < PQntuples(seen) && status == STATUS_RUNNING; row++)
	{
		Job		   *job = find_job(iterations, PQgetvalue(seen, row, SEEN_ID));

		if (job == NULL && strcmp(PQgetvalue(seen, row, SEEN_STATE), "paused") != 0 && is_for_us(iterations, seen, row))
		{
			job = find_place(iterations);
			if (job != NULL)
				take_up(iterations, job, seen, row);
		}
		if (job != NULL)
		{
			job->state = copy_string(PQgetvalue(seen, row, SEEN_STATE));
			job->max_rate = PQgetisnull(seen, row, SEEN_MAX_RATE) ? 0 : strtoll(PQgetvalue(seen, row, SEEN_MAX_RATE), NULL, 10);
		}
		else if (!is_for_us(iterations, seen, row))
			status = tell_not_allowed(iterations, seen, row);
	}
	return status;
}

static int64_t
look_time(const Iterations *iterations)
{
	return iterations->seen == NULL ? 0 : iterations->seen_at + (any_job(iterations) ? LOOK_MS : IDLE_LOOK_MS);
}

static ExitStatus
take_look(Iterations *iterations, PGresult *seen, Buffer *problem)
{
	PQclear(iterations->seen);
	iterations->seen = seen;
	iterations->seen_at = monotonic_ms();
	return seen != NULL ? take_seen(iterations, seen) : database_lost(problem);
}

/* Look what there is to do, if that is due; with jobs in hand, without waiting */
static ExitStatus
look(Iterations *iterations)
{
	static const char query[] = "SELECT id, state, target, payload, max_rate, items_sent, items_total, started IS NOT NULL, error"
	" FROM esgf_stac.iteration_job WHERE stream = $1 AND finished IS NULL ORDER BY created, id";
	const Catalogue *catalogue = iterations->source.consumer->catalogue;
	PGconn	   *reader = iterations->source.reader;
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream};

	if (iterations->asking != NULL || iterations->looking || monotonic_ms() < look_time(iterations))
		return STATUS_RUNNING;
	if (reader == NULL)
		return take_look(iterations, database_query(catalogue->sql, &problem, query, 1, parameters), &problem);
	iterations->looking = database_send(reader, &problem, query, 1, parameters);
	return iterations->looking ? STATUS_RUNNING : database_lost(&problem);
}

/* ---------------------------------------------------------------- pages */

static int
compare_keys(const void *a, const void *b)
{
	const Key  *one = a;
	const Key  *other = b;
	int			order = strcmp(one->collection_id, other->collection_id);

	return order != 0 ? order : strcmp(one->item_id, other->item_id);
}

/* The keys have come; none: that was all. What they show was committed before the WAL's end then */
static void
take_page(Job *job, PGresult *page)
{
	int			rows = PQntuples(page);

	job_forget_page(job);
	job->page = page;
	job->page_sent = 0;
	if (rows == 0)
	{
		job->phase = JOB_END;
		return;
	}
	lsn_parse(PQgetvalue(page, 0, 3), &job->position);
	job->key_count = job->left = rows - 1;
	job->keys = allocate((size_t) rows * sizeof(Key));
	for (int i = 0; i < job->key_count; i++)
		job->keys[i] = (Key)
	{
		.collection_id = PQgetvalue(page, i, 0),
			.item_id = PQgetvalue(page, i, 1),
			.version = strtoll(PQgetvalue(page, i, 2), NULL, 10)
	};
	qsort(job->keys, (size_t) job->key_count, sizeof(Key), compare_keys);
	job->phase = job->left > 0 ? JOB_SEND : JOB_NOTE;
}

/* ---------------------------------------------------------------- the stream */

/* A state that is held is not wanted any more */
static void
let_go(Job *job, Key *key)
{
	if (key->held == NULL)
		return;
	job->held_bytes -= PQresultMemorySize(key->held);
	PQclear(key->held);
	key->held = NULL;
}

/* The stream brings that version: it is to be sent, and the state of it that is held right behind */
static void
note_version(Job *job, Key *key, const Event *event)
{
	if (event->version <= key->version)
		return;
	key->version = event->version;
	if (key->ahead == event->version && key->held != NULL && (job->phase == JOB_SEND || job->phase == JOB_AHEAD))
	{
		job->due = key;
		job->due_xid = event->xid;
	}
	else if (key->ahead <= event->version)
		let_go(job, key);
}

/* The stream brings an event */
void
iterations_note(Iterations *iterations, const Event *event)
{
	Key			wanted = {.collection_id = event->collection_id,.item_id = event->item_id};

	iterations->live_at = monotonic_ms();
	for (int i = 0; i < MOST_JOBS && event->item_id != NULL; i++)
	{
		Job		   *job = &iterations->jobs[i];
		Key		   *key = job->target == NULL && job->key_count > 0 ?
		bsearch(&wanted, job->keys, (size_t) job->key_count, sizeof(Key), compare_keys) : NULL;

		if (key != NULL && !key->settled)
			note_version(job, key, event);
	}
}

/* What jobs hold of the event that came last, one after another; NULL: no more */
PGresult *
iterations_follow(Iterations *iterations)
{
	if (iterations->sending != NULL)
		iterations->sending->due_xid = 0;
	for (int i = 0; i < MOST_JOBS; i++)
	{
		Job		   *job = &iterations->jobs[i];
		Key		   *key = job->due;
		PGresult   *row;

		if (key == NULL)
			continue;
		row = key->held;
		key->held = NULL;
		job->held_bytes -= PQresultMemorySize(row);
		job->due = NULL;
		iterations->sending = job;
		iterations->source.delivery = job->own;
		return row;
	}
	iterations->sending = NULL;
	return NULL;
}

/* Choose the keys of the next slice; false: all have been asked for, and some wait for the stream */
static bool
choose_slice(Job *job, Buffer *keys)
{
	int64_t		most = job->target != NULL ? TARGET_SLICE_SIZE : SLICE_SIZE;
	int64_t		chosen = 0;

	if (job->max_rate > 0 && most > job->max_rate / SLICES_A_SECOND)
		most = job->max_rate / SLICES_A_SECOND > 0 ? job->max_rate / SLICES_A_SECOND : 1;
	buffer_clear(keys);
	job->slice[0] = job->next;
	for (; job->next < job->key_count && chosen < most; job->next++)
	{
		Key		   *key = &job->keys[job->next];

		if (key->settled)
			continue;

		/* The stream has passed it, and had nothing of it. */
		if (key->ahead > key->version)
			key->version = key->ahead;
		let_go(job, key);
		key->asked = true;
		buffer_printf(keys, "%s[%d,", chosen++ == 0 ? "[" : ",", job->next);
		append_string(keys, key->collection_id);
		buffer_text(keys, ",");
		append_string(keys, key->item_id);
		buffer_text(keys, "]");
	}
	job->slice[1] = job->next;
	buffer_text(keys, chosen > 0 ? "]" : "[]");
	if (chosen == 0)
		job->next = 0;
	return chosen > 0;
}

/* ---------------------------------------------------------------- steps */

/* Has somebody paused or ended it? Then something else is to be done of it */
static void
obey(Job *job)
{
	if (job->phase == JOB_NONE || job->phase == JOB_TAKE || job->phase >= JOB_END)
		return;
	if (job->state == NULL || strcmp(job->state, "paused") == 0)
		job->phase = JOB_LEAVE;
	else if (strcmp(job->state, "pending") != 0 && strcmp(job->state, "running") != 0 && job->phase != JOB_START)
		job->phase = JOB_END;
	else
		return;
	job->not_before = 0;
}

/* Can something be done of it now? */
static bool
is_ready(const Iterations *iterations, const Job *job)
{
	if (job->phase == JOB_NONE || monotonic_ms() < job->not_before)
		return false;
	return job->phase != JOB_SEND || job->target != NULL ||
		(iterations->source.consumer->received >= job->position && monotonic_ms() >= iterations->rest_until);
}

/* Ask what a job's phase asks */
static bool
ask(const Iterations *iterations, Job *job, Buffer *problem)
{
	PGconn	   *reader = iterations->source.reader;
	const char *parameters[4] = {job->id};
	int			last = job->page != NULL ? PQntuples(job->page) - 1 : -1;
	char		number[32];

	switch (job->phase)
	{
		case JOB_TAKE:
			return database_send(reader, problem, "SELECT state, position IS NULL, writers FROM esgf_stac_internal.take_iteration($1)", 1, parameters);
		case JOB_WRITERS:
			parameters[0] = job->writers;
			return database_send(reader, problem, "SELECT esgf_stac_internal.writers_ended($1)", 1, parameters);
		case JOB_PAGE:
			parameters[1] = number;
			snprintf(number, sizeof(number), "%" PRId64, job->max_rate > 0 && job->max_rate * PAGE_SECONDS < PAGE_SIZE ? job->max_rate * PAGE_SECONDS : PAGE_SIZE);
			return database_send(reader, problem, "WITH w AS MATERIALIZED (SELECT esgf_stac_internal.wal_end())"
								 " SELECT collection_id, item_id, version, wal_end FROM esgf_stac_internal.iteration_page($1, $2), w", 2, parameters);
		case JOB_SEND:
			parameters[1] = iterations->keys.data;
			return database_rows(reader, problem, "SELECT NULL, aggregatetype, aggregateid, type, version, payload, updated, NULL, NULL, NULL, NULL,"
								 " validated_against, NULL, sendable AS sent, place FROM esgf_stac_internal.iteration_states($1, $2)", 2, parameters);
		case JOB_AHEAD:
			return database_send(reader, problem, "SELECT esgf_stac_internal.wal_end()", 0, NULL);
		case JOB_NOTE:
			parameters[1] = PQgetvalue(job->page, last, 0);
			parameters[2] = PQgetvalue(job->page, last, 1);
			parameters[3] = number;
			snprintf(number, sizeof(number), "%" PRId64, job->page_sent);

			/* Paused and resumed before that was heard, it runs still. */
			return database_send(reader, problem, "UPDATE esgf_stac.iteration_job SET position = ARRAY[$2, $3], items_sent = items_sent + $4::bigint,"
								 " state = CASE state WHEN 'pending' THEN 'running' ELSE state END,"
								 " heartbeat = clock_timestamp() WHERE id = $1 AND finished IS NULL", 4, parameters);
		case JOB_START:
			return database_send(reader, problem, "SELECT state, to_jsonb(j), to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM esgf_stac.iteration_job j WHERE id = $1", 1, parameters);
		case JOB_END:
			parameters[1] = job->failure;
			return database_send(reader, problem, "UPDATE esgf_stac.iteration_job j SET heartbeat = clock_timestamp(),"
								 " state = CASE WHEN state NOT IN ('pending', 'running', 'paused') THEN state WHEN $2::text IS NOT NULL THEN 'failed'"
								 " WHEN state = 'paused' THEN state ELSE 'completed' END,"
								 " error = CASE WHEN state IN ('pending', 'running', 'paused') THEN coalesce(left($2, 2000), error) ELSE error END"
								 " WHERE id = $1 AND finished IS NULL"
								 " RETURNING state, to_jsonb(j), to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", 2, parameters);
		case JOB_FINISH:
			return database_send(reader, problem, "UPDATE esgf_stac.iteration_job SET finished = clock_timestamp() WHERE id = $1 AND finished IS NULL", 1, parameters);
		default:
			return database_send(reader, problem, "SELECT pg_advisory_unlock(esgf_stac_internal.iteration_lock($1))", 1, parameters);
	}
}

/* It is taken, or another has it */
static void
taken(Job *job, const PGresult *answer)
{
	if (PQntuples(answer) == 0)
	{
		job_forget(job);
		return;
	}
	free(job->writers);
	free(job->state);
	job->state = copy_field(answer, 0, 0);
	job->writers = copy_field(answer, 0, 2);
	job->phase = PQgetvalue(answer, 0, 1)[0] == 't' ? JOB_START : JOB_PAGE;
	log_line(LOG_NOTE, "job %s: taken", job->id);
}

/* Its row has come: say that it starts, to a sink that is open by then */
static ExitStatus
start(Job *job, const PGresult *answer)
{
	ExitStatus	status;

	if (PQntuples(answer) == 0)
	{
		job->phase = JOB_LEAVE;
		return STATUS_RUNNING;
	}
	status = job_open_sink(job, true);
	if (status == STATUS_RUNNING && job->failure == NULL)
		status = job_say(job, "started", PQgetvalue(answer, 0, 1), PQgetvalue(answer, 0, 2));
	if (status != STATUS_RUNNING)
		return job_sink_failed(job, status, JOB_START);
	if (job->failure == NULL)
		job->phase = JOB_WRITERS;
	return STATUS_RUNNING;
}

/* It is over, and how: say so, but of a place that is none, or was never ours */
static ExitStatus
end(Job *job, const PGresult *answer)
{
	ExitStatus	status = STATUS_RUNNING;

	if (PQntuples(answer) == 0 || strcmp(PQgetvalue(answer, 0, 0), "paused") == 0)
	{
		job->phase = JOB_LEAVE;
		return STATUS_RUNNING;
	}
	if (job->failure == NULL)
		status = job_open_sink(job, false);
	if (status == STATUS_RUNNING)
		status = job_say(job, PQgetvalue(answer, 0, 0), PQgetvalue(answer, 0, 1), PQgetvalue(answer, 0, 2));
	if (status != STATUS_RUNNING)
		return job_sink_failed(job, status, JOB_END);
	job->phase = JOB_FINISH;
	return STATUS_RUNNING;
}

/* The answer to what a job's phase asked has come, and is ours */
static ExitStatus
advance(Job *job, PGresult *answer)
{
	ExitStatus	status = STATUS_RUNNING;

	switch (job->phase)
	{
		case JOB_TAKE:
			taken(job, answer);
			break;
		case JOB_START:
			status = start(job, answer);
			break;
		case JOB_WRITERS:
			if (PQgetvalue(answer, 0, 0)[0] == 't')
				job->phase = JOB_PAGE;
			else
				job->not_before = monotonic_ms() + WRITERS_MS;
			break;
		case JOB_PAGE:
			take_page(job, answer);
			return STATUS_RUNNING;
		case JOB_AHEAD:
			lsn_parse(PQgetvalue(answer, 0, 0), &job->position);
			job->phase = JOB_SEND;
			break;
		case JOB_NOTE:
			job_forget_page(job);
			job->phase = JOB_PAGE;
			break;
		case JOB_END:
			status = end(job, answer);
			break;
		case JOB_FINISH:
			/* Who takes it next sees that. */
			job->phase = JOB_LEAVE;
			break;
		default:
			job_forget(job);
			break;
	}
	PQclear(answer);
	return status;
}

/* Take those states of a slice that have come; with the last, or with many, they are to be sent */
static ExitStatus
take_states(Iterations *iterations, Job *job)
{
	PGconn	   *reader = iterations->source.reader;
	Buffer		problem = {0};

	while (iterations->asking != NULL && iterations->row_bytes < SLICE_BYTES && database_has_answer(reader))
	{
		PGresult   *row = database_next_row(reader, &problem);

		if (row == NULL && problem.length > 0)
			return database_lost(&problem);
		if (row == NULL)
		{
			iterations->asking = NULL;
			break;
		}
		if (iterations->row_count == iterations->row_space)
		{
			iterations->row_space = iterations->row_space > 0 ? 2 * iterations->row_space : TARGET_SLICE_SIZE;
			iterations->rows = reallocate(iterations->rows, (size_t) iterations->row_space * sizeof(PGresult *));
		}
		iterations->rows[iterations->row_count++] = row;
		iterations->row_bytes += PQresultMemorySize(row);
	}
	if (iterations->asking == NULL || iterations->row_bytes >= SLICE_BYTES)
		iterations->sending = job;
	return STATUS_RUNNING;
}

/* Take the answer that was waited for, if it has come */
static ExitStatus
take_answer(Iterations *iterations)
{
	PGconn	   *reader = iterations->source.reader;
	Job		   *job = iterations->asking;
	Buffer		problem = {0};
	PGresult   *answer;

	if (job != NULL && job->phase == JOB_SEND)
		return take_states(iterations, job);
	if ((job == NULL && !iterations->looking) || !database_has_answer(reader))
		return STATUS_RUNNING;
	answer = database_result(reader, "an iteration job", &problem);
	if (iterations->looking)
	{
		iterations->looking = false;
		return take_look(iterations, answer, &problem);
	}
	if (answer == NULL)
		return database_lost(&problem);
	iterations->asking = NULL;
	return advance(job, answer);
}

/* Have the sink make a page durable, before that is noted; it may refuse something yet */
static ExitStatus
settle_page(Job *job)
{
	Delivery   *delivery = job_delivery(job);
	ExitStatus	status = delivery->sink != NULL ? batch_settle(delivery) : STATUS_RUNNING;

	if (status != STATUS_RUNNING)
		return job_sink_failed(job, status, JOB_PAGE);
	if (job->refusal.length > 0)
		job_fail(job, job->refusal.data);
	return STATUS_RUNNING;
}

/* Ask for what is next, of the jobs in turn */
static ExitStatus
take_turns(Iterations *iterations)
{
	Buffer		problem = {0};

	if (iterations->asking != NULL || iterations->looking || iterations->sending != NULL)
		return STATUS_RUNNING;
	for (int i = 0; i < MOST_JOBS; i++)
	{
		Job		   *job = &iterations->jobs[(iterations->turn + 1 + i) % MOST_JOBS];

		obey(job);
		if (job->phase == JOB_SEND && job->left == 0)
			job->phase = JOB_NOTE;
		if (!is_ready(iterations, job))
			continue;
		if (job->phase == JOB_SEND && !choose_slice(job, &iterations->keys))
			job->phase = JOB_AHEAD;
		iterations->turn = (iterations->turn + 1 + i) % MOST_JOBS;
		if (job->phase == JOB_SEND)
		{
			ExitStatus	status = job_open_sink(job, false);

			if (status != STATUS_RUNNING || job->failure != NULL)
				return job_sink_failed(job, status, JOB_PAGE);
			job->not_before = iterations->slice_at = monotonic_ms();
		}
		if (job->phase == JOB_NOTE)
		{
			ExitStatus	status = settle_page(job);

			if (status != STATUS_RUNNING || job->phase != JOB_NOTE)
				return status;
		}
		if (!ask(iterations, job, &problem))
			return database_lost(&problem);
		iterations->asking = job;
		break;
	}
	return STATUS_RUNNING;
}

/* When does it want to be asked again? */
int64_t
iterations_due(const Iterations *iterations)
{
	int64_t		now = monotonic_ms();
	int64_t		due = look_time(iterations);

	if (iterations->asking != NULL || iterations->looking)
		return now + ANSWER_MS;
	for (int i = 0; i < MOST_JOBS; i++)
	{
		const Job  *job = &iterations->jobs[i];
		int64_t		then = job->not_before;

		if (job->phase == JOB_NONE)
			continue;
		if (then <= now && !is_ready(iterations, job))
			then = now + STREAM_MS;
		due = then < due ? then : due;
	}
	return due;
}

/* Asked between transactions, as often as it wants */
static ExitStatus
iteration_begin(Source *source, bool *wanted)
{
	Iterations *iterations = (Iterations *) source;
	ExitStatus	status;

	*wanted = false;
	if (monotonic_ms() < iterations_due(iterations) && iterations->asking == NULL && !iterations->looking)
		return STATUS_RUNNING;
	status = look(iterations);
	if (status == STATUS_RUNNING && source->reader == NULL && any_job(iterations))
		status = catalogue_connect(source->consumer->catalogue, &source->reader);
	if (status == STATUS_RUNNING)
		status = take_answer(iterations);
	if (status == STATUS_RUNNING)
		status = take_turns(iterations);

	/* Without jobs there is no need of a connection. */
	if (status == STATUS_RUNNING && source->reader != NULL && !any_job(iterations) && !iterations->looking)
	{
		PQfinish(source->reader);
		source->reader = NULL;
	}
	*wanted = status == STATUS_RUNNING && iterations->sending != NULL;
	if (*wanted)
		source->delivery = job_delivery(iterations->sending);
	return status;
}

/* A slice of a job's page, or what has come of it, is one page to whom sends it */
static bool
iteration_page(Source *source, PGconn *reader, Buffer *problem)
{
	(void) source;
	(void) reader;
	(void) problem;
	return true;
}

static PGresult *
iteration_next(Source *source)
{
	Iterations *iterations = (Iterations *) source;

	return iterations->next_row < iterations->row_count ? iterations->rows[iterations->next_row++] : NULL;
}

/* A state is ahead of the stream, or behind it: then it is asked for anew */
static void
put_off(Job *job, Key *key, const PGresult *row, Event *event)
{
	size_t		size = PQresultMemorySize(row);
	bool		sendable = PQgetvalue(row, 0, PQfnumber(row, "sent"))[0] == 't';

	if (event->version < key->version)
		return;
	key->ahead = event->version;
	if (!sendable || job->held_bytes + size > HELD_BYTES)
		return;
	key->held = event->memory;
	event->release = NULL;
	job->held_bytes += size;
}

/* A state has come, or that of the item none will be sent */
static bool
iteration_take(Source *source, const PGresult *row, Event *event)
{
	Iterations *iterations = (Iterations *) source;
	Job		   *job = iterations->sending;
	Key		   *key = &job->keys[atoi(PQgetvalue(row, 0, PQfnumber(row, "place")))];

	key->asked = false;
	if (event->type != NULL && job->target == NULL && event->version != key->version)
	{
		put_off(job, key, row, event);
		return false;
	}
	key->settled = true;
	job->left--;
	if (event->type == NULL)
		return false;
	event->job_id = job->id;
	event->xid = job->due_xid;
	event->without_document = !job->with_document;
	job->page_sent++;
	iterations->sent++;
	return true;
}

/* A slice is sent, or what came of it */
static ExitStatus
iteration_done(Source *source, const Page *page, bool *more)
{
	Iterations *iterations = (Iterations *) source;
	Job		   *job = iterations->sending;
	int64_t		now = monotonic_ms();

	*more = false;
	job->failures = 0;
	drop_slice(iterations);
	if (now < iterations->live_at + LIVE_MS)
		iterations->rest_until = now + RESTS * (now - iterations->slice_at);
	if (job->max_rate > 0)
		job->not_before += page->rows * 1000 / job->max_rate;
	if (iterations->asking != NULL)
		return STATUS_RUNNING;

	/* An item that is no more has no row at all. */
	for (int i = job->slice[0]; i < job->slice[1]; i++)
		if (job->keys[i].asked)
		{
			job->keys[i].asked = false;
			job->keys[i].settled = true;
			job->left--;
		}
	if (job->refusal.length > 0)
		job_fail(job, job->refusal.data);
	return STATUS_RUNNING;
}

/* Sending a slice failed */
static ExitStatus
iteration_failed(Source *source, ExitStatus status)
{
	Iterations *iterations = (Iterations *) source;
	Job		   *job = iterations->sending;

	drop_slice(iterations);
	iterations->asking = NULL;
	return job_sink_failed(job, status, JOB_PAGE);
}

const SourceKind source_iteration = {
	.begin = iteration_begin,
	.page = iteration_page,
	.next = iteration_next,
	.take = iteration_take,
	.done = iteration_done,
	.settles = true,
	.failed = iteration_failed,
};

/* ---------------------------------------------------------------- progress */

/* How many jobs run, whoever has them, how much they have sent, and of how much (-1: not known) */
static int
add_up(const PGresult *seen, int64_t *sent, int64_t *total)
{
	int			jobs = 0;

	*sent = *total = 0;
	for (int row = 0; seen != NULL && row < PQntuples(seen); row++)
	{
		if (strcmp(PQgetvalue(seen, row, SEEN_STATE), "running") != 0)
			continue;
		jobs++;
		*sent += strtoll(PQgetvalue(seen, row, SEEN_SENT), NULL, 10);
		if (PQgetisnull(seen, row, SEEN_TOTAL))
			*total = -1;
		else if (*total >= 0)
			*total += strtoll(PQgetvalue(seen, row, SEEN_TOTAL), NULL, 10);
	}
	return jobs;
}

/* Append how far all jobs are that run, and how long the rest will take; nothing if there are none */
void
iterations_progress(Iterations *iterations, Buffer *text)
{
	int64_t		sent;
	int64_t		total;
	int			jobs = add_up(iterations->seen, &sent, &total);

	/* Others than before, or long ago: the rate is taken anew. */
	if (jobs != iterations->rate_jobs || sent < iterations->rate_sent || monotonic_ms() > iterations->rate_from + RATE_MS)
	{
		iterations->rate_jobs = jobs;
		iterations->rate_sent = sent;
		iterations->rate_from = monotonic_ms();
	}
	if (jobs == 0)
		return;
	buffer_printf(text, "%d job%s: ", jobs, jobs > 1 ? "s" : "");
	append_count(text, sent);
	if (total >= 0)
	{
		buffer_text(text, " of ");
		append_count(text, total);
	}
	buffer_text(text, " items sent");
	if (total >= 0)
		append_time_left(text, sent - iterations->rate_sent, total - sent, iterations->rate_from);
}
