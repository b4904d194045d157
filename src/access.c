/*
 * access.c
 *		Who may change what. An administrator is a member of esgf_stac_admin, by
 *		the database's own grants: no claim makes one.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"

#include "access.h"

/* Is the caller an administrator? */
bool
is_administrator(void)
{
	return has_privs_of_role(GetOuterUserId(), get_role_oid("esgf_stac_admin", false));
}
