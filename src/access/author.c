/*
 * access/author.c
 *		author(): whose requests and events may the caller ask after?
 */
#include "postgres.h"

#include "fmgr.h"

#include "access/identity.h"
#include "access/judge.h"
#include "base/compat.h"

PG_FUNCTION_INFO_V1(esgf_author);

/* author(): issuer, subject and client of who acts; null for administrators, who may ask after all. */
Datum
esgf_author(PG_FUNCTION_ARGS)
{
	require_identity();
	if (is_administrator())
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(current_client());
}
