/*
 * access/rule.h
 *		The rules of access, and whether somebody holds one that will do.
 *
 * A rule gives a principal a role on a target, "*" any; one that names an
 * institution holds for that one.
 */
#ifndef ESGF_STAC_ACCESS_RULE_H
#define ESGF_STAC_ACCESS_RULE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "access/role.h"
#include "json/edit.h"

/* What somebody needs: one of some roles on a target. */
typedef struct Need
{
	const Role *roles;
	int			role_count;
	Scope		scope;
	JsonKey		target;
} Need;

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

extern bool find_grant(List *principals, const Need *need, const JsonKey *institution, Grant *grant);
extern GrantReach grant_reach(List *principals, const Need *need);
extern List *held_rights(List *principals);

#endif							/* ESGF_STAC_ACCESS_RULE_H */
