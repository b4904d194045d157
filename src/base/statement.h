/*
 * base/statement.h
 *		How the C code reads and writes the catalogue's tables: through SPI with
 *		prepared plans, mostly as the tables' owner.
 */
#ifndef ESGF_STAC_BASE_STATEMENT_H
#define ESGF_STAC_BASE_STATEMENT_H

#include "executor/spi.h"

/* One SQL statement of ours, prepared at first use and kept by the backend. */
typedef struct Statement
{
	const char *sql;			/* every name and operator qualified */
	int			nargs;
	Oid			argtypes[20];
	SPIPlanPtr	plan;
	int			generation;		/* of the plan that was made by its indexes */
} Statement;

/* Who owns the tables; find_table() and require_catalogue() find it out. */
extern Oid	tables_owner;

/* Whose rights were in force before become_owner(). */
typedef struct SavedUser
{
	Oid			userid;
	int			security_context;
} SavedUser;

extern void become_owner(SavedUser *saved);
extern void become_caller(const SavedUser *saved);
extern int	run_statement(Statement *statement, Datum *values, const char *nulls);
extern int	run_statement_as_owner(Statement *statement, Datum *values, const char *nulls);
extern int	read_latest_as_owner(Statement *statement, Datum *values, const char *nulls);
extern int	write_latest_as_owner(Statement *statement, Datum *values, const char *nulls);

#endif							/* ESGF_STAC_BASE_STATEMENT_H */
