/*
 * access/role.h
 *		A role is what may be done, a scope where: on a project, that is a
 *		collection, or on a data node.
 */
#ifndef ESGF_STAC_ACCESS_ROLE_H
#define ESGF_STAC_ACCESS_ROLE_H

typedef enum Role
{
	ROLE_CREATE, ROLE_UPDATE, ROLE_DELETE, ROLE_REPLICATE, ROLE_REVOKE, ROLE_RETRACT, ROLE_CITATION, ROLE_ERRATA
} Role;

#define ROLE_COUNT 8

typedef enum Scope
{
	SCOPE_PROJECT, SCOPE_NODE
} Scope;

extern const char *const role_names[ROLE_COUNT];
extern const char *const scope_names[];

extern bool find_role(const char *name, int len, Role *role);
extern Scope find_scope(const char *name);
extern Datum role_name_array(const Role *roles, int count);

#endif							/* ESGF_STAC_ACCESS_ROLE_H */
