/*
 * schema/functions.h
 *		What SQL functions answer about a document that a schema was asked of.
 */
#ifndef ESGF_STAC_SCHEMA_FUNCTIONS_H
#define ESGF_STAC_SCHEMA_FUNCTIONS_H

#include "fmgr.h"

#include "base/problems.h"

extern void put_problem_rows(FunctionCallInfo fcinfo, const ProblemList *problems);

#endif							/* ESGF_STAC_SCHEMA_FUNCTIONS_H */
