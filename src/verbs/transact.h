/*
 * verbs/transact.h
 *		Requests as transact() is given them.
 */
#ifndef ESGF_STAC_VERBS_TRANSACT_H
#define ESGF_STAC_VERBS_TRANSACT_H

#include "utils/jsonb.h"

extern void perform_json_request(const JsonbValue *source);

#endif							/* ESGF_STAC_VERBS_TRANSACT_H */
