/*
 * identity.h
 *		Who makes the changes of this transaction.
 */
#ifndef ESGF_STAC_IDENTITY_H
#define ESGF_STAC_IDENTITY_H

#include "postgres.h"

#include "utils/jsonb.h"

extern Jsonb *current_identity(void);

#endif							/* ESGF_STAC_IDENTITY_H */
