/*
 * base/problems.h
 *		All that is wrong with what was sent, told at once.
 *
 * A problem is a place, given as a JSON pointer (RFC 6901), and a sentence
 * without subject that says what is wrong there.  A list keeps the first
 * PROBLEMS_MAX and counts the rest.  While a check descends, a Place on the
 * stack knows the way back to the root; a pointer is written only for a
 * problem.
 *
 * Use: ProblemList problems = {0};
 *		check_...(document, &problems);
 *		if (problems.count > 0)
 *			ereport(ERROR, (errproblem(...), errtable_of(...), errmsg(...),
 *							errdetail_problems(&problems)));
 *
 * An error has text only.  What it tells programs, its particulars, is kept
 * beside it until the transaction ends, for verbs/problem_json.c: nothing is ever
 * read back out of a DETAIL.
 */
#ifndef ESGF_STAC_BASE_PROBLEMS_H
#define ESGF_STAC_BASE_PROBLEMS_H

#include "nodes/pg_list.h"

#define PROBLEMS_MAX 100

typedef struct Problem
{
	char	   *pointer;		/* "" is the whole */
	char	   *detail;
	const char *right;			/* of a part of a change that is not
								 * permitted; else NULL, as the next three */
	const char *scope;
	const char *target;
	const char *reason;
	const char *keyword;		/* of a schema that was not met; else NULL, as
								 * the next */
	const char *url;			/* of that schema, or of what was declared */
	const char *slug;			/* of a problem that was let pass; else NULL */
} Problem;

typedef struct ProblemList
{
	uint64		count;			/* all of them */
	List	   *shown;			/* of Problem, at most PROBLEMS_MAX */
	const char *member;			/* not NULL: of this member of the root, an
								 * array, only what is below the elements from
								 * this one on is noted, and nothing else */
	uint32		first_element;
} ProblemList;

/* Nobody knows when to try again. */
#define RETRY_UNKNOWN (-1)

/* What a refusal tells programs. */
typedef struct Particulars
{
	const char *detail;			/* the DETAIL of the error that they belong to */
	bool		in_detail;		/* is that DETAIL the list of problems? */
	List	   *problems;		/* of Problem */
	const char *rest;			/* how many more there are; NULL: none */
	bool		has_version;
	int64		current_version;
	bool		has_retry_after;
	int64		retry_after;	/* seconds, or RETRY_UNKNOWN */
} Particulars;

/* A member of an object, or, where key is NULL, an element of an array. */
typedef struct Place
{
	const struct Place *parent; /* NULL at the root's own members */
	const char *key;
	int			length;
	uint32		index;
} Place;

#define MEMBER_PLACE(parent, name) {(parent), (name), sizeof(name) - 1, 0}

extern char *place_pointer(const Place *place);
extern bool is_asked_for(const ProblemList *problems, const Place *place);
extern void add_problem(ProblemList *problems, const Place *place, const char *detail);
extern Problem *add_pointed_problem(ProblemList *problems, const char *pointer, const char *detail);
extern char *problem_rest(const ProblemList *problems);
extern int	errdetail_problems(const ProblemList *problems);
extern int	errdetail_place(const Place *place, const char *detail);
extern int	errdetail_pointer(const char *pointer, const char *detail);
extern int	errdetail_beside(const ProblemList *problems, const char *detail);
extern int	errdetail_version(int64 current_version, const char *detail);
extern int	errdetail_retry(int64 retry_after, const char *detail);
extern void report_problems(const ProblemList *problems, const char *table, const char *message);
extern const Particulars *particulars_of(const ErrorData *error);

#endif							/* ESGF_STAC_BASE_PROBLEMS_H */
