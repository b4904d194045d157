/*
 * metrics.c
 *		What the operator watches.
 */
#include "relay/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "catalogue/slot.h"
#include "lib/log.h"
#include "lib/wait.h"

#define TICK_MS 1000

/* The database is asked for the oldest event that often, where the stream does not tell. */
#define ASK_MS 5000

/* The bytes of WAL that were written and are not yet durable at the sink */
static double
lag_bytes(const Relay *relay)
{
	const Consumer *consumer = &relay->consumer;
	uint64_t	durable = consumer->durable > consumer->row.confirmed ? consumer->durable : consumer->row.confirmed;

	return relay->stream.server_end > durable ? (double) (relay->stream.server_end - durable) : 0;
}

/* Is it likely that the server has more to send at once? */
static bool
more_to_come(const Relay *relay)
{
	struct pollfd one = {relay->catalogue.replication != NULL ? PQsocket(relay->catalogue.replication) : -1, POLLIN, 0};

	return relay->metrics.flowing && (relay->stream.ahead > 0 || poll(&one, 1, 0) > 0);
}

/* When the oldest event was made that is not delivered, in seconds since 1970; 0: all are */
static double
oldest_since(const Relay *relay)
{
	int64_t		since = relay->metrics.oldest_at;

	if (since == 0 && more_to_come(relay))
		since = relay->stream.committed_at;
	return (double) since / 1e6;
}

/* An event came by the stream, which tells when it was made */
void
metrics_event(Relay *relay)
{
	if (relay->metrics.oldest_at == 0)
		relay->metrics.oldest_at = relay->stream.begun_at;
	relay->metrics.flowing = true;
}

/* All that was received is delivered: while it streams, that is all there is */
void
metrics_settled(Relay *relay)
{
	if (relay->stream.streaming)
		relay->metrics.oldest_at = 0;
}

/*
 * Where to begin to look for the oldest event: what an earlier search has passed
 * over need not be looked at again, unless the horizon has gone back, or the
 * history.
 */
static uint64_t
search_from(const Relay *relay)
{
	const Search *search = &relay->metrics.search;
	uint64_t	horizon = relay->consumer.row.horizon;
	bool		holds = search->timeline == relay->catalogue.timeline && search->horizon <= horizon;

	return holds && search->passed > horizon ? search->passed : horizon;
}

/* Take the answer: the oldest event, if there is one, and up to where there is none */
static void
take_oldest(Relay *relay, PGresult *answer)
{
	Metrics    *metrics = &relay->metrics;

	metrics->oldest_at = PQgetisnull(answer, 0, 0) ? 0 : strtoll(PQgetvalue(answer, 0, 0), NULL, 10);
	metrics->search = (Search)
	{
		.timeline = relay->catalogue.timeline,
			.horizon = relay->consumer.row.horizon,
			.passed = strtoull(PQgetvalue(answer, 0, 1), NULL, 10)
	};
}

/* Where the stream does not tell of the oldest event, the outbox does; no error if it cannot now */
void
metrics_ask(Relay *relay)
{
	const ConsumerRow *row = &relay->consumer.row;
	Buffer		problem = {0};
	Buffer		query = {0};
	PGresult   *result = NULL;

	relay->metrics.asked_at = monotonic_ms();
	if (!row->known || PQtransactionStatus(relay->catalogue.sql) != PQTRANS_IDLE)
		return;
	buffer_text(&query, "SELECT e.at, least(e.xid::text::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint) FROM (SELECT) one LEFT JOIN (");
	if (undelivered_query(&relay->catalogue, search_from(relay), &query, "(extract(epoch FROM occurred_at) * 1000000)::bigint AS at, xid", &problem))
	{
		if (row->delivered_snapshot.xmax != 0)
		{
			buffer_text(&query, " AND NOT pg_visible_in_snapshot(xid, '");
			pg_snapshot_print(&row->delivered_snapshot, &query);
			buffer_text(&query, "')");
		}
		buffer_text(&query, " ORDER BY xid, seq LIMIT 1) e ON true");
		result = database_query(relay->catalogue.sql, &problem, query.data, 0, NULL);
	}
	if (result != NULL)
		take_oldest(relay, result);
	PQclear(result);
	buffer_free(&query);
	buffer_free(&problem);
}

static void
add_metrics(const Relay *relay, Report *report)
{
	const Delivery *delivery = &relay->delivery;

	report_add(report, METRIC_UP, METRIC_GAUGE, "1 while the relay streams, 0 while it tries again, waits for a sink that is down or says nothing, or is stopped.",
			   relay->options.iteration.only ? relay->iterations.seen != NULL : relay->stream.streaming && !relay->delivery.sink_is_down);
	report_add(report, "sessions_total", METRIC_COUNTER, "Sessions begun.", (double) relay->metrics.sessions);
	report_add(report, METRIC_EVENTS, METRIC_COUNTER, "Events that the sink took.", (double) delivery->events);
	report_add(report, "bytes_total", METRIC_COUNTER, "Bytes of their documents.", (double) delivery->document_bytes);
	report_add(report, "retries_total", METRIC_COUNTER, "Failed attempts to hand an event to the sink.", (double) delivery->retries);
	report_add(report, "dead_letters_total", METRIC_COUNTER, "Events refused for good.", (double) delivery->dead_letters);
	report_add(report, "foreign_versions_total", METRIC_COUNTER, "Versions met at the sink that were never given here.", (double) delivery->foreign.versions);
	report_add(report, "lag_bytes", METRIC_GAUGE, "WAL that the server has written and the sink has not made durable.", lag_bytes(relay));
	report_add(report, METRIC_LAG, METRIC_AGE, "Age of the oldest event that is not delivered.", oldest_since(relay));
	report_add(report, "wal_held_bytes", METRIC_GAUGE, "WAL that the server keeps for the slot.", (double) relay->catalogue.slot_held);
	report_add(report, "iterated_total", METRIC_COUNTER, "Items that iteration jobs have sent.", (double) relay->iterations.sent);
	report_add(report, "last_commit_timestamp_seconds", METRIC_GAUGE, "When the newest transaction received was committed.",
			   (double) relay->stream.committed_at / 1e6);
	if (!relay->options.verify.wanted)
		return;
	report_add(report, "verify_items", METRIC_GAUGE, "Items of the stream that were compared.", (double) relay->verification.items);
	report_add(report, "verify_differences", METRIC_GAUGE, "Items that differ.", (double) drift_left(&relay->verification.drift));
}

/* What keeps the relay from its work, a word; NULL: nothing does */
static const char *
find_trouble(const Relay *relay)
{
	if (relay->options.iteration.only)
		return relay->iterations.seen != NULL ? NULL : "database";
	if (!relay->metrics.delivering)
		return relay->metrics.obstacle;
	if (relay->delivery.sink_is_down)
		return "sink";
	return stream_is_silent(&relay->stream) ? "database" : NULL;
}

/*
 * Of what an answer is waited for, and since when. A sink that is a database
 * answers in parts; but it may be we who ask the catalogue meanwhile.
 */
static void
find_wait(Relay *relay, Report *report)
{
	Metrics    *metrics = &relay->metrics;
	int64_t		asked_at = relay->delivery.asked_at;
	int64_t		quiet_since = database_waits_since();

	if (!metrics->asking || metrics->sink_quiet_since < asked_at)
		metrics->sink_quiet_since = !metrics->asking && quiet_since > asked_at ? quiet_since : asked_at;
	report->waits_for = asked_at != 0 ? "sink" : "database";
	report->waits_since = asked_at != 0 ? metrics->sink_quiet_since : quiet_since;
}

static const char *
find_state(const Relay *relay)
{
	if (relay->options.iteration.only)
		return "Works on iteration jobs.";
	if (relay->verification.phase != VERIFY_NOT)
		return "Compares the sink with the catalogue.";
	if (relay->consumer.row.seeding)
		return "Seeds the sink: every published item first.";
	return relay->stream.streaming ? "Streams." : "Repeats what was missed.";
}

/* Whoever watches is to know how it is now */
void
metrics_report(Relay *relay)
{
	Report		report = {.blocked_by = "sink",.state = find_state(relay),.trouble = find_trouble(relay),.catches_up = relay->consumer.row.seeding};

	if (!watch_wanted())
		return;
	find_wait(relay, &report);
	add_metrics(relay, &report);
	watch_report(&report);
}

static const Tile tiles[] = {
	{"Events taken", METRIC_EVENTS, TILE_COUNT},
	{"Refused since start", "dead_letters_total", TILE_COUNT},
	{"WAL to deliver", "lag_bytes", TILE_BYTES},
	{"WAL held", "wal_held_bytes", TILE_BYTES},
};

/* What the page is about */
const PageSubject *
metrics_subject(const Relay *relay)
{
	static PageSubject subject = {.label = "stream",.tiles = tiles,.tile_count = sizeof(tiles) / sizeof(tiles[0])};

	subject.name = relay->options.catalogue.stream;
	return &subject;
}

/* How far a snapshot is, or a verification */
static void
show_progress(const Relay *relay)
{
	bool		verifies = relay->verification.phase != VERIFY_NOT;
	Buffer		text = {0};

	if (verifies)
		verification_progress(&relay->verification, &text);
	else
		snapshot_progress(&relay->snapshot, &text);
	fprintf(stderr, "\r%s: %s: %s\033[K\r", relay->options.catalogue.stream, verifies ? "verify" : "snapshot", text.data);
	buffer_free(&text);
}

/* Show rate and lag on the terminal, unless events go there */
static void
show_line(Relay *relay, int64_t now)
{
	Metrics    *metrics = &relay->metrics;
	const Delivery *delivery = &relay->delivery;
	double		seconds = (double) (now - metrics->shown_at) / 1000;
	Buffer		jobs = {0};

	if (!isatty(STDERR_FILENO) || worker_is_ours() || (strcmp(relay->options.delivery.sink.name, "ndjson:-") == 0 && isatty(STDOUT_FILENO)))
		return;
	if (relay->consumer.row.seeding || relay->verification.phase != VERIFY_NOT)
		show_progress(relay);
	else if (metrics->shown_at != 0)
	{
		iterations_progress(&relay->iterations, &jobs);
		fprintf(stderr, "\r%s: %" PRId64 " events, %.0f/s, %.1f MB/s, lag %.1f MB%s%s\033[K\r", relay->options.catalogue.stream, delivery->events,
				(double) (delivery->events - metrics->shown_events) / seconds,
				(double) (delivery->document_bytes - metrics->shown_bytes) / seconds / 1e6, lag_bytes(relay) / 1e6, jobs.length > 0 ? "; " : "", jobs.length > 0 ? jobs.data : "");
	}
	buffer_free(&jobs);
	metrics->shown_at = now;
	metrics->shown_events = delivery->events;
	metrics->shown_bytes = delivery->document_bytes;
}

/* Is the lag known by nothing but the outbox? */
static bool
stream_tells_nothing(const Relay *relay)
{
	return !relay->stream.streaming || relay->delivery.sink_is_down || stream_is_silent(&relay->stream);
}

/* Once a second: ask and show */
void
metrics_tick(Relay *relay)
{
	int64_t		now = monotonic_ms();

	metrics_report(relay);
	if (now < relay->metrics.ticked_at + TICK_MS)
		return;
	relay->metrics.ticked_at = now;
	standstill_remind(&relay->consumer);
	if (stream_tells_nothing(relay) && now >= relay->metrics.asked_at + ASK_MS)
		metrics_ask(relay);
	show_line(relay, now);
	if (watch_wanted())
		slot_ask_held(&relay->catalogue);
	if (watch_shown())
		show_details(relay);
}
