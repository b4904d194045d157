/*
 * verbs/verbs.h
 *		What the C functions of verbs have in common: arguments, and the answer.
 */
#ifndef ESGF_STAC_VERBS_VERBS_H
#define ESGF_STAC_VERBS_VERBS_H

#include "fmgr.h"

#include "verbs/methods.h"

extern Datum required_argument(FunctionCallInfo fcinfo, int number, const char *name, const char *table, const char *hint);
extern Datum receipt_datum(FunctionCallInfo fcinfo, const ItemRequest *request);

#endif							/* ESGF_STAC_VERBS_VERBS_H */
