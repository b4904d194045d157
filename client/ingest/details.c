/*
 * details.c
 *		What the page shows of an ingester beside its metrics.
 */
#include "ingest/ingest.h"

#include <inttypes.h>

#include "lib/page.h"

static const DetailsTable tables[] = {
	{
		.title = "Partitions",
		.rows = "SELECT partition AS \"Partition\", next_offset AS \"Performed up to\", high_watermark AS \"Ends at\", lag AS \"Left\","
		" results_offset AS \"Outcomes sent up to\", " UTC_TIME("updated") " AS \"As of\" FROM esgf_stac.source_status WHERE source = $1"
		" ORDER BY lag DESC NULLS LAST, partition LIMIT 50",
		.none = "None was read yet.",
	},
	{
		.title = "Open refusals",
		.count = "SELECT count(*) FROM esgf_stac.inbox WHERE source = $1 AND settled_at IS NULL",
		.rows = "SELECT " UTC_TIME("tried_at") " AS \"Tried\", partition AS \"Partition\", \"offset\" AS \"Offset\", event_id AS \"Event\", status AS \"Status\","
		" left(coalesce(outcome #>> '{problem,detail}', outcome::text), 500) AS \"Reason\" FROM esgf_stac.inbox"
		" WHERE source = $1 AND settled_at IS NULL ORDER BY tried_at DESC LIMIT 20",
		.none = "Nothing was refused that is not settled.",
	},
};

static void
add_facts(const Ingest *ingest, Buffer *html)
{
	const Options *options = &ingest->options;

	page_facts_begin(html);
	page_fact(html, "Source", "%s", options->catalogue.source);
	page_fact(html, "Events from", "%s", options->source.name);
	page_fact(html, "Outcomes to", "%s", options->results.name != NULL ? options->results.name : "nowhere");
	details_add_database(html, ingest->catalogue.sql);
	page_fact(html, "Sessions", "%" PRId64 ", %" PRId64 " calls failed and came again", ingest->metrics.sessions, ingest->catalogue.retries);
	page_facts_end(html);
}

/* Have the page show how it is now */
void
show_details(Ingest *ingest)
{
	Buffer		facts = {0};

	details_ask(&ingest->details, ingest->catalogue.sql, ingest->options.catalogue.source, tables, sizeof(tables) / sizeof(tables[0]));
	add_facts(ingest, &facts);
	details_show(&ingest->details, &facts);
}
