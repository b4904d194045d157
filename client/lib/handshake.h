/*
 * handshake.h
 *		What a program does first with a database: connect, and see whether it is
 *		a catalogue that the program knows.
 */
#ifndef LIB_HANDSHAKE_H
#define LIB_HANDSHAKE_H

#include "lib/database.h"
#include "lib/status.h"

extern ExitStatus handshake_connect(const char *dbname, PGconn **connection);
extern ExitStatus handshake_check(PGconn *connection);

/* A query failed: log why, and end the session. */
extern ExitStatus database_lost(Buffer *problem);

#endif							/* LIB_HANDSHAKE_H */
