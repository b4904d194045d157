/*
 * handshake.h
 *		What a program does first with a database: connect, and see whether it is
 *		a catalogue that the program knows.
 */
#ifndef LIB_HANDSHAKE_H
#define LIB_HANDSHAKE_H

#include "lib/database.h"
#include "lib/log.h"
#include "lib/status.h"
#include "lib/wait.h"

extern ExitStatus handshake_connect(const char *dbname, PGconn *beside, PGconn **connection);
extern ExitStatus handshake_check(PGconn *connection, bool no_loop);

/*
 * A query failed: log why, and end the session. A signal to stop is no failure.
 * Whoever reads a caller alone must see that this is never STATUS_RUNNING.
 */
static inline ExitStatus
database_lost(Buffer *problem)
{
	if (stop_requested)
		log_line(LOG_DETAIL, "interrupted: %s", problem->data);
	else
		log_line(LOG_ERROR, "database: %s", problem->data);
	buffer_free(problem);
	return stop_requested ? STATUS_STOPPED : STATUS_DATABASE;
}

#endif							/* LIB_HANDSHAKE_H */
