/*
 * access/role.c
 *		The names of roles and scopes, for SQL as well: see access/role.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "access/role.h"
#include "base/bytes.h"
#include "base/compat.h"

const char *const role_names[ROLE_COUNT] = {
	"CREATE", "UPDATE", "DELETE", "REPLICATE", "REVOKE", "RETRACT", "CITATION", "ERRATA"
};
const char *const scope_names[] = {"project", "node"};

PG_FUNCTION_INFO_V1(esgf_access_roles);

/* Find a role by its name; false if there is none. */
bool
find_role(const char *name, int len, Role *role)
{
	for (int i = 0; i < ROLE_COUNT; i++)
	{
		if (bytes_are(name, len, role_names[i]))
		{
			*role = i;
			return true;
		}
	}
	return false;
}

/* The scope of a name that is one. */
Scope
find_scope(const char *name)
{
	return strcmp(name, scope_names[SCOPE_NODE]) == 0 ? SCOPE_NODE : SCOPE_PROJECT;
}

/* The names of roles, as text[]. */
Datum
role_name_array(const Role *roles, int count)
{
	Datum	   *names = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
		names[i] = CStringGetTextDatum(role_names[roles[i]]);
	return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* access_roles() */
Datum
esgf_access_roles(PG_FUNCTION_ARGS)
{
	Role		roles[ROLE_COUNT];

	for (int i = 0; i < ROLE_COUNT; i++)
		roles[i] = i;
	return role_name_array(roles, ROLE_COUNT);
}
