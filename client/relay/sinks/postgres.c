/*
 * postgres.c
 *		A table in a PostgreSQL database that holds the newest version of every
 *		item: a deletion leaves its row, with the version and a null document.
 *		Beside it the table TABLE_source holds each source's newest event.
 *
 * A batch is one transaction, sent as a pipeline. If a row of it fails, each is
 * tried in a transaction of its own, so that only the bad one is refused. What
 * the table holds is newer or the same: an older version changes nothing.
 */
#include "sinks/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/database.h"
#include "sinks/postgres.h"

typedef struct PostgresSink
{
	Sink		sink;
	PGconn	   *connection;
	bool		may_delete;		/* from the table */
	char	   *source;
	Buffer		newest;			/* of the rows being written */
} PostgresSink;

/* CONNINFO#table: the table's name begins behind the last # */
bool
postgres_split_target(const char *target, char **conninfo, const char **table)
{
	const char *hash = strrchr(target, '#');

	if (hash == NULL || hash[1] == '\0')
		return false;
	*conninfo = copy_string(target);
	(*conninfo)[hash - target] = '\0';
	*table = hash + 1;
	return true;
}

static bool
postgres_check(const SinkSettings *settings, Buffer *problem)
{
	char	   *conninfo;
	const char *table;
	bool		valid;

	if (!postgres_split_target(settings->target, &conninfo, &table))
	{
		buffer_text(problem, "no #TABLE behind the connection string");
		return false;
	}
	valid = conninfo_valid(conninfo);
	if (!valid)
		buffer_text(problem, "invalid connection string");
	free(conninfo);
	return valid;
}

static bool
postgres_names_password(const char *target)
{
	char	   *conninfo;
	const char *table;
	bool		found;

	if (!postgres_split_target(target, &conninfo, &table))
		return false;
	found = conninfo_names_password(conninfo);
	free(conninfo);
	return found;
}

/* Quote a name, or schema.name, with something added */
void
postgres_quote_table(PGconn *connection, Buffer *quoted, const char *schema_table, const char *suffix)
{
	Buffer		name = {0};
	const char *table;
	const char *dot;
	char	   *part;

	buffer_printf(&name, "%s%s", schema_table, suffix);
	table = name.data;
	dot = strchr(table, '.');

	if (dot != NULL)
	{
		part = PQescapeIdentifier(connection, table, (size_t) (dot - table));
		buffer_printf(quoted, "%s.", part);
		PQfreemem(part);
		table = dot + 1;
	}
	part = PQescapeIdentifier(connection, table, strlen(table));
	buffer_text(quoted, part);
	PQfreemem(part);
	buffer_free(&name);
}

static bool
prepare(PostgresSink *sink, const char *name, const char *query, int parameter_count, Buffer *problem)
{
	PGresult   *result = NULL;

	if (PQsendPrepare(sink->connection, name, query, parameter_count, NULL))
		result = database_result(sink->connection, query, problem);
	else
		buffer_text(problem, PQerrorMessage(sink->connection));
	PQclear(result);
	return result != NULL;
}

/* Find a table, which must outlive a crash of its server; false and a problem if it would not */
static bool
find_table(PostgresSink *sink, const char *quoted, bool *found, Buffer *problem)
{
	PGresult   *result = database_query(sink->connection, problem,
										"SELECT relpersistence = 'u' FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)", 1, &quoted);
	bool		good = result != NULL;

	*found = good && PQntuples(result) == 1;
	if (*found && PQgetvalue(result, 0, 0)[0] == 't')
	{
		buffer_printf(problem, "table %s is unlogged: a crash of its server would empty it", quoted);
		good = false;
	}
	PQclear(result);
	return good;
}

/* Make a table if it is missing: where it is there, nobody needs the right to make one */
static bool
make_table(PostgresSink *sink, const char *quoted, const char *columns, Buffer *problem)
{
	Buffer		query = {0};
	bool		found;
	bool		good = find_table(sink, quoted, &found, problem);

	buffer_printf(&query, "CREATE TABLE %s (%s)", quoted, columns);
	good = good && (found || database_do(sink->connection, problem, query.data));
	buffer_free(&query);
	return good;
}

/*
 * What the sink says it has is confirmed, so a commit has to be on disk. More
 * than that, that a standby has it too, is the server's to ask for.
 */
static bool
commit_durably(PostgresSink *sink, Buffer *problem)
{
	return database_do(sink->connection, problem,
					   "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)"
					   " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'");
}

/* May we delete from the table? Only repairs ever have to */
static bool
learn_rights(PostgresSink *sink, const char *quoted, Buffer *problem)
{
	PGresult   *result = database_query(sink->connection, problem, "SELECT pg_catalog.has_table_privilege($1, 'DELETE')", 1, &quoted);
	bool		known = result != NULL;

	sink->may_delete = known && field_true(result, 0);
	PQclear(result);
	return known;
}

#define UPSERT "INSERT INTO %s AS t (collection_id, item_id, version, document) VALUES ($1, $2, $3, $4)" \
	" ON CONFLICT (collection_id, item_id) DO UPDATE SET version = excluded.version, document = excluded.document"

/* The names of both tables, quoted. */
typedef struct Tables
{
	Buffer		items;
	Buffer		sources;
}			Tables;

static Tables
name_tables(const PostgresSink *sink, const char *table)
{
	Tables		tables = {0};

	postgres_quote_table(sink->connection, &tables.items, table, "");
	postgres_quote_table(sink->connection, &tables.sources, table, "_source");
	return tables;
}

static void
free_tables(Tables * tables)
{
	buffer_free(&tables->items);
	buffer_free(&tables->sources);
}

/* Make the tables if they are missing */
static bool
make_tables(PostgresSink *sink, const Tables * tables, Buffer *problem)
{
	return make_table(sink, tables->items.data, "collection_id text, item_id text, version bigint NOT NULL, document jsonb,"
					  " PRIMARY KEY (collection_id, item_id)", problem) &&
		make_table(sink, tables->sources.data, "source text PRIMARY KEY, newest jsonb NOT NULL", problem);
}

static bool
prepare_statements(PostgresSink *sink, const Tables * tables, Buffer *problem)
{
	const char *items = tables->items.data;
	const char *sources = tables->sources.data;
	Buffer		query = {0};
	bool		good;

	/*
	 * Of one version, a null document only says that it left some stream. Of
	 * an older one the answer is the version that is there.
	 */
	buffer_printf(&query, "WITH written AS (" UPSERT " WHERE (excluded.version, excluded.document IS NOT NULL) > (t.version, t.document IS NOT NULL) RETURNING true)"
				  " SELECT version FROM %s WHERE NOT EXISTS (SELECT FROM written) AND collection_id = $1 AND item_id = $2 AND version > $3", items, items);
	good = prepare(sink, "upsert", query.data, 4, problem);

	buffer_clear(&query);
	buffer_printf(&query, UPSERT " WHERE excluded.version >= t.version", items);
	good = good && prepare(sink, "overwrite", query.data, 4, problem);

	buffer_clear(&query);
	buffer_printf(&query, "DELETE FROM %s WHERE collection_id = $1 AND item_id = $2 AND version <= $3", items);
	good = good && prepare(sink, "forget", query.data, 3, problem) && learn_rights(sink, items, problem);

	buffer_clear(&query);
	buffer_printf(&query, "INSERT INTO %s (source, newest) VALUES ($1, $2)"
				  " ON CONFLICT (source) DO UPDATE SET newest = excluded.newest", sources);
	good = good && prepare(sink, "mark", query.data, 2, problem);

	buffer_clear(&query);
	buffer_printf(&query, "SELECT newest FROM %s WHERE source = $1", sources);
	good = good && prepare(sink, "newest", query.data, 1, problem);

	buffer_free(&query);
	return good;
}

static void
postgres_close(Sink *opened)
{
	PostgresSink *sink = (PostgresSink *) opened;

	PQfinish(sink->connection);
	buffer_free(&sink->newest);
	free(sink->source);
	free(sink);
}

/* Connect to where the tables are; which one is it? */
static bool
connect_to_tables(PostgresSink *sink, const SinkSettings *settings, Tables * tables, Buffer *problem)
{
	char	   *conninfo;
	const char *table;

	if (!postgres_split_target(settings->target, &conninfo, &table))
		abort();				/* postgres_check() has seen it */
	sink->connection = database_connect(conninfo, false, "a connection to the sink", problem);
	free(conninfo);
	if (sink->connection != NULL)
		*tables = name_tables(sink, table);
	return sink->connection != NULL;
}

static Sink *
postgres_open(const SinkSettings *settings, const char *source, Buffer *problem)
{
	PostgresSink *sink = allocate(sizeof(PostgresSink));
	Tables		tables = {0};
	bool		good;

	sink->sink.kind = &sink_postgres;
	sink->source = copy_string(source);
	good = connect_to_tables(sink, settings, &tables, problem) && commit_durably(sink, problem) &&
		make_tables(sink, &tables, problem) && prepare_statements(sink, &tables, problem);
	free_tables(&tables);
	if (good)
		return &sink->sink;
	postgres_close(&sink->sink);
	return NULL;
}

/* Is the table there, or may it be made? False and a problem if neither */
static bool
try_table(PostgresSink *sink, const char *quoted, bool *found, Buffer *problem)
{
	PGresult   *result;
	bool		good = find_table(sink, quoted, found, problem);

	if (!good || *found)
		return good;
	result = database_query(sink->connection, problem,
							"SELECT s.name, pg_catalog.has_schema_privilege(s.name, 'CREATE') FROM (SELECT coalesce((pg_catalog.parse_ident($1))[1],"
							" pg_catalog.current_schema()) WHERE strpos($1, '.') > 0 UNION ALL SELECT pg_catalog.current_schema() WHERE strpos($1, '.') = 0) s (name)",
							1, &quoted);
	good = result != NULL && PQntuples(result) == 1 && field(result, 0) != NULL && field_true(result, 1);
	if (result != NULL && !good)
		buffer_printf(problem, "table %s is not there, and the login may not make it", quoted);
	PQclear(result);
	return good;
}

/*
 * Would the statements be performed? What explains one asks for rights, columns
 * and keys, and changes nothing.
 */
static bool
try_statements(PostgresSink *sink, const Tables * tables, Buffer *problem)
{
	return prepare_statements(sink, tables, problem) &&
		database_do(sink->connection, problem, "EXPLAIN EXECUTE upsert('', '', 1, '{}')") &&
		database_do(sink->connection, problem, "EXPLAIN EXECUTE mark('', '{}')") &&
		database_do(sink->connection, problem, "EXPLAIN EXECUTE newest('')");
}

static bool
is_standby(PostgresSink *sink, Buffer *problem)
{
	PGresult   *result = database_query(sink->connection, problem, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL);
	bool		standby = result == NULL || field_true(result, 0);

	if (result != NULL && standby)
		buffer_text(problem, "the server is a standby, which takes no rows");
	PQclear(result);
	return standby;
}

static bool
postgres_try(const SinkSettings *settings, bool beside, Buffer *problem)
{
	PostgresSink *sink = allocate(sizeof(PostgresSink));
	Tables		tables = {0};
	bool		found[2] = {false, false};
	bool		good;

	(void) beside;
	good = connect_to_tables(sink, settings, &tables, problem) && !is_standby(sink, problem) &&
		try_table(sink, tables.items.data, &found[0], problem) && try_table(sink, tables.sources.data, &found[1], problem) &&
		(!found[0] || !found[1] || try_statements(sink, &tables, problem));
	free_tables(&tables);
	postgres_close(&sink->sink);
	return good;
}

/*
 * Is that for the table? It leaves out what happens to collections, and what it
 * is not allowed to do.
 */
static bool
is_row(const PostgresSink *sink, const Event *event)
{
	return event->item_id != NULL && (!event->forgets || sink->may_delete);
}

/* Send one row; the answer comes later */
static bool
send_row(PostgresSink *sink, const Event *event)
{
	char		version[32];
	const char *values[] = {event->collection_id, event->item_id, version, event->document};

	snprintf(version, sizeof(version), "%" PRId64, event->version);
	if (event->forgets)
		return PQsendQueryPrepared(sink->connection, "forget", 3, values, NULL, NULL, 0);
	return PQsendQueryPrepared(sink->connection, event->overwrites ? "overwrite" : "upsert", 4, values, NULL, NULL, 0);
}

/* Send which event is the newest one now, in the same transaction */
static bool
send_mark(PostgresSink *sink, const Event *event)
{
	const char *values[] = {sink->source, NULL};

	buffer_clear(&sink->newest);
	event_head(&sink->newest, event);
	buffer_text(&sink->newest, "}");
	values[1] = sink->newest.data;
	return PQsendQueryPrepared(sink->connection, "mark", 2, values, NULL, NULL, 0);
}

/* Read the answer to one command of the pipeline; NULL if there will be none */
static PGresult *
read_answer(PostgresSink *sink, Buffer *problem)
{
	static const char what[] = "a batch";
	PGresult   *result;

	if (!database_await(sink->connection, what, problem))
		return NULL;
	result = PQgetResult(sink->connection);

	/* A NULL closes each command's results. */
	if (result != NULL && PQresultStatus(result) != PGRES_PIPELINE_SYNC && database_await(sink->connection, what, problem))
		PQclear(PQgetResult(sink->connection));
	return result;
}

/*
 * What an error says. Data exceptions and broken constraints are the row's
 * fault for good. A lost connection, a missing table or right, a conflict, a
 * lack of resources or an operator's doing are nobody's: the sink is down.
 * What remains may be the row's fault: a trigger's error, a limit exceeded.
 */
static Outcome
judge_error(const PGresult *result, bool *down)
{
	static const char *const refused[] = {"22", "23", NULL};
	static const char *const nobodys[] = {"08", "25", "28", "3D", "40", "42", "53", "55", "57", "58", NULL};
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	*down = state == NULL;
	for (int i = 0; state != NULL && nobodys[i] != NULL; i++)
		if (strncmp(state, nobodys[i], 2) == 0)
			*down = true;
	for (int i = 0; state != NULL && refused[i] != NULL; i++)
		if (strncmp(state, refused[i], 2) == 0)
			return EVENT_REFUSED;
	return EVENT_RETRY;
}

/* What the answers to one pipeline amount to. */
typedef enum Answer
{
	ANSWER_GOOD,
	ANSWER_ROW_FAILED,			/* it was rolled back as a whole */
	ANSWER_DOWN,
} Answer;

/* Read the answer to one row, or (no event) to what follows the rows */
static Answer
judge_answer(PostgresSink *sink, Event *event, Buffer *problem)
{
	Buffer		trouble = {0};
	PGresult   *result = read_answer(sink, &trouble);
	ExecStatusType status = PQresultStatus(result);
	Answer		answer = ANSWER_GOOD;
	bool		down = true;

	if (event && status == PGRES_TUPLES_OK && PQntuples(result) > 0)
		event->found_version = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_PIPELINE_SYNC && status != PGRES_PIPELINE_ABORTED)
	{
		Outcome		outcome = judge_error(result, &down);

		buffer_clear(problem);
		buffer_text(problem, result != NULL ? PQresultErrorMessage(result) :
					trouble.length > 0 ? trouble.data : PQerrorMessage(sink->connection));
		answer = down || event == NULL ? ANSWER_DOWN : ANSWER_ROW_FAILED;
		if (answer == ANSWER_ROW_FAILED)
			event_refuse(event, outcome, problem->data);
	}
	PQclear(result);
	buffer_free(&trouble);
	return answer;
}

/*
 * Write some rows as one transaction: in a pipeline all up to the
 * synchronisation is one. The row that fails is told so.
 */
static Answer
write_rows(PostgresSink *sink, Event *events, int count, Buffer *problem)
{
	Answer		answer = ANSWER_GOOD;

	for (int i = 0; i < count; i++)
	{
		if (events[i].forgets && !sink->may_delete)
			event_refuse(&events[i], EVENT_REFUSED, "the sink's login may not DELETE from the table");
		if (is_row(sink, &events[i]) && !send_row(sink, &events[i]))
			return ANSWER_DOWN;
	}
	if (!send_mark(sink, &events[count - 1]) || PQpipelineSync(sink->connection) != 1)
		return ANSWER_DOWN;

	for (int i = 0; i < count && answer != ANSWER_DOWN; i++)
	{
		Answer		one = is_row(sink, &events[i]) ? judge_answer(sink, &events[i], problem) : ANSWER_GOOD;

		if (one != ANSWER_GOOD)
			answer = one;
	}
	for (int i = 0; i < 2 && answer != ANSWER_DOWN; i++)	/* the mark, the end */
		if (judge_answer(sink, NULL, problem) == ANSWER_DOWN)
			answer = ANSWER_DOWN;
	return answer;
}

/* One row of a batch failed, and took the others with it: try each alone */
static Answer
write_one_by_one(PostgresSink *sink, Event *events, int count, Buffer *problem)
{
	for (int i = 0; i < count; i++)
	{
		events[i].outcome = EVENT_DONE;
		if (write_rows(sink, &events[i], 1, problem) == ANSWER_DOWN)
			return ANSWER_DOWN;
	}
	return ANSWER_GOOD;
}

static bool
postgres_write(Sink *opened, Event *events, int count, Buffer *problem)
{
	PostgresSink *sink = (PostgresSink *) opened;
	Answer		answer = ANSWER_DOWN;

	if (PQenterPipelineMode(sink->connection) == 1)
		answer = write_rows(sink, events, count, problem);
	if (answer == ANSWER_ROW_FAILED && count > 1)
		answer = write_one_by_one(sink, events, count, problem);
	if (answer != ANSWER_DOWN && PQexitPipelineMode(sink->connection) == 1)
	{
		buffer_free(problem);
		return true;
	}
	if (problem->length == 0)
		buffer_text(problem, PQerrorMessage(sink->connection));
	return false;
}

static bool
postgres_newest(Sink *opened, Buffer *event)
{
	PostgresSink *sink = (PostgresSink *) opened;
	const char *values[] = {sink->source};
	Buffer		problem = {0};
	PGresult   *result = NULL;
	bool		found;

	if (PQsendQueryPrepared(sink->connection, "newest", 1, values, NULL, NULL, 0))
		result = database_result(sink->connection, "the newest event", &problem);
	found = result != NULL && PQntuples(result) == 1;
	if (found)
		buffer_text(event, PQgetvalue(result, 0, 0));
	PQclear(result);
	buffer_free(&problem);
	return found;
}

const SinkKind sink_postgres = {
	.scheme = "postgres",
	.syntax = "postgres:CONNINFO#TABLE     the newest version of every item, in a table",
	.check = postgres_check,
	.names_password = postgres_names_password,
	.open = postgres_open,
	.try = postgres_try,
	.write = postgres_write,
	.place = "#.",
	.newest = postgres_newest,
	.reader = &postgres_reader,
	.close = postgres_close,
};
