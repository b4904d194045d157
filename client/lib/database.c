/*
 * database.c
 *		Connections to PostgreSQL, and queries that keep nobody waiting.
 *
 * No call of libpq that may block is made here but in a thread of its own. A
 * query that is long in coming is asked after over another connection: its
 * server knows what it waits for, or knows nothing of it.
 */
#include "lib/database.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/passwords.h"
#include "lib/program.h"
#include "lib/wait.h"

/* An answer about a query must come by then. */
#define EXPLAIN_MS 20000

/* A host may take so long to accept a connection; one of several, for the others' turn comes then. */
#define CONNECT_SECONDS "10"
#define CONNECT_ONE_SECONDS "3"

/* Having asked for a stop, a query may take so long before it is cancelled. */
#define CANCEL_MS 1000

/* libpq reads at least so much at once; a record of TLS or GSSAPI has up to twice that. */
#define READS_PER_RECORD 2

bool
lsn_parse(const char *text, uint64_t *lsn)
{
	unsigned int high;
	unsigned int low;
	char		rest;

	if (sscanf(text, "%8X/%8X%c", &high, &low, &rest) != 2)
		return false;
	*lsn = (uint64_t) high << 32 | low;
	return true;
}

/* Add a text, or NULL, to an array of texts that is a query's parameter */
void
array_add(Buffer *array, const char *text)
{
	buffer_text(array, array->length == 0 ? "{" : ",");
	if (text == NULL)
	{
		buffer_text(array, "NULL");
		return;
	}
	buffer_text(array, "\"");
	while (*text != '\0')
	{
		size_t		plain = strcspn(text, "\"\\");

		buffer_append(array, text, plain);
		text += plain;
		if (*text != '\0')
		{
			buffer_text(array, "\\");
			buffer_append(array, text++, 1);
		}
	}
	buffer_text(array, "\"");
}

/* Close an array; it is all the text that it will have */
const char *
array_text(Buffer *array)
{
	buffer_text(array, array->length == 0 ? "{}" : "}");
	return array->data;
}

/* libpq takes what looks like no connection string for a database's name */
bool
conninfo_valid(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	bool		valid = parsed != NULL ||
	(strchr(conninfo, '=') == NULL && strstr(conninfo, "://") == NULL);

	PQconninfoFree(parsed);
	return valid;
}

/* Is that a password which a connection string gives? */
static bool
is_password(const PQconninfoOption *part)
{
	return part->val != NULL && (strcmp(part->keyword, "password") == 0 || strcmp(part->keyword, "sslpassword") == 0);
}

bool
conninfo_names_password(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	bool		found = false;

	for (PQconninfoOption *part = parsed; part != NULL && part->keyword != NULL; part++)
		found = found || is_password(part);
	PQconninfoFree(parsed);
	return found;
}

/* Have no message show the passwords of a connection string */
void
conninfo_hide_passwords(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);

	passwords_hide(conninfo);
	for (PQconninfoOption *part = parsed; part != NULL && part->keyword != NULL; part++)
		if (is_password(part))
			log_secret(part->val);
	PQconninfoFree(parsed);
}

/* A server that says nothing of a query for so long is given up. */
static int64_t server_timeout_ms = 60000;

void
database_set_timeout(int64_t seconds)
{
	server_timeout_ms = seconds * 1000;
}

/* While a query's wait is explained: when the answer must have come. 0: none is. */
static int64_t explain_until = 0;

static bool
explaining_too_long(void)
{
	return explain_until != 0 && monotonic_ms() >= explain_until;
}

/* ---------------------------------------------------------------- connecting */

/* A connection in the making, and what libpq is told of it. */
typedef struct Making
{
	char	  **keywords;		/* NULL ends both */
	char	  **values;
	int			count;
	atomic_int	state;
	int			made[2];		/* a pipe, whose end tells */
	PGconn	   *connection;
	bool		ping;			/* if it fails, is a server there? */
	bool		refused;		/* it is */
} Making;

/* Whoever comes second, the maker or the one who gives up, clears away. */
enum
{
	MAKING_UNDER_WAY,
	MAKING_DONE,
	MAKING_UNWANTED,
};

static void
add_setting(Making *making, const char *keyword, const char *value)
{
	size_t		size = (size_t) (making->count + 2) * sizeof(char *);

	making->keywords = reallocate(making->keywords, size);
	making->values = reallocate(making->values, size);
	making->keywords[making->count] = copy_string(keyword);
	making->values[making->count] = copy_string(value);
	making->count++;
	making->keywords[making->count] = making->values[making->count] = NULL;
}

static void
free_making(Making *making)
{
	for (int i = 0; i < making->count; i++)
	{
		free(making->keywords[i]);
		free(making->values[i]);
	}
	free(making->keywords);
	free(making->values);
	close(making->made[0]);
	free(making);
}

/* The thread's work: names are resolved, servers tried, passwords asked for */
static void *
make_connection(void *argument)
{
	Making	   *making = argument;
	int			end = making->made[1];
	const char *const *keywords = (const char *const *) making->keywords;
	const char *const *values = (const char *const *) making->values;

	making->connection = PQconnectdbParams(keywords, values, 1);
	if (making->ping && PQstatus(making->connection) != CONNECTION_OK)
		making->refused = PQpingParams(keywords, values, 1) == PQPING_OK;
	if (atomic_exchange(&making->state, MAKING_DONE) == MAKING_UNWANTED)
	{
		PQfinish(making->connection);
		free_making(making);
	}
	close(end);
	return NULL;
}

/* Start a thread to which no signal comes, and that nobody has to wait for */
static bool
start_thread(void *(*work) (void *), void *argument)
{
	sigset_t	all;
	sigset_t	before;
	pthread_t	thread;
	bool		started;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(&thread, NULL, work, argument) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (started)
		pthread_detach(thread);
	return started;
}

/* Is it time to give up what was begun before a signal came, or after it? */
static bool
interrupted(bool was_stopping)
{
	return was_stopping ? stop_due() : stop_requested;
}

/* Make a connection, and free what told of it; NULL if that was interrupted */
static PGconn *
await_connection(Making *making, const char *what, bool *refused)
{
	bool		was_stopping = stop_requested;
	Wait		wait = wait_begin(what);
	PGconn	   *connection;

	while (!wait_on(&wait, making->made[0], POLLIN, 1000))
		if ((interrupted(was_stopping) || explaining_too_long()) && atomic_exchange(&making->state, MAKING_UNWANTED) == MAKING_UNDER_WAY)
			return NULL;
	wait_end(&wait);

	/* By the end of the pipe it is done; by that all is seen that was made. */
	(void) atomic_load(&making->state);
	connection = making->connection;
	*refused = making->refused;
	free_making(making);
	return connection;
}

/* What a server says beside its answers */
static void
pass_notice(void *argument, const PGresult *notice)
{
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
	bool		grave = severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "WARNING") == 0);

	(void) argument;
	log_line(grave ? LOG_WARNING : LOG_DETAIL, "the server says: %s", PQresultErrorMessage(notice));
}

/*
 * Have a session obey us and not what an administrator sets for all: what we
 * wait for may take long, and be idle for long.
 */
static bool
set_session(PGconn *connection, Buffer *problem)
{
	return database_do(connection, problem,
					   "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings"
					   " WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',"
					   " 'idle_session_timeout', 'transaction_timeout')");
}

/* Make a connection as it was described; NULL and a problem if that fails, or is refused */
static PGconn *
connect_as(Making *making, const char *what, bool *refused, Buffer *problem)
{
	PGconn	   *connection;

	if (pipe(making->made) != 0 || !start_thread(make_connection, making))
		out_of_memory();
	*refused = false;
	connection = await_connection(making, what, refused);
	if (connection == NULL)
		buffer_text(problem, "interrupted while connecting");
	else if (PQstatus(connection) != CONNECTION_OK)
		buffer_text(problem, PQerrorMessage(connection));
	else if (PQsetnonblocking(connection, 1) == 0)
	{
		PQsetNoticeReceiver(connection, pass_notice, NULL);
		if (set_session(connection, problem))
			return connection;
	}
	PQfinish(connection);
	return NULL;
}

/* Does a connection string, or the environment instead, name several hosts? */
static bool
names_several_hosts(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	const char *hosts = getenv("PGHOST");
	bool		several;

	for (const PQconninfoOption *part = parsed; part != NULL && part->keyword != NULL; part++)
		if (part->val != NULL && (strcmp(part->keyword, "host") == 0 || strcmp(part->keyword, "hostaddr") == 0))
			hosts = part->val;
	several = hosts != NULL && strchr(hosts, ',') != NULL;
	PQconninfoFree(parsed);
	return several;
}

/*
 * Connect, for SQL or for replication, to what the log calls so. Texts come in
 * UTF-8.
 */
PGconn *
database_connect(const char *conninfo, bool replication, const char *what, Buffer *problem)
{
	/*
	 * What stands before dbname, the connection string may overrule. A peer
	 * that vanished without a word is noticed within a minute.
	 */
	const char *const settings[][2] = {
		{"connect_timeout", names_several_hosts(conninfo != NULL ? conninfo : "") ? CONNECT_ONE_SECONDS : CONNECT_SECONDS},
		{"keepalives_idle", "15"},
		{"keepalives_interval", "5"},
		{"keepalives_count", "6"},
		{"tcp_user_timeout", "45000"},
		{"fallback_application_name", program_name},
		{"dbname", conninfo != NULL ? conninfo : ""},
		{"client_encoding", "UTF8"},
	};
	Making	   *making = allocate(sizeof(Making));
	bool		refused;

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		add_setting(making, settings[i][0], settings[i][1]);
	if (replication)
		add_setting(making, "replication", "database");
	return connect_as(making, what, &refused, problem);
}

/* What makes another connection, for queries, to the server of one */
static Making *
making_beside(PGconn *connection)
{
	Making	   *making = allocate(sizeof(Making));
	PQconninfoOption *settings = PQconninfo(connection);

	for (const PQconninfoOption *one = settings; one != NULL && one->keyword != NULL; one++)
	{
		const char *value = one->val;

		/* Of several servers it is that one. */
		if (strcmp(one->keyword, "host") == 0)
			value = PQhost(connection);
		else if (strcmp(one->keyword, "hostaddr") == 0)
			value = value != NULL ? PQhostaddr(connection) : NULL;
		else if (strcmp(one->keyword, "port") == 0)
			value = PQport(connection);
		else if (strcmp(one->keyword, "replication") == 0)
			value = NULL;
		if (value != NULL && value[0] != '\0' && strcmp(one->keyword, "dbname") != 0)
			add_setting(making, one->keyword, value);
	}
	PQconninfoFree(settings);

	/* It could be taken for a connection string, if it stood where one may. */
	add_setting(making, "dbname", "");
	add_setting(making, "dbname", PQdb(connection));
	return making;
}

/* Another connection to the server of one, which may be one of several */
PGconn *
database_connect_beside(PGconn *connection, bool replication, const char *what, Buffer *problem)
{
	Making	   *making = making_beside(connection);
	bool		refused;

	if (replication)
		add_setting(making, "replication", "database");
	return connect_as(making, what, &refused, problem);
}

/* ---------------------------------------------------------------- waiting for answers */

/*
 * Take what has come, without waiting; false if the connection is lost. What
 * TLS has deciphered and libpq had no room for does not make a socket readable.
 */
bool
database_receive(PGconn *connection)
{
	int			times = PQsslInUse(connection) || PQgssEncInUse(connection) ? 1 + READS_PER_RECORD : 1;

	for (int i = 0; i < times; i++)
		if (PQconsumeInput(connection) == 0)
			return false;
	return true;
}

/* The thread's work: libpq waits until the server has heard of it */
static void *
send_cancel(void *argument)
{
	char		message[256];

	PQcancel(argument, message, sizeof(message));
	PQfreeCancel(argument);
	return NULL;
}

/* Ask the server to stop the query under way */
static void
cancel_query(PGconn *connection)
{
	PGcancel   *cancel = PQgetCancel(connection);

	if (cancel != NULL && !start_thread(send_cancel, cancel))
		PQfreeCancel(cancel);
}

/* What its server says of a query. */
typedef enum Fate
{
	FATE_UNKNOWN,				/* the server says nothing */
	FATE_WORKS,
	FATE_LOST,					/* it has answered, or never heard of it */
} Fate;

/* What the other connection asks: who it is, and of the process $1 what it waits for, unless it has nothing to do */
static const char about_process[] =
"SELECT pg_catalog.pg_backend_pid(), a.waits, a.blockers FROM (SELECT) one LEFT JOIN ("
"SELECT pg_catalog.concat_ws(' ', wait_event_type, wait_event) AS waits,"
" (SELECT pg_catalog.string_agg(CASE p.pid WHEN 0 THEN 'a prepared transaction' ELSE"
"  pg_catalog.format('process %s (%s in database %s, \"%s\")', p.pid, b.usename, b.datname, b.application_name) END, ', ')"
"  FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(s.pid)) p (pid) LEFT JOIN pg_catalog.pg_stat_activity b USING (pid)) AS blockers"
" FROM pg_catalog.pg_stat_activity s WHERE pid = $1 AND coalesce(state, '') NOT LIKE 'idle%') a ON true";

/* Ask over another connection what a query waits for; the answer must come by then */
static Fate
explain_wait(PGconn *waiting, int64_t until, Buffer *text)
{
	char		pid[16];
	const char *parameters[] = {pid};
	Making	   *making = making_beside(waiting);
	PGconn	   *connection;
	PGresult   *result = NULL;
	Fate		fate = FATE_UNKNOWN;
	bool		refused;

	explain_until = until;
	snprintf(pid, sizeof(pid), "%d", PQbackendPID(waiting));
	making->ping = true;
	connection = connect_as(making, NULL, &refused, text);
	if (refused)
		fate = FATE_WORKS;		/* as far as can be known */
	if (connection != NULL)
		result = database_query(connection, text, about_process, 1, parameters);
	if (result != NULL)
	{
		/* A pooler between has numbers of its own. */
		bool		direct = atoi(PQgetvalue(result, 0, 0)) == PQbackendPID(connection);
		const char *waits = PQgetvalue(result, 0, 1);

		fate = direct && PQgetisnull(result, 0, 1) ? FATE_LOST : FATE_WORKS;
		buffer_printf(text, "process %s: %s", pid, fate == FATE_LOST ? "the server knows nothing of it" : waits[0] != '\0' ? waits : "at work");
		if (!PQgetisnull(result, 0, 2))
			buffer_printf(text, ", blocked by %s", PQgetvalue(result, 0, 2));
	}
	PQclear(result);
	PQfinish(connection);
	explain_until = 0;
	return fate;
}

/* The wait for a query's answer. */
typedef struct Patience
{
	Wait		wait;
	int64_t		heard_at;		/* when its server last said something */
	int64_t		asked_at;		/* when it was asked to */
	bool		was_stopping;
} Patience;

/* Tell in the log what a query waits for; false if there is nothing to wait for */
static bool
tell_wait(PGconn *connection, const char *query, Patience *patience)
{
	struct pollfd one = {PQsocket(connection), POLLIN, 0};
	Buffer		text = {0};
	int64_t		until = patience->heard_at + server_timeout_ms;
	Fate		fate;

	patience->asked_at = monotonic_ms();
	if (until > patience->asked_at + EXPLAIN_MS)
		until = patience->asked_at + EXPLAIN_MS;
	fate = explain_wait(connection, until, &text);

	/* The answer may have come while we asked. */
	if (poll(&one, 1, 0) > 0)
		fate = FATE_WORKS;
	else
		log_line(LOG_WARNING, "waiting for database \"%s\", for %d s now, to answer \"%.80s\": %s", PQdb(connection), wait_seconds(&patience->wait),
				 query, text.data);
	buffer_free(&text);
	if (fate == FATE_WORKS)
		patience->heard_at = monotonic_ms();
	return fate != FATE_LOST;
}

/* Is it time to ask what a query waits for? Its server must say something now and then */
static bool
explanation_due(Patience *patience)
{
	return wait_tell_due(&patience->wait) ||
		(patience->asked_at <= patience->heard_at && monotonic_ms() >= patience->heard_at + server_timeout_ms / 2);
}

/* Why a query that has no answer is given up; NULL: it is not */
static const char *
give_up(PGconn *connection, const char *query, Patience *patience)
{
	if (stop_due() || (explain_until != 0 && stop_requested && !patience->was_stopping))
		return "interrupted";
	if (explain_until != 0)
		return explaining_too_long() ? "no answer" : NULL;
	if (explanation_due(patience) && !tell_wait(connection, query, patience))
		return "the server does not answer";
	return monotonic_ms() >= patience->heard_at + server_timeout_ms ? "the server has said nothing for too long" : NULL;
}

/* Since when nothing has come of what the program waits for; 0: it does not wait. */
static int64_t waits_since = 0;

/* Since when no server has said anything of what was asked of it; 0: none is waited for */
int64_t
database_waits_since(void)
{
	return waits_since;
}

/*
 * Wait until PQgetResult() does not; false and a problem: it would for ever. A
 * signal to stop cancels the query unless that ends by itself: making a slot
 * waits for all running transactions. (What is asked after the signal is part
 * of stopping.)
 */
bool
database_await(PGconn *connection, const char *query, Buffer *problem)
{
	Patience	patience = {.wait = wait_begin(NULL),.was_stopping = stop_requested};
	bool		cancelled = false;
	bool		outermost = waits_since == 0;
	int64_t		stop_seen = 0;
	const char *why = NULL;

	patience.heard_at = patience.wait.since;
	if (outermost)
		waits_since = patience.heard_at;

	/*
	 * Of many rows, libpq is to have only what it needs: it moves the rest
	 * each time.
	 */
	while (why == NULL && PQflush(connection) >= 0 && PQisBusy(connection) && database_receive(connection) && PQisBusy(connection))
	{
		short		events = PQflush(connection) > 0 ? POLLIN | POLLOUT : POLLIN;

		if (wait_on(&patience.wait, PQsocket(connection), events, 1000))
		{
			patience.wait.since = patience.heard_at = monotonic_ms();
			if (outermost)
				waits_since = patience.heard_at;
		}
		else
			why = give_up(connection, query, &patience);
		if (stop_requested && stop_seen == 0)
			stop_seen = monotonic_ms();
		if (stop_requested && !patience.was_stopping && !cancelled && monotonic_ms() >= stop_seen + CANCEL_MS)
		{
			cancel_query(connection);
			cancelled = true;
		}
	}
	if (outermost)
		waits_since = 0;
	if (why == NULL)
		return true;
	cancel_query(connection);
	buffer_text(problem, why);
	return false;
}

/* ---------------------------------------------------------------- queries */

static Refusal refusal;

const Refusal *
database_refusal(void)
{
	return &refusal;
}

/* A text that was cut may end within a character: that goes, too */
static void
cut_last_character(char *text)
{
	size_t		length = strlen(text);

	while (length > 0 && (text[length - 1] & 0xC0) == 0x80)
		length--;
	if (length > 0 && (text[length - 1] & 0x80) != 0)
		length--;
	text[length] = '\0';
}

/* Note what a result that tells of an error says; of a lost connection there may be none */
static void
note_refusal(const PGresult *result)
{
	const char *parts[] = {
		PQresultErrorField(result, PG_DIAG_SQLSTATE),
		PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME),
		PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
		PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
	};

	snprintf(refusal.sqlstate, sizeof(refusal.sqlstate), "%s", parts[0] != NULL ? parts[0] : "");
	snprintf(refusal.slug, sizeof(refusal.slug), "%s", parts[1] != NULL ? parts[1] : "");
	if (snprintf(refusal.message, sizeof(refusal.message), "%s%s%s", parts[2] != NULL ? parts[2] : "",
				 parts[3] != NULL && strncmp(parts[3], ": ", 2) != 0 ? ": " : "", parts[3] != NULL ? parts[3] : "") >= (int) sizeof(refusal.message))
		cut_last_character(refusal.message);
}

/* Send a query. A walsender speaks the simple protocol alone. */
bool
database_send(PGconn *connection, Buffer *problem, const char *query,
			  int parameter_count, const char *const *parameters)
{
	int			sent = parameter_count > 0 ?
	PQsendQueryParams(connection, query, parameter_count, NULL, parameters, NULL, NULL, 0) :
	PQsendQuery(connection, query);

	if (!sent)
	{
		note_refusal(NULL);
		buffer_text(problem, PQerrorMessage(connection));
	}
	return sent;
}

/* Does a result tell of success? If not, free it */
static bool
result_good(PGconn *connection, PGresult *result, Buffer *problem)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE ||
		status == PGRES_COMMAND_OK || status == PGRES_COPY_BOTH)
		return true;
	buffer_text(problem, result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(connection));
	note_refusal(result);
	PQclear(result);
	return false;
}

/* Wait for the last result of what has been sent; NULL and a problem if it fails */
PGresult *
database_result(PGconn *connection, const char *query, Buffer *problem)
{
	PGresult   *result = NULL;
	PGresult   *next;

	do
	{
		if (!database_await(connection, query, problem))
		{
			note_refusal(NULL);
			PQclear(result);
			return NULL;
		}
		next = PQgetResult(connection);
		if (next != NULL)
		{
			PQclear(result);
			result = next;
		}
	} while (next != NULL && PQresultStatus(next) != PGRES_COPY_BOTH);
	return result_good(connection, result, problem) ? result : NULL;
}

/* Has the answer to what was sent come, or its next row, or will none? */
bool
database_has_answer(PGconn *connection)
{
	return PQflush(connection) < 0 || !PQisBusy(connection) || !database_receive(connection) || !PQisBusy(connection);
}

/* Run one query; NULL and a problem if it fails */
PGresult *
database_query(PGconn *connection, Buffer *problem, const char *query,
			   int parameter_count, const char *const *parameters)
{
	return database_send(connection, problem, query, parameter_count, parameters) ?
		database_result(connection, query, problem) : NULL;
}

/* Begin a query whose rows are taken one by one, so that they need not fit into memory */
bool
database_rows(PGconn *connection, Buffer *problem, const char *query,
			  int parameter_count, const char *const *parameters)
{
	return database_send(connection, problem, query, parameter_count, parameters) &&
		PQsetSingleRowMode(connection);
}

/* The next of these rows; NULL at their end, and with a problem */
PGresult *
database_next_row(PGconn *connection, Buffer *problem)
{
	PGresult   *result;

	if (!database_await(connection, "the next row", problem))
		return NULL;
	result = PQgetResult(connection);
	if (result == NULL || !result_good(connection, result, problem))
		return NULL;
	if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
		return result;
	PQclear(result);
	if (database_await(connection, "the end of the rows", problem))
		PQclear(PQgetResult(connection));
	return NULL;
}

/* Run a command that answers no rows */
bool
database_do(PGconn *connection, Buffer *problem, const char *command)
{
	PGresult   *result = database_query(connection, problem, command, 0, NULL);

	PQclear(result);
	return result != NULL;
}
