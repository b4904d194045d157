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

#include "json/key_table.h"
#include "site/filter.h"

/* A filter, which several rules may have: it is judged once. */
typedef struct SiteFilter
{
	JsonPath   *path;
	FilterForm	form;
	int			number;			/* of it, from 0 */
	int			guard_number;	/* of its guard, from 0; of use if it has one */
} SiteFilter;

typedef struct SiteRule
{
	int64		id;
	List	   *collections;	/* of char *; NIL: all */
	SiteFilter *filter;			/* NULL: all */
	TimestampTz valid_from;
	TimestampTz valid_to;
} SiteRule;

/* A site, and all of its rules, in the order of their ids. */
typedef struct RuledSite
{
	char	   *node;
	List	   *rules;			/* of SiteRule */
} RuledSite;

/* All rules, and what they ask of documents. */
typedef struct RuleSet
{
	List	   *sites;			/* of RuledSite */
	List	   *filters;		/* of SiteFilter, by number */
	List	   *guards;			/* of char *, by number: properties */
	KeyTable   *filter_numbers; /* by text */
	KeyTable   *guard_numbers;	/* by property */
} RuleSet;

/* A document, and which filters it satisfies as far as that was asked. */
typedef struct JudgedDocument
{
	Jsonb	   *document;
	char	   *verdicts;		/* by number of filter */
	JsonbSlice *guards;			/* by number: what it has there, or nothing */
} JudgedDocument;

extern RuleSet *replication_rules(void);
extern RuledSite *find_ruled_site(const RuleSet *rules, const char *node);
extern bool concerns(const SiteRule *rule, const char *collection_id, TimestampTz now);
extern void begin_judging(JudgedDocument *judged, const RuleSet *rules, Jsonb *document);
extern bool matches(const SiteRule *rule, JudgedDocument *judged);

#endif							/* ESGF_STAC_SITE_RULE_H */
