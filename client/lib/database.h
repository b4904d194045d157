/*
 * database.h
 *		Connections to PostgreSQL, and queries that keep nobody waiting.
 */
#ifndef LIB_DATABASE_H
#define LIB_DATABASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/buffer.h"

#define LSN_FORMAT "%X/%X"
#define LSN_PARTS(lsn) (unsigned int) ((lsn) >> 32), (unsigned int) (lsn)

/* How the server refused the query that failed last; all empty if the connection was lost. */
typedef struct Refusal
{
	char		sqlstate[6];
	char		slug[64];		/* of a problem of ours; of others, a
								 * constraint's name */
	char		message[1024];	/* with its DETAIL */
} Refusal;

/* The text of a result's first row, NULL for null. */
static inline const char *
field(const PGresult *result, int column)
{
	return PQgetisnull(result, 0, column) ? NULL : PQgetvalue(result, 0, column);
}

static inline bool
field_true(const PGresult *result, int column)
{
	return PQgetvalue(result, 0, column)[0] == 't';
}

extern bool conninfo_valid(const char *conninfo);
extern bool conninfo_names_password(const char *conninfo);
extern void conninfo_hide_passwords(const char *conninfo);
extern PGconn *database_connect(const char *conninfo, bool replication, const char *what, Buffer *problem);
extern PGconn *database_connect_beside(PGconn *connection, bool replication, const char *what, Buffer *problem);
extern void database_set_timeout(int64_t seconds);
extern bool database_receive(PGconn *connection);
extern bool database_send(PGconn *connection, Buffer *problem, const char *query,
						  int parameter_count, const char *const *parameters);
extern bool database_has_answer(PGconn *connection);
extern bool database_await(PGconn *connection, const char *query, Buffer *problem);
extern int64_t database_waits_since(void);
extern PGresult *database_result(PGconn *connection, const char *query, Buffer *problem);
extern PGresult *database_query(PGconn *connection, Buffer *problem, const char *query,
								int parameter_count, const char *const *parameters);
extern bool database_rows(PGconn *connection, Buffer *problem, const char *query,
						  int parameter_count, const char *const *parameters);
extern PGresult *database_next_row(PGconn *connection, Buffer *problem);
extern bool database_do(PGconn *connection, Buffer *problem, const char *command);
extern const Refusal *database_refusal(void);
extern void array_add(Buffer *array, const char *text);
extern const char *array_text(Buffer *array);
extern bool lsn_parse(const char *text, uint64_t *lsn);

#endif							/* LIB_DATABASE_H */
