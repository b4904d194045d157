/*
 * snapshot.c
 *		Every published item, to seed an empty index. A session that ends leaves
 *		written down how far it came, and another goes on with it.
 *
 * It begins after the slot was made, so that nothing falls between.
 */
#include "sources/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>

#include "catalogue/visibility.h"
#include "lib/log.h"
#include "lib/progress.h"
#include "lib/wait.h"

/* Items of one short transaction. */
#define PAGE_SIZE "1000"

/* How far it is, the log says that often. */
#define TELL_MS 10000

/* Append how many items of how many are sent, and how long the rest will take */
void
snapshot_progress(const Snapshot *snapshot, Buffer *text)
{
	const ConsumerRow *row = &snapshot->source.consumer->row;
	int64_t		left = row->snapshot_total - row->snapshot_sent;

	append_count(text, row->snapshot_sent);
	if (row->snapshot_total >= 0)
	{
		buffer_text(text, " of ");
		append_count(text, row->snapshot_total);
	}
	buffer_text(text, " items sent");
	if (row->snapshot_total >= 0)
		append_time_left(text, snapshot->sent, left, snapshot->begun_at);
}

/* Learn how many items a snapshot will send, at its beginning */
static ExitStatus
count_items(Consumer *consumer)
{
	const Catalogue *catalogue = consumer->catalogue;
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream};
	PGresult   *result = database_query(catalogue->sql, &problem,
										"SELECT coalesce(esgf_stac_internal.stream_item_count($1), -1)", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	consumer->row.snapshot_total = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	consumer->row.snapshot_sent = 0;
	PQclear(result);
	return consumer_seeded(consumer, "", NULL);
}

static void
log_progress(const Snapshot *snapshot)
{
	Buffer		text = {0};

	snapshot_progress(snapshot, &text);
	log_line(LOG_NOTE, "snapshot: %s, now at %s", text.data, snapshot->source.consumer->row.seeded_item);
	buffer_free(&text);
}

static ExitStatus
snapshot_begin(Source *source, bool *wanted)
{
	Snapshot   *snapshot = (Snapshot *) source;
	Consumer   *consumer = source->consumer;
	const Catalogue *catalogue = consumer->catalogue;
	ExitStatus	status;

	if (catalogue->settings->snapshot && consumer->row.seeded)
		log_line(LOG_NOTE, "the stream was seeded before; to do it anew, drop and create the stream");
	*wanted = consumer->row.seeding || (catalogue->settings->snapshot && !consumer->row.seeded);
	if (!*wanted)
		return STATUS_RUNNING;

	/*
	 * What was committed before the slot's position will not come by the
	 * stream.
	 */
	status = wait_for_commits(catalogue);
	if (status == STATUS_RUNNING && !consumer->row.seeding)
		status = count_items(consumer);
	snapshot->sent = 0;
	snapshot->begun_at = snapshot->told_at = monotonic_ms();
	return status;
}

/* The items behind the last one sent */
static bool
snapshot_page(Source *source, PGconn *reader, Buffer *problem)
{
	const ConsumerRow *row = &source->consumer->row;
	const char *parameters[] = {source->consumer->catalogue->settings->stream, row->seeded_collection, row->seeded_item};

	return database_rows(reader, problem,
						 "SELECT NULL, collection_id, item_id, 'item.seeded', version, CASE WHEN s.sent THEN document END, updated,"
						 " NULL, NULL, NULL, NULL, validated_against, NULL, sent"
						 " FROM esgf_stac_internal.stream_items($1, $2, $3, " PAGE_SIZE "),"
						 " LATERAL (SELECT esgf_stac_internal.can_be_sent(document)) s (sent)", 3, parameters);
}

static ExitStatus
snapshot_done(Source *source, const Page *page, bool *more)
{
	Snapshot   *snapshot = (Snapshot *) source;
	ConsumerRow *row = &source->consumer->row;
	ExitStatus	status;

	*more = page->rows > 0;
	if (!*more)
	{
		status = consumer_seeded(source->consumer, NULL, NULL);
		if (status == STATUS_RUNNING)
			log_line(LOG_NOTE, "snapshot: done, %" PRId64 " items sent", snapshot->sent);
		return status;
	}
	snapshot->sent += page->rows;
	row->snapshot_sent += page->rows;
	free(row->seeded_collection);
	free(row->seeded_item);
	row->seeded_collection = copy_string(page->collection_id);
	row->seeded_item = copy_string(page->item_id);
	status = consumer_seeded(source->consumer, row->seeded_collection, row->seeded_item);
	if (monotonic_ms() > snapshot->told_at + TELL_MS)
	{
		log_progress(snapshot);
		snapshot->told_at = monotonic_ms();
	}
	return status;
}

const SourceKind source_snapshot = {
	.begin = snapshot_begin,
	.page = snapshot_page,
	.done = snapshot_done,
};
