/*
 * access/identity.h
 *		Who makes the changes of this transaction.
 *
 * A gateway, which authenticates people, says so with set_identity(); everybody
 * else is the database role that called. A principal is a name that rights are
 * granted to.
 */
#ifndef ESGF_STAC_ACCESS_IDENTITY_H
#define ESGF_STAC_ACCESS_IDENTITY_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

extern Oid	calling_role(void);
extern void require_identity(void);
extern bool acts_for_another(void);
extern void require_own_rights(void);
extern List *current_principals(void);
extern void check_identity(const Jsonb *identity, bool by_gateway);
extern List *principals_of(const Jsonb *identity);
extern Jsonb *current_identity(void);
extern Jsonb *current_author(void);
extern text *identity_text(const char *member);
extern text *current_client(void);
extern void set_transaction_identity(Jsonb *identity);
extern void act_as(Jsonb *identity, void (*perform) (void *argument), void *argument);

#endif							/* ESGF_STAC_ACCESS_IDENTITY_H */
