/*
 * site/rule.h
 *		The rules of replication: which items a site wants to hold.
 *
 * A rule matches an item of its collections whose document satisfies its filter.
 * What a filter reads is known by its form, so that a change which alters
 * nothing of that need not be judged.
 */
#ifndef ESGF_STAC_SITE_RULE_H
#define ESGF_STAC_SITE_RULE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#include "site/filter.h"

typedef struct SiteRule
{
	int64		id;
	List	   *collections;	/* of char *; NIL: all */
	JsonPath   *filter;			/* NULL: all */
	FilterForm	form;			/* of the filter */
	TimestampTz valid_from;
	TimestampTz valid_to;
} SiteRule;

/* A site, and all of its rules, in the order of their ids. */
typedef struct RuledSite
{
	char	   *node;
	List	   *rules;			/* of SiteRule */
} RuledSite;

extern List *ruled_sites(void);
extern RuledSite *find_ruled_site(const char *node);
extern bool concerns(const SiteRule *rule, const char *collection_id, TimestampTz now);
extern bool matches(const SiteRule *rule, Jsonb *document);

#endif							/* ESGF_STAC_SITE_RULE_H */
