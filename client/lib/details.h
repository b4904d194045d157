/*
 * details.h
 *		What the page shows of a program beside its metrics: facts that it knows,
 *		and tables that the database is asked for now and then.
 */
#ifndef LIB_DETAILS_H
#define LIB_DETAILS_H

#include <libpq-fe.h>
#include <stdint.h>

#include "lib/buffer.h"

/* A table; each query has the program's subject as its $1. */
typedef struct DetailsTable
{
	const char *title;
	const char *count;			/* the query of a number beside the title;
								 * NULL: there is none */
	const char *rows;			/* the query of its rows, whose columns have
								 * names for people */
	const char *none;			/* what stands there if there are none */
} DetailsTable;

typedef struct Details
{
	Buffer		tables;			/* as the database said last */
	int64_t		asked_at;
} Details;

#define UTC_TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"

extern void details_ask(Details *details, PGconn *sql, const char *subject, const DetailsTable *tables, int count);
extern void details_add_database(Buffer *facts, const PGconn *sql);
extern void details_show(const Details *details, Buffer *facts);

#endif							/* LIB_DETAILS_H */
