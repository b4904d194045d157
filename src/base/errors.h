/*
 * base/errors.h
 *		The refusals of esgf_stac: each is of a kind, whose facts stand in
 *		base/problem_kinds.h.
 *
 * Use: ereport(ERROR, (errproblem(PROBLEM_BAD_PATCH), errmsg(...), ...)), with
 * errsentence(...) in place of errmsg(...) where a caller's words are in it.
 */
#ifndef ESGF_STAC_BASE_ERRORS_H
#define ESGF_STAC_BASE_ERRORS_H

#include "base/problem_kinds.h"

#define PROBLEM_NAME(name, ...) PROBLEM_##name,
typedef enum ProblemKind
{
	PROBLEM_KINDS(PROBLEM_NAME)
	PROBLEM_KIND_COUNT
} ProblemKind;

/* A row of base/problem_kinds.h. */
typedef struct ProblemFacts
{
	const char *slug;
	int			status;
	const char *title;
	const char *hint;
} ProblemFacts;

/* What the server itself says to who lacks a privilege; it has no slug. */
#define errforbidden()	(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), err_generic_string(PG_DIAG_SCHEMA_NAME, "esgf_stac"))

/* The message of an error that repeats a caller's words. */
#define errsentence(...)	errmsg_internal("%s", one_line(psprintf(__VA_ARGS__)))

extern const ProblemFacts problem_facts[];
extern ProblemKind problem_kind(const char *slug);
extern int	errproblem(ProblemKind kind);
extern int	errtable_of(const char *table);
extern char *without_controls(char *text);
extern char *one_line(char *text);
extern char *clip(const char *words, int len);

#endif							/* ESGF_STAC_BASE_ERRORS_H */
