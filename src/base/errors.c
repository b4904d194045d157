/*
 * base/errors.c
 *		What every refusal of esgf_stac carries: see base/errors.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/errors.h"
#include "base/limits.h"

#define SENTENCE_MAX 500

#define PROBLEM_ROW(name, ...) {__VA_ARGS__},
const ProblemFacts problem_facts[] = {PROBLEM_KINDS(PROBLEM_ROW)};

/* The kind of a slug; PROBLEM_KIND_COUNT where it is none of ours. */
ProblemKind
problem_kind(const char *slug)
{
	ProblemKind kind = 0;

	while (kind < PROBLEM_KIND_COUNT && strcmp(problem_facts[kind].slug, slug) != 0)
		kind++;
	return kind;
}

/* Set what an error has of its kind; a hint of its own is set after this. */
int
errproblem(ProblemKind kind)
{
	const ProblemFacts *facts = &problem_facts[kind];

	errcode(MAKE_SQLSTATE('P', 'T', '0' + facts->status / 100, '0' + facts->status / 10 % 10, '0' + facts->status % 10));
	err_generic_string(PG_DIAG_SCHEMA_NAME, "esgf_stac");
	err_generic_string(PG_DIAG_CONSTRAINT_NAME, facts->slug);
	return facts->hint ? errhint("%s", facts->hint) : 0;
}

/* Set the table of an error: the noun that it is about; NULL is none. */
int
errtable_of(const char *table)
{
	return table ? err_generic_string(PG_DIAG_TABLE_NAME, table) : 0;
}

/* Make one line of a text, in place. */
char *
without_controls(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	return text;
}

/*
 * Make one line of a text, and not a long one. PostgREST puts the message of an
 * error into its status line: there a line break would begin a header, of which
 * the caller is the author.
 */
char *
one_line(char *text)
{
	text[pg_mbcliplen(text, strlen(text), SENTENCE_MAX)] = '\0';
	return without_controls(text);
}

/* A name of a caller's, to be told: as long as our own may be, what is longer is cut. */
char *
clip(const char *words, int len)
{
	int			shown = len <= NAME_MAX_LENGTH ? len : pg_mbcliplen(words, len, NAME_MAX_LENGTH);

	return psprintf("%.*s%s", shown, words, shown < len ? "..." : "");
}
