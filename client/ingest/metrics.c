/*
 * metrics.c
 *		What the operator watches.
 */
#include "ingest/ingest.h"

#include "lib/page.h"
#include "lib/wait.h"

#define TICK_MS 1000

/* Offsets, or of a file bytes, that are not performed yet */
static double
lag(const Source *source)
{
	int64_t		sum = 0;

	for (int i = 0; source != NULL && i < source->partition_count; i++)
	{
		const Partition *partition = source->partitions[i];

		if (!partition->lost && partition->end > partition->position)
			sum += partition->end - partition->position;
	}
	return (double) sum;
}

static int
count_partitions(const Source *source)
{
	int			count = 0;

	for (int i = 0; source != NULL && i < source->partition_count; i++)
		count += !source->partitions[i]->lost;
	return count;
}

/* When the oldest event was seen that is not performed, in seconds since 1970; 0: all are */
static double
oldest_since(const Source *source)
{
	double		oldest = 0;

	for (int i = 0; source != NULL && i < source->partition_count; i++)
	{
		const Partition *partition = source->partitions[i];
		double		since = arrivals_oldest(&partition->arrivals, partition->position);

		if (!partition->lost && since != 0 && (oldest == 0 || since < oldest))
			oldest = since;
	}
	return oldest;
}

static void
add_metrics(const Ingest *ingest, Report *report)
{
	const Catalogue *catalogue = &ingest->catalogue;
	bool		down = ingest->results != NULL && ingest->results->down;
	int64_t		results_refused = ingest->metrics.results_refused + (ingest->results != NULL ? ingest->results->refused : 0);

	report_add(report, METRIC_UP, METRIC_GAUGE, "1 while the ingester reads, 0 while it tries again, waits for what is down or says nothing, or is stopped.",
			   ingest->metrics.reading && !down);
	report_add(report, "sessions_total", METRIC_COUNTER, "Sessions begun.", (double) ingest->metrics.sessions);
	report_add(report, "partitions", METRIC_GAUGE, "Partitions that are read.", count_partitions(ingest->source));
	report_add(report, METRIC_EVENTS, METRIC_COUNTER, "Events performed, refused ones too.", (double) catalogue->events);
	report_add(report, "bytes_total", METRIC_COUNTER, "Bytes of events read.", (double) catalogue->bytes);
	report_add(report, "refused_total", METRIC_COUNTER, "Events refused.", (double) catalogue->refused);
	report_add(report, "unreadable_total", METRIC_COUNTER, "Events among these that the server cannot read.", (double) catalogue->unreadable);
	report_add(report, "retries_total", METRIC_COUNTER, "Calls that failed and came again.", (double) catalogue->retries);
	report_add(report, "call_events", METRIC_GAUGE, "Events that the next call may have.", (double) catalogue->limit);
	report_add(report, "results_total", METRIC_COUNTER, "Outcomes acknowledged.", (double) catalogue->results);
	report_add(report, "results_refused_total", METRIC_COUNTER, "Outcomes that no broker took.", (double) results_refused);
	report_add(report, "lag", METRIC_GAUGE, "Offsets of the log, or bytes of a file, that are not performed.", lag(ingest->source));
	report_add(report, METRIC_LAG, METRIC_AGE, "Time since the ingester saw the oldest event that is not performed.", oldest_since(ingest->source));
}

/* What keeps the ingester from its work, a word; NULL: nothing does */
static const char *
find_trouble(const Ingest *ingest)
{
	if (!ingest->metrics.reading)
		return ingest->metrics.obstacle;
	if (ingest->results != NULL && ingest->results->down)
		return "results";
	return ingest->source != NULL && ingest->source->down ? "source" : NULL;
}

/* Of what an answer is waited for, and since when */
static void
find_wait(const Ingest *ingest, Report *report)
{
	int64_t		asked_at = ingest->results != NULL ? ingest->results->asked_at : 0;

	report->waits_for = asked_at != 0 ? "results" : "database";
	report->waits_since = asked_at != 0 ? asked_at : database_waits_since();
}

/* Whoever watches is to know how it is now */
void
metrics_report(const Ingest *ingest)
{
	Report		report = {.blocked_by = ingest->results != NULL ? "results" : "source",.state = "Reads.",.trouble = find_trouble(ingest)};

	if (!watch_wanted())
		return;
	find_wait(ingest, &report);
	add_metrics(ingest, &report);
	watch_report(&report);
}

static const Tile tiles[] = {
	{"Events performed", METRIC_EVENTS, TILE_COUNT},
	{"Refused since start", "refused_total", TILE_COUNT},
	{"Not performed", "lag", TILE_COUNT},
	{"Outcomes sent", "results_total", TILE_COUNT},
};

/* What the page is about */
const PageSubject *
metrics_subject(const Ingest *ingest)
{
	static PageSubject subject = {.label = "source",.tiles = tiles,.tile_count = sizeof(tiles) / sizeof(tiles[0])};

	subject.name = ingest->options.catalogue.source;
	return &subject;
}

/* See since when what is left has been waiting */
static void
note_arrivals(const Source *source)
{
	for (int i = 0; source != NULL && i < source->partition_count; i++)
	{
		Partition  *partition = source->partitions[i];

		if (!partition->lost)
			arrivals_note(&partition->arrivals, partition->position, partition->end, wall_clock());
	}
}

/* Report; once a second, look around first */
void
metrics_tick(Ingest *ingest)
{
	static bool within = false;
	int64_t		now = monotonic_ms();

	metrics_report(ingest);
	if (within || now < ingest->metrics.ticked_at + TICK_MS)
		return;

	/* What is asked for is waited for, too. */
	within = true;
	ingest->metrics.ticked_at = now;
	note_arrivals(ingest->source);
	if (watch_shown())
		show_details(ingest);
	within = false;
}
