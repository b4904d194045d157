/*
 * failure.c
 *		What becomes of a query that failed: it is tried again in the session, or
 *		in a later one, or it ends the program. That is the server's to say, by the
 *		SQLSTATE.
 */
#include "ingest/catalogue/catalogue.h"

#include <string.h>

#include "lib/log.h"

static bool
is_one_of(const char *sqlstate, const char *const *list, size_t length)
{
	for (; *list != NULL; list++)
		if (strncmp(sqlstate, *list, length) == 0)
			return true;
	return false;
}

/* Did others only come in our way? */
bool
failure_in_passing(void)
{
	static const char *const classes[] = {"40", NULL};
	static const char *const codes[] = {"55P03", NULL};
	const char *sqlstate = database_refusal()->sqlstate;

	return is_one_of(sqlstate, classes, 2) || is_one_of(sqlstate, codes, 5);
}

/* Is the database away, or not ready, for now? A connection that was lost tells nothing */
bool
failure_for_now(void)
{
	static const char *const classes[] = {"08", "25", "40", "53", "57", "58", NULL};
	static const char *const codes[] = {"55P03", "55006", "55000", "PT503", NULL};
	const char *sqlstate = database_refusal()->sqlstate;

	return sqlstate[0] == '\0' || is_one_of(sqlstate, classes, 2) || is_one_of(sqlstate, codes, 5);
}

/* How a query that failed ends the session, and maybe the program */
ExitStatus
failure_status(Buffer *problem)
{
	const Refusal *refusal = database_refusal();

	if (failure_for_now() || stop_requested)
		return database_lost(problem);
	if (strncmp(refusal->sqlstate, "PT", 2) == 0)
		log_problem(refusal->slug, "%s", refusal->message);
	else
		log_line(LOG_ERROR, "database: SQLSTATE %s: %s", refusal->sqlstate, problem->data);
	buffer_free(problem);
	return STATUS_CATALOGUE;
}
