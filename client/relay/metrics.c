/*
 * metrics.c
 *		What the operator watches: a file in Prometheus' text format, for the
 *		textfile collector of its node exporter, and a line on the terminal.
 */
#include "relay/relay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"

#define TICK_MS 1000

/* The database is asked for the oldest event that often, where the stream does not tell. */
#define ASK_MS 5000

/* That the file cannot be written is said that often. */
#define COMPLAIN_MS 600000

/* Add a metric, with its help and type */
static void
add_metric(FILE *file, const Relay *relay, const char *name, const char *type, const char *help, double value)
{
	fprintf(file, "# HELP esgf_stac_relay_%s %s\n# TYPE esgf_stac_relay_%s %s\nesgf_stac_relay_%s{stream=\"%s\"} %.17g\n",
			name, help, name, type, name, relay->options.stream, value);
}

/* The bytes of WAL that were written and are not yet durable at the sink */
static double
lag_bytes(const Relay *relay)
{
	const Metrics *metrics = &relay->metrics;
	uint64_t	durable = relay->durable > relay->consumer.confirmed ? relay->durable : relay->consumer.confirmed;

	return metrics->server_end > durable ? (double) (metrics->server_end - durable) : 0;
}

/* Is it likely that the server has more to send at once? */
static bool
more_to_come(const Relay *relay)
{
	struct pollfd one = {relay->replication != NULL ? PQsocket(relay->replication) : -1, POLLIN, 0};

	return relay->metrics.flowing && (relay->ahead > 0 || poll(&one, 1, 0) > 0);
}

/* The age of the oldest event that is not delivered */
static double
lag_seconds(const Relay *relay)
{
	int64_t		since = relay->metrics.oldest_at;
	struct timespec now;
	double		age;

	if (since == 0 && more_to_come(relay))
		since = relay->metrics.committed_at;
	if (since == 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	age = (double) now.tv_sec + (double) now.tv_nsec / 1e9 - (double) since / 1e6;
	return age > 0 ? age : 0;
}

/* Where the stream does not tell of the oldest event, the outbox does; no error if it cannot now */
void
metrics_ask(Relay *relay)
{
	Buffer		problem = {0};
	Buffer		query = {0};
	PGresult   *result = NULL;

	relay->metrics.asked_at = monotonic_ms();
	if (!relay->consumer.known || PQtransactionStatus(relay->sql) != PQTRANS_IDLE)
		return;
	if (undelivered_query(relay, &query, "(extract(epoch FROM occurred_at) * 1000000)::bigint", &problem))
	{
		if (relay->consumer.delivered_snapshot != NULL)
			buffer_printf(&query, " AND NOT pg_visible_in_snapshot(xid, '%s')", relay->consumer.delivered_snapshot);
		buffer_text(&query, " ORDER BY xid, seq LIMIT 1");
		result = database_query(relay->sql, &problem, query.data, 0, NULL);
	}
	if (result != NULL)
		relay->metrics.oldest_at = PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
	PQclear(result);
	buffer_free(&query);
	buffer_free(&problem);
}

static void
add_metrics(FILE *file, const Relay *relay)
{
	const Metrics *metrics = &relay->metrics;

	add_metric(file, relay, "up", "gauge", "1 while the relay streams, 0 while it tries again, waits for a sink that is down, or is stopped.",
			   relay->streaming && !relay->sink_is_down);
	add_metric(file, relay, "sessions_total", "counter", "Sessions begun.", (double) metrics->sessions);
	add_metric(file, relay, "events_total", "counter", "Events that the sink took.", (double) metrics->events);
	add_metric(file, relay, "bytes_total", "counter", "Bytes of their documents.", (double) metrics->bytes);
	add_metric(file, relay, "retries_total", "counter", "Failed attempts to hand an event to the sink.", (double) metrics->retries);
	add_metric(file, relay, "dead_letters_total", "counter", "Events refused for good.", (double) metrics->dead_letters);
	add_metric(file, relay, "lag_bytes", "gauge", "WAL that the server has written and the sink has not made durable.", lag_bytes(relay));
	add_metric(file, relay, "lag_seconds", "gauge", "Age of the oldest event that is not delivered.", lag_seconds(relay));
	add_metric(file, relay, "wal_held_bytes", "gauge", "WAL that the server keeps for the slot.", (double) metrics->held);
	add_metric(file, relay, "last_commit_timestamp_seconds", "gauge", "When the newest transaction received was committed.",
			   (double) metrics->committed_at / 1e6);
}

/* Write the file; readers see the old one or the new one, whole */
void
metrics_write(Relay *relay)
{
	const char *path = relay->options.metrics_file;
	Buffer		temporary = {0};
	FILE	   *file;
	bool		written;

	if (path == NULL)
		return;
	buffer_printf(&temporary, "%s.new", path);
	file = fopen(temporary.data, "w");
	if (file != NULL)
		add_metrics(file, relay);
	written = file != NULL && fclose(file) == 0 && rename(temporary.data, path) == 0;
	if (written)
		relay->metrics.complained_at = 0;
	else if (relay->metrics.complained_at == 0 || monotonic_ms() > relay->metrics.complained_at + COMPLAIN_MS)
	{
		log_line(LOG_WARNING, "could not write metrics file \"%s\": %s", path, strerror(errno));
		relay->metrics.complained_at = monotonic_ms();
	}
	buffer_free(&temporary);
}

/* How far a snapshot is */
static void
show_snapshot(const Relay *relay)
{
	Buffer		text = {0};

	snapshot_progress(relay, &text);
	fprintf(stderr, "\r%s: snapshot: %s\033[K\r", relay->options.stream, text.data);
	buffer_free(&text);
}

/* Show rate and lag on the terminal, unless events go there */
static void
show_line(Relay *relay, int64_t now)
{
	Metrics    *metrics = &relay->metrics;
	double		seconds = (double) (now - metrics->shown_at) / 1000;

	if (!isatty(STDERR_FILENO) || (strcmp(relay->options.sink.name, "ndjson:-") == 0 && isatty(STDOUT_FILENO)))
		return;
	if (relay->consumer.seeding)
		show_snapshot(relay);
	else if (metrics->shown_at != 0)
		fprintf(stderr, "\r%s: %" PRId64 " events, %.0f/s, %.1f MB/s, lag %.1f MB\033[K\r", relay->options.stream, metrics->events,
				(double) (metrics->events - metrics->shown_events) / seconds,
				(double) (metrics->bytes - metrics->shown_bytes) / seconds / 1e6, lag_bytes(relay) / 1e6);
	metrics->shown_at = now;
	metrics->shown_events = metrics->events;
	metrics->shown_bytes = metrics->bytes;
}

/* Once a second: show and write */
void
metrics_tick(Relay *relay)
{
	int64_t		now = monotonic_ms();

	if (now < relay->metrics.written_at + TICK_MS)
		return;
	relay->metrics.written_at = now;
	consumer_remind(relay);
	if ((!relay->streaming || relay->sink_is_down) && now >= relay->metrics.asked_at + ASK_MS)
		metrics_ask(relay);
	show_line(relay, now);
	if (relay->options.metrics_file != NULL)
		slot_held(relay);
	metrics_write(relay);
}
