/*
 * metrics.c
 *		What the operator watches.
 */
#include "ingest/ingest.h"

#include "lib/metrics_file.h"

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

static void
add_metrics(const MetricsFile *file, const Ingest *ingest)
{
	const Catalogue *catalogue = &ingest->catalogue;
	bool		down = ingest->results != NULL && ingest->results->down;
	int64_t		results_refused = ingest->metrics.results_refused + (ingest->results != NULL ? ingest->results->refused : 0);

	metrics_file_add(file, "up", "gauge", "1 while the ingester reads, 0 while it tries again, waits for results that are down, or is stopped.",
					 ingest->metrics.reading && !down);
	metrics_file_add(file, "sessions_total", "counter", "Sessions begun.", (double) ingest->metrics.sessions);
	metrics_file_add(file, "partitions", "gauge", "Partitions that are read.", count_partitions(ingest->source));
	metrics_file_add(file, "events_total", "counter", "Events performed, refused ones too.", (double) catalogue->events);
	metrics_file_add(file, "bytes_total", "counter", "Bytes of events read.", (double) catalogue->bytes);
	metrics_file_add(file, "refused_total", "counter", "Events refused.", (double) catalogue->refused);
	metrics_file_add(file, "unreadable_total", "counter", "Events among these that the server cannot read.", (double) catalogue->unreadable);
	metrics_file_add(file, "retries_total", "counter", "Calls that failed and came again.", (double) catalogue->retries);
	metrics_file_add(file, "call_events", "gauge", "Events that the next call may have.", (double) catalogue->limit);
	metrics_file_add(file, "results_total", "counter", "Outcomes acknowledged.", (double) catalogue->results);
	metrics_file_add(file, "results_refused_total", "counter", "Outcomes that no broker took.", (double) results_refused);
	metrics_file_add(file, "lag", "gauge", "Offsets of the log, or bytes of a file, that are not performed.", lag(ingest->source));
}

/* Write the file */
void
metrics_write(const Ingest *ingest)
{
	MetricsFile file = {.path = ingest->options.metrics_file,.label = "source",.subject = ingest->options.catalogue.source};

	if (file.path == NULL)
		return;
	metrics_file_begin(&file);
	add_metrics(&file, ingest);
	metrics_file_end(&file);
}

/* Once a second */
void
metrics_tick(Ingest *ingest)
{
	if (monotonic_ms() < ingest->metrics.written_at + TICK_MS)
		return;
	ingest->metrics.written_at = monotonic_ms();
	metrics_write(ingest);
}
