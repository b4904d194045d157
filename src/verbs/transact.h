/*
 * verbs/transact.h
 *		Requests as transact() is given them.
 */
#ifndef ESGF_STAC_VERBS_TRANSACT_H
#define ESGF_STAC_VERBS_TRANSACT_H

#include "utils/jsonb.h"

#include "access/judge.h"

extern void perform_to_be_judged(const JsonbValue *source, Explanation *explanation);

#endif							/* ESGF_STAC_VERBS_TRANSACT_H */
