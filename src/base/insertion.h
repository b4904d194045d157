/*
 * base/insertion.h
 *		Inserts rows into our tables without a statement, which costs as much as
 *		the row itself: as COPY does, with what the indexes need.
 *
 * That is right only as long as a table is as we made it. A later version, or
 * its owner, may have given it columns, checks, triggers, rules or policies:
 * then it is not begun, and the caller runs a statement, which obeys them all.
 * Indexes are entered whosever they are.
 */
#ifndef ESGF_STAC_BASE_INSERTION_H
#define ESGF_STAC_BASE_INSERTION_H

#include "nodes/execnodes.h"

#include "base/statement.h"

/* A column of a table as we made it. */
typedef struct MadeColumn
{
	Oid			type;
	bool		not_null;
} MadeColumn;

/* A table as we made it, whose rows never fail its checks. */
typedef struct MadeTable
{
	const char *name;
	bool		speculative;	/* rows may be there:
								 * insert_row_unless_there() */
	int			checks;
	int			count;
	MadeColumn	columns[18];
} MadeTable;

/* Rows on their way into a table. */
typedef struct Insertion
{
	Relation	table;
	TupleTableSlot *slot;		/* of the row: its values are the caller's to
								 * set */
	ResultRelInfo *target;
	EState	   *estate;
	SavedUser	caller;
} Insertion;

extern bool begin_insertion(Insertion *insertion, const MadeTable *made);
extern void insert_row(Insertion *insertion);
extern bool insert_row_unless_there(Insertion *insertion);
extern void end_insertion(Insertion *insertion);

#endif							/* ESGF_STAC_BASE_INSERTION_H */
