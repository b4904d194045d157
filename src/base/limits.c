/*
 * base/limits.c
 *		Refuses what is longer than it may be: see base/limits.h.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"

/* Refuse a member of a request, or a column, that is longer than so many bytes; NULL is not. */
void
check_length(const char *member, const text *value, int max)
{
	if (value == NULL || VARSIZE_ANY_EXHDR(value) <= (Size) max)
		return;
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
			 errmsg("bad request: \"%s\" must not be longer than %d bytes", member, max),
			 errdetail_pointer(psprintf("/%s", member), psprintf("must not be longer than %d bytes", max)),
			 errhint("doc/limits.md lists all limits.")));
}

/* Refuse a document for the size of its text; the table is NULL for a document of none. */
void
document_too_large(const char *table, uint64 max)
{
	ereport(ERROR,
			(errproblem(PROBLEM_DOCUMENT_TOO_LARGE), errtable_of(table),
			 errmsg("document is too large"),
			 errdetail_pointer("", psprintf("must not have more than " UINT64_FORMAT " bytes as text", max)),
			 table && strcmp(table, "item") == 0 ?
			 errhint("An administrator may raise max_document_bytes with esgf_stac.configure_collection().") : 0));
}
