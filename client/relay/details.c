/*
 * details.c
 *		What the page shows of a relay beside its metrics.
 */
#include "relay/relay.h"

#include <inttypes.h>

#include "lib/page.h"
#include "lib/passwords.h"

static const DetailsTable tables[] = {
	{
		.title = "Open dead letters",
		.count = "SELECT count(*) FROM esgf_stac.dead_letter WHERE stream = $1 AND settled_at IS NULL",
		.rows = "SELECT " UTC_TIME("at") " AS \"Since\", collection_id AS \"Collection\", item_id AS \"Item\", version AS \"Version\","
		" left(reason, 500) AS \"Reason\" FROM esgf_stac.dead_letter WHERE stream = $1 AND settled_at IS NULL"
		" ORDER BY at DESC, collection_id, item_id LIMIT 20",
		.none = "The sink has refused nothing that is not settled.",
	},
	{
		.title = "Iteration jobs",
		.rows = "SELECT " UTC_TIME("created") " AS \"Created\", event_type AS \"Type\", coalesce(target, 'the sink') AS \"Target\", state AS \"State\","
		" items_sent AS \"Sent\", items_total AS \"Of\", left(error, 500) AS \"Error\" FROM esgf_stac.iteration_job"
		" WHERE stream = $1 AND (finished IS NULL OR finished > now() - interval '1 day') ORDER BY finished IS NOT NULL, created DESC LIMIT 20",
		.none = "None, nor one that has ended since yesterday.",
	},
};

static void
add_facts(const Relay *relay, Buffer *html)
{
	const Consumer *consumer = &relay->consumer;
	Buffer		progress = {0};
	Buffer		sink = {0};

	passwords_leave_out(&sink, relay->options.catalogue.has_sink ? relay->options.delivery.sink.name : "none");
	page_facts_begin(html);
	if (consumer->standstill.problem != NULL)
		page_fact(html, "Problem", "%s", consumer->standstill.problem);
	page_fact(html, "Stream", "%s", relay->options.catalogue.stream);
	page_fact(html, "Slot", "%s", relay->options.catalogue.slot);
	page_fact(html, "Sink", "%s", sink.data);
	details_add_database(html, relay->catalogue.sql);
	page_fact(html, "Durable up to", LSN_FORMAT ", on timeline %d", LSN_PARTS(consumer->durable), relay->catalogue.timeline);
	if (consumer->row.seeding)
	{
		snapshot_progress(&relay->snapshot, &progress);
		page_fact(html, "Seeding", "%s", progress.data);
	}
	if (relay->verification.phase != VERIFY_NOT)
	{
		buffer_clear(&progress);
		verification_progress(&relay->verification, &progress);
		page_fact(html, "Comparing", "%s", progress.data);
	}
	page_fact(html, "Sessions", "%" PRId64 ", %" PRId64 " attempts failed", relay->metrics.sessions, relay->delivery.retries);
	page_facts_end(html);
	buffer_free(&progress);
	buffer_free(&sink);
}

/* Have the page show how it is now */
void
show_details(Relay *relay)
{
	Buffer		facts = {0};

	details_ask(&relay->details, relay->catalogue.sql, relay->options.catalogue.stream, tables, sizeof(tables) / sizeof(tables[0]));
	add_facts(relay, &facts);
	details_show(&relay->details, &facts);
}
