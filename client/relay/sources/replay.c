/*
 * replay.c
 *		Events that the slot will not deliver, again from the outbox: every one
 *		from the horizon on.
 *
 * It begins after the slot was made, so that nothing falls between.
 */
#include <inttypes.h>

#include "catalogue/skip.h"
#include "catalogue/visibility.h"
#include "formats/event.h"
#include "lib/log.h"
#include "sources/source.h"

/* Has the slot confirmed more than is durable, or was it made anew? */
static ExitStatus
replay_begin(Source *source, bool *wanted)
{
	Consumer   *consumer = source->consumer;
	const Catalogue *catalogue = consumer->catalogue;
	ExitStatus	status = STATUS_RUNNING;

	if (catalogue->settings->from_beginning && consumer->row.seeded)
		log_line(LOG_NOTE, "the stream was seeded before; to do it anew, drop and create the stream");
	else if (catalogue->settings->from_beginning)
		status = consumer_forget(consumer);
	*wanted = (catalogue->slot_position > consumer->row.confirmed && catalogue->slot_position > consumer->durable) ||
		catalogue->timeline != consumer->row.timeline;

	/*
	 * What was committed before the slot's position will not come by the
	 * stream.
	 */
	return status == STATUS_RUNNING && *wanted ? wait_for_commits(catalogue) : status;
}

/* All of it is one page: what the publication would have told */
static bool
replay_page(Source *source, PGconn *reader, Buffer *problem)
{
	Catalogue  *catalogue = source->consumer->catalogue;
	Buffer		columns = {0};
	Buffer		query = {0};
	bool		sent;

	for (int column = 0; column < COLUMN_COUNT; column++)
		buffer_printf(&columns, "%s%s", column > 0 ? ", " : "", column_names[column]);
	sent = undelivered_query(catalogue, source->consumer->row.horizon, &query, columns.data, problem);
	if (sent)
	{
		skip_condition(catalogue, &query);
		buffer_text(&query, " ORDER BY seq");
		sent = database_rows(reader, problem, query.data, 0, NULL);
	}
	buffer_free(&columns);
	buffer_free(&query);
	return sent;
}

static ExitStatus
replay_done(Source *source, const Page *page, bool *more)
{
	*more = false;
	log_line(page->rows > 0 ? LOG_NOTE : LOG_DETAIL, "sent %" PRId64 " events from the outbox", page->rows);
	return consumer_replayed(source->consumer);
}

const SourceKind source_replay = {
	.begin = replay_begin,
	.page = replay_page,
	.done = replay_done,
	.may_be_stuck = true,
};
