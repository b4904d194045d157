/*
 * memcheck.h
 *		For scripts/memcheck-documents, which has the compiler include it before
 *		each source of the document functions: what they allocate is malloc's,
 *		and each argument an allocation of exactly its size, so that valgrind
 *		sees one byte too far and what was never written.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/memutils.h"

/* An argument, copied out of the server's memory. */
static inline struct varlena *
copy_argument(struct varlena *datum)
{
	struct varlena *plain = pg_detoast_datum(datum);
	struct varlena *copy = malloc(VARSIZE(plain));

	memcpy(copy, plain, VARSIZE(plain));
	return copy;
}

#define pg_detoast_datum		copy_argument
#define pg_detoast_datum_packed copy_argument
#define palloc					malloc
#define palloc0(size)			calloc(1, (size))
#define repalloc				realloc
#define repalloc_huge			realloc
#define pnstrdup				strndup
#define pfree					free
