/*
 * base/catalogue.h
 *		The catalogue's tables as the C code knows them, and the way it reads
 *		and writes them: through SPI with prepared plans, as their owner.
 */
#ifndef ESGF_STAC_BASE_CATALOGUE_H
#define ESGF_STAC_BASE_CATALOGUE_H

#include "executor/spi.h"

/* The tables that C code must recognise, and who owns them. */
typedef struct Catalogue
{
	Oid			owner;
	Oid			catalogue;
	Oid			collection;
	Oid			item;
	Oid			site;
	Oid			access_rule;
	Oid			stream;
	bool		adopted;		/* do its transaction ids belong to this cluster? */
} Catalogue;

/* One SQL statement of ours, prepared at first use and kept by the backend. */
typedef struct Statement
{
	const char *sql;			/* every name and operator qualified */
	int			nargs;
	Oid			argtypes[16];
	SPIPlanPtr	plan;
	int			generation;		/* of the plan that was made by its indexes */
} Statement;

typedef void (*CacheDropper) (void);

/* Set while the extension itself removes rows that nobody else may. */
extern bool removal_permitted;

extern const Catalogue *get_catalogue(void);
extern const Catalogue *get_writable_catalogue(void);
extern void on_catalogue_change(CacheDropper dropper);

extern int	run_statement(Statement *statement, Datum *values, const char *nulls);
extern int	run_statement_as_owner(Statement *statement, Datum *values, const char *nulls);
extern int	read_latest_as_owner(Statement *statement, Datum *values, const char *nulls);

#endif							/* ESGF_STAC_BASE_CATALOGUE_H */
