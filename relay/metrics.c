/*
 * metrics.c
 *		What the operator watches: a file in Prometheus' text format, for the
 *		textfile collector of its node exporter, and a line on the terminal.
 */
#include "relay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define TICK_MS 1000

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

	return metrics->server_end > relay->durable ? (double) (metrics->server_end - relay->durable) : 0;
}

/* The age of the last transaction delivered, while more is waiting */
static double
lag_seconds(const Relay *relay)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (relay->metrics.committed_at == 0 || relay->received <= relay->durable)
		return 0;
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9 - (double) relay->metrics.committed_at / 1e6;
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
	add_metric(file, relay, "lag_seconds", "gauge", "Age of the newest transaction received, while it is not durable.", lag_seconds(relay));
	add_metric(file, relay, "wal_held_bytes", "gauge", "WAL that the server keeps for the slot.", (double) metrics->held);
	add_metric(file, relay, "last_commit_timestamp_seconds", "gauge", "When the newest transaction received was committed.",
			   (double) metrics->committed_at / 1e6);
}

/* Write the file; readers see the old one or the new one, whole */
void
metrics_write(const Relay *relay)
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
	if (!written)
		log_line(LOG_WARNING, "could not write metrics file \"%s\": %s", path, strerror(errno));
	buffer_free(&temporary);
}

/* Show rate and lag on the terminal, unless events go there */
static void
show_line(Relay *relay, int64_t now)
{
	Metrics    *metrics = &relay->metrics;
	double		seconds = (double) (now - metrics->shown_at) / 1000;

	if (!isatty(STDERR_FILENO) || (strcmp(relay->options.sink.name, "ndjson:-") == 0 && isatty(STDOUT_FILENO)))
		return;
	if (metrics->shown_at != 0)
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
	show_line(relay, now);
	if (relay->options.metrics_file != NULL)
		slot_held(relay);
	metrics_write(relay);
}
