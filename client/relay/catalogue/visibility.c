/*
 * visibility.c
 *		The stream tells of a commit before queries see it: a moment, or, where
 *		the commit waits for a synchronous standby, as long as that takes. What we
 *		read by SQL beside the stream must wait for those.
 */
#include "catalogue/visibility.h"

#include <stdlib.h>
#include <string.h>

#include "lib/wait.h"

/* The pauses between two looks grow from the one to the other. */
#define FIRST_PAUSE_MS 10
#define LONGEST_PAUSE_MS 100

/* List the transactions, as an array, whose commits stand in the WAL and that queries do not see */
ExitStatus
commits_pending(const Catalogue *catalogue, char **xids)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(catalogue->sql, &problem, "SELECT esgf_stac_internal.pending_commits()", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	*xids = copy_string(PQgetvalue(result, 0, 0));
	PQclear(result);
	return STATUS_RUNNING;
}

/* Do queries see all these transactions? */
ExitStatus
commits_visible(const Catalogue *catalogue, const char *xids, bool *visible)
{
	Buffer		problem = {0};
	const char *parameters[] = {xids};
	PGresult   *result;

	*visible = strcmp(xids, "{}") == 0;
	if (*visible)
		return STATUS_RUNNING;
	result = database_query(catalogue->sql, &problem,
							"SELECT bool_and(pg_visible_in_snapshot(x, pg_current_snapshot())) FROM unnest($1::xid8[]) x", 1, parameters);
	if (result == NULL)
		return database_lost(&problem);
	*visible = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return STATUS_RUNNING;
}

/* Wait until queries see all these transactions; they have committed */
ExitStatus
wait_until_visible(const Catalogue *catalogue, const char *xids)
{
	Wait		wait = wait_begin("commits that stand in the WAL to be seen by queries; do they wait for a synchronous standby?");
	int64_t		pause = FIRST_PAUSE_MS;
	bool		visible;
	ExitStatus	status = commits_visible(catalogue, xids, &visible);

	while (status == STATUS_RUNNING && !visible)
	{
		if (stop_requested)
			return STATUS_STOPPED;
		wait_on(&wait, -1, 0, pause);
		pause = pause * 2 < LONGEST_PAUSE_MS ? pause * 2 : LONGEST_PAUSE_MS;
		status = commits_visible(catalogue, xids, &visible);
	}
	wait_end(&wait);
	return status;
}

/* Wait until queries see every commit that stands in the WAL now */
ExitStatus
wait_for_commits(const Catalogue *catalogue)
{
	char	   *xids = NULL;
	ExitStatus	status = commits_pending(catalogue, &xids);

	if (status == STATUS_RUNNING)
		status = wait_until_visible(catalogue, xids);
	free(xids);
	return status;
}
