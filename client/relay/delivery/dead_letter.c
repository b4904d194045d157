/*
 * dead_letter.c
 *		Events that the sink refused for good.
 */
#include "delivery/dead_letter.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/log.h"

/*
 * Write down a refused event. Whatever the server's synchronous_commit is, that
 * commit is on its disk afterwards. It waits for no standby: that could be the
 * relay itself, which confirms nothing before.
 */
ExitStatus
dead_letter_add(const Catalogue *catalogue, const Event *event)
{
	Buffer		problem = {0};
	char		version[32];
	const char *parameters[] = {catalogue->settings->stream, event->id, event->collection_id, event->item_id,
	version, event->problem, event->document};
	PGresult   *result;

	snprintf(version, sizeof(version), "%" PRId64, event->version);
	result = database_query(catalogue->sql, &problem,
							"INSERT INTO esgf_stac.dead_letter (stream, event_id, collection_id, item_id, version, reason, document)"
							" SELECT $1, $2::uuid, $3, $4, $5::bigint, left($6, 2000), $7::jsonb"
							" FROM pg_catalog.set_config('synchronous_commit', 'local', true)"
							" ON CONFLICT (stream, collection_id, item_id, version) DO UPDATE"
							" SET reason = excluded.reason, document = excluded.document, at = now(), redrive_at = NULL, settled_at = NULL",
							7, parameters);
	if (result == NULL)
		return database_lost(&problem);
	PQclear(result);
	log_line(LOG_WARNING, "refused: %s of %s %s, version %s: %s", event->type, event->collection_id,
			 event->item_id != NULL ? event->item_id : "", version, event->problem);
	return STATUS_RUNNING;
}
