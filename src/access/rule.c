/*
 * access/rule.c
 *		The rules of access as each backend keeps them: see access/rule.h.
 *
 * Rules stand in a hash table under principal, scope and target, so that a
 * decision looks at the few that matter, however many there are. Times of
 * validity are compared at use. An entitlement of EGI that somebody has for a
 * principal is a rule by itself.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "access/entitlement.h"
#include "access/rule.h"
#include "base/compat.h"
#include "base/table_cache.h"

typedef struct Rule
{
	int64		id;
	char	   *principal;
	Role		role;
	Scope		scope;
	JsonKey		target;
	JsonKey		institution;	/* data NULL: any */
	TimestampTz valid_from;
	TimestampTz valid_to;
} Rule;

typedef struct RuleBucket
{
	uint32		hash;			/* of principal, scope and target; hash key */
	List	   *rules;
} RuleBucket;

/* Under which key a rule stands. */
static uint32
hash_place(const char *principal, Scope scope, JsonKey target)
{
	return hash_combine(hash_combine(hash_bytes((const unsigned char *) principal, strlen(principal)),
									 hash_bytes((const unsigned char *) target.data, target.len)), scope);
}

/* A column of a row that is text; data NULL where it is null. */
static JsonKey
text_column(HeapTuple row, TupleDesc desc, int number)
{
	char	   *value = SPI_getvalue(row, desc, number);

	return (JsonKey) {value, value ? strlen(value) : 0};
}

/* Keep one rule. */
static void *
keep_rule(void *kept, HeapTuple row, TupleDesc desc)
{
	HTAB	   *rules = kept;
	Rule	   *rule = palloc(sizeof(Rule));
	JsonKey		role = text_column(row, desc, 3);
	bool		isnull;
	bool		found;
	uint32		hash;
	RuleBucket *bucket;

	if (!find_role(role.data, role.len, &rule->role))
		return rules;
	rule->id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	rule->principal = SPI_getvalue(row, desc, 2);
	rule->scope = find_scope(SPI_getvalue(row, desc, 4));
	rule->target = text_column(row, desc, 5);
	rule->institution = text_column(row, desc, 6);
	rule->valid_from = DatumGetTimestampTz(SPI_getbinval(row, desc, 7, &isnull));
	rule->valid_to = DatumGetTimestampTz(SPI_getbinval(row, desc, 8, &isnull));
	if (isnull)
		rule->valid_to = DT_NOEND;
	hash = hash_place(rule->principal, rule->scope, rule->target);
	bucket = hash_search(rules, &hash, HASH_ENTER, &found);
	if (!found)
		bucket->rules = NIL;
	bucket->rules = lappend(bucket->rules, rule);
	return rules;
}

/* Read the rules that hold or may come to hold. */
static void *
read_rules(void)
{
	static Statement statement = {
		"SELECT id, principal, role, scope, target, institution, valid_from, valid_to FROM esgf_stac.access_rule"
		" WHERE valid_to IS NULL OR valid_to OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() ORDER BY id",
	};
	HASHCTL		control = {.keysize = sizeof(uint32),.entrysize = sizeof(RuleBucket),.hcxt = CurrentMemoryContext};

	return keep_rows(&statement, NULL, keep_rule,
					 hash_create("esgf_stac access rules", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT));
}

static TableCache rule_cache = {"access_rule", read_rules};

static const JsonKey any_target = JSON_KEY("*");

/* Does what is limited to an institution cover this one? */
static bool
covers_institution(JsonKey limit, const JsonKey *institution)
{
	return limit.data == NULL || (institution && keys_equal(limit, *institution));
}

/* The rules of a principal on a target, and others that share their hash. */
static List *
rules_on(HTAB *rules, const char *principal, Scope scope, JsonKey target)
{
	uint32		hash = hash_place(principal, scope, target);
	RuleBucket *bucket = hash_search(rules, &hash, HASH_FIND, NULL);

	return bucket ? bucket->rules : NIL;
}

/* Does a rule hold now? */
static bool
is_in_force(const Rule *rule)
{
	TimestampTz now = GetCurrentTimestamp();

	return rule->valid_from <= now && now < rule->valid_to;
}

/* Does a rule, whatever its institution, give that role there now? */
static bool
gives(const Rule *rule, const char *principal, Role role, Scope scope, JsonKey target)
{
	return rule->role == role && rule->scope == scope && strcmp(rule->principal, principal) == 0 &&
		keys_equal(rule->target, target) && is_in_force(rule);
}

/* Look for a rule of one principal on one target. */
static bool
find_rule(HTAB *rules, const char *principal, Role role, Scope scope, JsonKey target,
		  const JsonKey *institution, Grant *grant)
{
	ListCell   *cell;

	foreach(cell, rules_on(rules, principal, scope, target))
	{
		Rule	   *rule = lfirst(cell);

		if (gives(rule, principal, role, scope, target) && covers_institution(rule->institution, institution))
		{
			*grant = (Grant) {role, rule->id};
			return true;
		}
	}
	return false;
}

/* Is a principal an entitlement to that role there, whatever its institution, which is told? */
static bool
is_entitlement(const char *principal, Role role, const Need *need, JsonKey *institution)
{
	Entitlement entitlement;

	if (!read_entitlement(principal, &entitlement) || entitlement.role != role || entitlement.scope != need->scope ||
		!(keys_equal(entitlement.target, any_target) || keys_equal(entitlement.target, need->target)))
		return false;
	*institution = entitlement.institution;
	return true;
}

/* Does one of the principals hold what is needed? The first role that will do is told. */
bool
find_grant(List *principals, const Need *need, const JsonKey *institution, Grant *grant)
{
	HTAB	   *rules = cached_rows(&rule_cache);
	ListCell   *cell;

	for (int i = 0; i < need->role_count; i++)
	{
		Role		role = need->roles[i];

		foreach(cell, principals)
		{
			const char *principal = lfirst(cell);
			JsonKey		limit;

			if (is_entitlement(principal, role, need, &limit) && covers_institution(limit, institution))
			{
				*grant = (Grant) {role, 0};
				return true;
			}
			if (find_rule(rules, principal, role, need->scope, need->target, institution, grant) ||
				find_rule(rules, principal, role, need->scope, any_target, institution, grant))
				return true;
		}
	}
	return false;
}

/* For which institutions do the rules of one principal on one target give a role? */
static GrantReach
rule_reach(HTAB *rules, const char *principal, Role role, Scope scope, JsonKey target)
{
	GrantReach	reach = GRANT_NONE;
	ListCell   *cell;

	foreach(cell, rules_on(rules, principal, scope, target))
	{
		Rule	   *rule = lfirst(cell);

		if (!gives(rule, principal, role, scope, target))
			continue;
		if (rule->institution.data == NULL)
			return GRANT_ALL;
		reach = GRANT_SOME;
	}
	return reach;
}

/* For which institutions do the principals hold what is needed? */
GrantReach
grant_reach(List *principals, const Need *need)
{
	HTAB	   *rules = cached_rows(&rule_cache);
	GrantReach	reach = GRANT_NONE;
	ListCell   *cell;

	foreach(cell, principals)
	{
		const char *principal = lfirst(cell);
		JsonKey		limit;

		for (int i = 0; i < need->role_count && reach != GRANT_ALL; i++)
		{
			if (is_entitlement(principal, need->roles[i], need, &limit))
				reach = Max(reach, limit.data ? GRANT_SOME : GRANT_ALL);
			reach = Max(reach, rule_reach(rules, principal, need->roles[i], need->scope, need->target));
			reach = Max(reach, rule_reach(rules, principal, need->roles[i], need->scope, any_target));
		}
	}
	return reach;
}

/* Order strings by their bytes, for qsort and bsearch. */
static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Order held rights by the ids of their rules. */
static int
compare_held(const ListCell *a, const ListCell *b)
{
	int64		x = ((HeldRight *) lfirst(a))->rule_id;
	int64		y = ((HeldRight *) lfirst(b))->rule_id;

	return x < y ? -1 : x > y;
}

/* What the rules give to the principals now, in the order of their ids. */
static List *
rights_by_rules(List *principals)
{
	HTAB	   *rules = cached_rows(&rule_cache);
	int			count = list_length(principals);
	const char **names = palloc(sizeof(char *) * Max(1, count));
	List	   *rights = NIL;
	HASH_SEQ_STATUS status;
	RuleBucket *bucket;
	ListCell   *cell;

	foreach(cell, principals)
		names[foreach_current_index(cell)] = lfirst(cell);
	qsort(names, count, sizeof(char *), compare_strings);

	hash_seq_init(&status, rules);
	while ((bucket = hash_seq_search(&status)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		foreach(cell, bucket->rules)
		{
			Rule	   *rule = lfirst(cell);
			HeldRight  *right;

			if (!is_in_force(rule) ||
				bsearch(&rule->principal, names, count, sizeof(char *), compare_strings) == NULL)
				continue;
			right = palloc(sizeof(HeldRight));
			right->role = rule->role;
			right->scope = rule->scope;
			right->target = rule->target.data;
			right->institution = rule->institution.data;
			right->until = rule->valid_to;
			right->rule_id = rule->id;
			right->by = psprintf(INT64_FORMAT, rule->id);
			rights = lappend(rights, right);
		}
	}
	list_sort(rights, compare_held);
	return rights;
}

/* All that the principals hold now: by rules, then by entitlements. */
List *
held_rights(List *principals)
{
	List	   *rights = rights_by_rules(principals);
	ListCell   *cell;

	foreach(cell, principals)
	{
		Entitlement entitlement;
		HeldRight  *right;

		if (!read_entitlement(lfirst(cell), &entitlement))
			continue;
		right = palloc0(sizeof(HeldRight));
		right->role = entitlement.role;
		right->scope = entitlement.scope;
		right->target = pnstrdup(entitlement.target.data, entitlement.target.len);
		if (entitlement.institution.data)
			right->institution = pnstrdup(entitlement.institution.data, entitlement.institution.len);
		right->until = DT_NOEND;
		right->by = lfirst(cell);
		rights = lappend(rights, right);
	}
	return rights;
}
