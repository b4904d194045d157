/*
 * postgres.h
 *		The target of the sink postgres, for who writes and for who reads.
 */
#ifndef SINKS_POSTGRES_H
#define SINKS_POSTGRES_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "lib/buffer.h"

extern bool postgres_split_target(const char *target, char **conninfo, const char **table);
extern void postgres_quote_table(PGconn *connection, Buffer *quoted, const char *schema_table, const char *suffix);

#endif							/* SINKS_POSTGRES_H */
