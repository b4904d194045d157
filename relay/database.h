/*
 * database.h
 *		Connections to PostgreSQL, and waiting that a signal ends.
 */
#ifndef RELAY_DATABASE_H
#define RELAY_DATABASE_H

#include <libpq-fe.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

#define LSN_FORMAT "%X/%X"
#define LSN_PARTS(lsn) (unsigned int) ((lsn) >> 32), (unsigned int) (lsn)

/* Set by SIGTERM and SIGINT. */
extern volatile sig_atomic_t stop_requested;

extern int64_t monotonic_ms(void);
extern bool wait_readable(int file, int64_t milliseconds);

extern bool conninfo_valid(const char *conninfo);
extern bool conninfo_names_password(const char *conninfo);
extern PGconn *database_connect(const char *conninfo, bool replication, Buffer *problem);
extern PGresult *database_query(PGconn *connection, Buffer *problem, const char *query,
								int parameter_count, const char *const *parameters);
extern bool database_rows(PGconn *connection, Buffer *problem, const char *query,
						  int parameter_count, const char *const *parameters);
extern PGresult *database_next_row(PGconn *connection, Buffer *problem);
extern bool database_do(PGconn *connection, Buffer *problem, const char *command);
extern bool lsn_parse(const char *text, uint64_t *lsn);

#endif							/* RELAY_DATABASE_H */
