/*
 * rules.h
 *		The relay of a site's stream has the rules of sites told to the items that
 *		are there, beside what it delivers.
 */
#ifndef CATALOGUE_RULES_H
#define CATALOGUE_RULES_H

#include "catalogue/catalogue.h"

typedef struct Rules
{
	const Catalogue *catalogue;
	bool		known;			/* whose stream is it? */
	bool		of_site;
	PGconn	   *connection;		/* its own; NULL: none */
	bool		asking;
	int64_t		due;			/* when it is to be asked again */
} Rules;

extern ExitStatus rules_tell(Rules *rules);
extern int64_t rules_due(const Rules *rules);
extern void rules_forget(Rules *rules);

#endif							/* CATALOGUE_RULES_H */
