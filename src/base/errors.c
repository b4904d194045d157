/*
 * base/errors.c
 *		What every refusal of esgf_stac carries: see base/errors.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/errors.h"
#include "base/limits.h"

#define SENTENCE_MAX 500

/* Set SQLSTATE, problem slug and schema of the error being reported. */
int
errproblem(int sqlstate, const char *slug)
{
	errcode(sqlstate);
	err_generic_string(PG_DIAG_SCHEMA_NAME, "esgf_stac");
	return err_generic_string(PG_DIAG_CONSTRAINT_NAME, slug);
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
