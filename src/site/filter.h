/*
 * site/filter.h
 *		What the form of a rule's filter says: what it may cost, and of what in a
 *		document its answer depends.
 */
#ifndef ESGF_STAC_SITE_FILTER_H
#define ESGF_STAC_SITE_FILTER_H

#include "nodes/pg_list.h"

typedef struct FilterForm
{
	int			length;			/* in characters */
	int			descents;		/* how often it has .** */
	bool		root_inside;	/* does "$" stand inside of ? (...)? */
	bool		like_regex;
	int			keyvalues;		/* how often it has .keyvalue() */
	bool		subscript_list; /* are there several in one [...]? */
	bool		two_paths;		/* is a path compared with, or calculated
								 * with, another? */
	bool		properties_only;	/* does it read nothing but some
									 * properties? */
	List	   *properties;		/* of char *: those, if so */
	char	   *guard;			/* a property that must be one of certain
								 * strings where the filter holds; NULL: none
								 * is known */
	List	   *guard_values;	/* of char *: those */
} FilterForm;

extern void read_filter_form(const char *filter, FilterForm *form);

#endif							/* ESGF_STAC_SITE_FILTER_H */
