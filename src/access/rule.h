/*
 * access/rule.h
 *		The rules of access, and whether somebody holds one that will do.
 *
 * A role is what may be done, a scope where: on a project, that is a
 * collection, or on a data node; the target is which one, "*" any. A rule that
 * names an institution holds for that one.
 */
#ifndef ESGF_STAC_ACCESS_RULE_H
#define ESGF_STAC_ACCESS_RULE_H

#include "datatype/timestamp.h"

#include "access/identity.h"

typedef enum Role
{
	ROLE_CREATE, ROLE_UPDATE, ROLE_DELETE, ROLE_REPLICATE, ROLE_REVOKE, ROLE_RETRACT, ROLE_CITATION, ROLE_ERRATA
} Role;

#define ROLE_COUNT 8

typedef enum Scope
{
	SCOPE_PROJECT, SCOPE_NODE
} Scope;

/* Of which rule somebody may do something; id 0 is an entitlement. */
typedef struct Grant
{
	Role		role;
	int64		rule_id;
} Grant;

/* A right that somebody holds now, and by what. */
typedef struct HeldRight
{
	Role		role;
	Scope		scope;
	const char *target;
	const char *institution;	/* NULL: any */
	TimestampTz until;			/* DT_NOEND: no end is set */
	int64		rule_id;		/* 0 is no rule */
	const char *by;				/* the rule's id, or the entitlement */
} HeldRight;

/* For which institutions does somebody hold a role? */
typedef enum GrantReach
{
	GRANT_NONE, GRANT_SOME, GRANT_ALL
} GrantReach;

extern const char *const role_names[ROLE_COUNT];
extern const char *const scope_names[];

extern bool find_grant(List *principals, const Role *roles, int role_count, Scope scope,
					   const char *target, int target_len, const char *institution, int institution_len, Grant *grant);
extern GrantReach grant_reach(List *principals, const Role *roles, int role_count, Scope scope,
							  const char *target, int target_len);
extern List *held_rights(List *principals);

#endif							/* ESGF_STAC_ACCESS_RULE_H */
