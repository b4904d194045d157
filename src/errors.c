/*
 * errors.c
 *		What every refusal of esgf_stac carries: see errors.h.
 */
#include "errors.h"

/* Set SQLSTATE, problem slug and schema of the error being reported. */
int
errproblem(int sqlstate, const char *slug)
{
	errcode(sqlstate);
	err_generic_string(PG_DIAG_SCHEMA_NAME, "esgf_stac");
	return err_generic_string(PG_DIAG_CONSTRAINT_NAME, slug);
}
