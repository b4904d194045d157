/*
 * problems.h
 *		All that is wrong with a document, told at once.
 *
 * A problem is a place in the document, given as a JSON pointer (RFC 6901), and
 * a sentence without subject that says what is wrong there.  A list keeps the
 * first PROBLEMS_MAX and counts the rest.  While a check descends, a Place on
 * the stack knows the way back to the root; a pointer is written only for a
 * problem.
 *
 * Use: ProblemList problems = {0};
 *		check_...(document, &problems);
 *		if (problems.count > 0)
 *			ereport(ERROR, (errproblem(...), errmsg(...),
 *							errdetail_problems(&problems)));
 */
#ifndef ESGF_STAC_PROBLEMS_H
#define ESGF_STAC_PROBLEMS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#define PROBLEMS_MAX 100

typedef struct Problem
{
	char	   *pointer;
	char	   *detail;			/* one line, without ": " */
} Problem;

typedef struct ProblemList
{
	int			count;			/* all of them */
	List	   *shown;			/* of Problem, at most PROBLEMS_MAX */
} ProblemList;

/* A member of an object, or, where key is NULL, an element of an array. */
typedef struct Place
{
	const struct Place *parent; /* NULL at the root's own members */
	const char *key;
	int			length;
	uint32		index;
} Place;

#define MEMBER_PLACE(parent, name) {(parent), (name), sizeof(name) - 1, 0}

extern void add_problem(ProblemList *problems, const Place *place, const char *detail);
extern char *problem_rest(const ProblemList *problems);
extern int	errdetail_problems(const ProblemList *problems);
extern void report_problems(const ProblemList *problems, const char *table, const char *message);

#endif							/* ESGF_STAC_PROBLEMS_H */
