/*
 * identity.h
 *		Who makes the changes of this transaction.
 *
 * A gateway, which authenticates people, says so with set_identity(); everybody
 * else is the database role that called. A principal is a name that rights are
 * granted to.
 */
#ifndef ESGF_STAC_IDENTITY_H
#define ESGF_STAC_IDENTITY_H

#include "postgres.h"

#include "utils/jsonb.h"

extern void require_identity(void);
extern Jsonb *current_identity(void);
extern text *identity_text(const char *member);
extern text *current_client(void);
extern void set_transaction_identity(Jsonb *identity);

#endif							/* ESGF_STAC_IDENTITY_H */
