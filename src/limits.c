/*
 * limits.c
 *		Refuses what is longer than it may be: see limits.h.
 */
#include "postgres.h"

#include "compat.h"
#include "errors.h"
#include "limits.h"
#include "problems.h"

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
