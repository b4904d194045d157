/*
 * access/judge.h
 *		Who may change what: rights are asked of a change, not of a request.
 *
 * A change has parts, and each part needs one of some rights: a role held on
 * the project, for each institution concerned, or on a data node. A location
 * that is added or altered must also be one that its node may claim.
 */
#ifndef ESGF_STAC_ACCESS_JUDGE_H
#define ESGF_STAC_ACCESS_JUDGE_H

#include "utils/jsonb.h"

#include "access/rule.h"
#include "change/compare.h"

/* What happened to an item, as far as rights are concerned. */
typedef struct JudgedChange
{
	const char *collection_id;
	const char *institution_path;
	const Jsonb *old;			/* NULL if there was no such item */
	const Jsonb *new;
	bool		appears;		/* published: new, or another document after a
								 * deletion */
	bool		deleted;
	bool		restored;
	bool		retraction_flips;
	bool		latest_changes; /* by a client's word */
	const Change *change;
	struct Explanation *explanation;	/* not NULL: it is judged only, for
										 * this */
} JudgedChange;

/* One part of a change, and whether it is permitted. */
typedef struct Part
{
	char	   *pointer;
	Role		role;			/* the first of those that will do */
	Scope		scope;
	char	   *target;
	char	   *institution;	/* NULL: none is named */
	bool		granted;
	Grant		grant;
	const char *reason;			/* of a refusal: a word for programs */
	char	   *href;			/* of one that its node may not claim */
} Part;

/* Ends a change that was made only to be judged; nobody sees it. */
#define ERRCODE_JUDGED	MAKE_SQLSTATE('Y', 'J', '0', '0', '0')

/* For explain_access(): who is judged, and where the parts go, without consequence. */
typedef struct Explanation
{
	bool		administrator;
	List	   *principals;
	MemoryContext context;
	List	   *parts;
	uint64		left_out;
} Explanation;

extern bool is_administrator(void);
extern void judge_change(const JudgedChange *judged);
extern bool may_update(const JudgedChange *judged);
extern void judge_replication_rule(const char *node, List *collections, Explanation *explanation);
extern char *describe_refused_part(const Part *part);
extern char *grant_call(const Part *part, List *principals);

#endif							/* ESGF_STAC_ACCESS_JUDGE_H */
