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

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access/rule.h"
#include "base/compat.h"
#include "base/table_cache.h"

const char *const role_names[ROLE_COUNT] = {
	"CREATE", "UPDATE", "DELETE", "REPLICATE", "REVOKE", "RETRACT", "CITATION", "ERRATA"
};
const char *const scope_names[] = {"project", "node"};

PG_FUNCTION_INFO_V1(esgf_access_roles);

typedef struct Rule
{
	int64		id;
	char	   *principal;
	Role		role;
	Scope		scope;
	char	   *target;
	char	   *institution;	/* NULL: any */
	TimestampTz valid_from;
	TimestampTz valid_to;
} Rule;

/* An entitlement; its strings point into the principal. */
typedef struct Entitlement
{
	Role		role;
	Scope		scope;
	const char *target;
	int			target_len;
	const char *institution;	/* NULL: any */
	int			institution_len;
} Entitlement;

typedef struct RuleBucket
{
	uint32		hash;			/* of principal, scope and target; hash key */
	List	   *rules;
} RuleBucket;

/* Find a role by its name; false if there is none. */
static bool
find_role(const char *name, int len, Role *role)
{
	for (int i = 0; i < ROLE_COUNT; i++)
	{
		if ((int) strlen(role_names[i]) == len && memcmp(role_names[i], name, len) == 0)
		{
			*role = i;
			return true;
		}
	}
	return false;
}

/* Under which key a rule stands. */
static uint32
hash_place(const char *principal, Scope scope, const char *target, int target_len)
{
	return hash_combine(hash_combine(hash_bytes((const unsigned char *) principal, strlen(principal)),
									 hash_bytes((const unsigned char *) target, target_len)), scope);
}

/* Keep one rule. */
static void *
keep_rule(void *kept, HeapTuple row, TupleDesc desc)
{
	HTAB	   *rules = kept;
	Rule	   *rule = palloc(sizeof(Rule));
	char	   *role = SPI_getvalue(row, desc, 3);
	bool		isnull;
	bool		found;
	uint32		hash;
	RuleBucket *bucket;

	if (!find_role(role, strlen(role), &rule->role))
		return rules;
	rule->id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	rule->principal = SPI_getvalue(row, desc, 2);
	rule->scope = strcmp(SPI_getvalue(row, desc, 4), "node") == 0 ? SCOPE_NODE : SCOPE_PROJECT;
	rule->target = SPI_getvalue(row, desc, 5);
	rule->institution = SPI_getvalue(row, desc, 6);
	rule->valid_from = DatumGetTimestampTz(SPI_getbinval(row, desc, 7, &isnull));
	rule->valid_to = DatumGetTimestampTz(SPI_getbinval(row, desc, 8, &isnull));
	if (isnull)
		rule->valid_to = DT_NOEND;
	hash = hash_place(rule->principal, rule->scope, rule->target, strlen(rule->target));
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

/* Does an institution that something is limited to cover this one? */
static bool
covers_institution(const char *limit, int limit_len, const char *institution, int len)
{
	return limit == NULL ||
		(institution && limit_len == len && memcmp(limit, institution, len) == 0);
}

/* Does a rule, whatever its institution, give that role there now? */
static bool
holds(const Rule *rule, TimestampTz now, const char *principal, Role role, Scope scope, const char *target, int target_len)
{
	return rule->role == role && rule->scope == scope && strcmp(rule->principal, principal) == 0 &&
		(int) strlen(rule->target) == target_len && memcmp(rule->target, target, target_len) == 0 &&
		rule->valid_from <= now && now < rule->valid_to;
}

/* Look for a rule of one principal on one target. */
static bool
find_rule(HTAB *rules, const char *principal, Role role, Scope scope, const char *target, int target_len,
		  const char *institution, int institution_len, Grant *grant)
{
	uint32		hash = hash_place(principal, scope, target, target_len);
	RuleBucket *bucket = hash_search(rules, &hash, HASH_FIND, NULL);
	TimestampTz now;
	ListCell   *cell;

	if (bucket == NULL)
		return false;
	now = GetCurrentTimestamp();
	foreach(cell, bucket->rules)
	{
		Rule	   *rule = lfirst(cell);

		if (holds(rule, now, principal, role, scope, target, target_len) &&
			covers_institution(rule->institution, rule->institution ? strlen(rule->institution) : 0, institution, institution_len))
		{
			grant->role = role;
			grant->rule_id = rule->id;
			return true;
		}
	}
	return false;
}

/* Take a prefix off a string that begins with it. */
static bool
skip(const char **text, const char *prefix)
{
	if (strncmp(*text, prefix, strlen(prefix)) != 0)
		return false;
	*text += strlen(prefix);
	return true;
}

/*
 * Read an entitlement of EGI; false if a principal is none.
 * urn:mace:egi.eu:group:esgf.vo.egi.eu:(project|node):<id>[:institution:<inst>]:role=<ROLE>#aai.egi.eu
 */
static bool
parse_entitlement(const char *principal, Entitlement *entitlement)
{
	const char *text = principal;
	const char *end;

	if (!skip(&text, "urn:mace:egi.eu:group:esgf.vo.egi.eu:"))
		return false;
	if (skip(&text, "project:"))
		entitlement->scope = SCOPE_PROJECT;
	else if (skip(&text, "node:"))
		entitlement->scope = SCOPE_NODE;
	else
		return false;
	end = strchr(text, ':');
	if (end == NULL || end == text)
		return false;
	entitlement->target = text;
	entitlement->target_len = end - text;
	text = end + 1;
	entitlement->institution = NULL;
	if (skip(&text, "institution:"))
	{
		end = strchr(text, ':');
		if (end == NULL || end == text)
			return false;
		entitlement->institution = text;
		entitlement->institution_len = end - text;
		text = end + 1;
	}
	end = strchr(text, '#');
	return skip(&text, "role=") && end && find_role(text, end - text, &entitlement->role) && strcmp(end, "#aai.egi.eu") == 0;
}

/* Is a principal an entitlement to that role there, and for which institution, *limit NULL: any? */
static bool
is_entitlement(const char *principal, Role role, Scope scope, const char *target, int target_len,
			   const char **limit, int *limit_len)
{
	Entitlement entitlement;

	if (!parse_entitlement(principal, &entitlement) || entitlement.role != role || entitlement.scope != scope ||
		!((entitlement.target_len == 1 && *entitlement.target == '*') ||
		  (entitlement.target_len == target_len && memcmp(entitlement.target, target, target_len) == 0)))
		return false;
	*limit = entitlement.institution;
	*limit_len = entitlement.institution_len;
	return true;
}

/* Does one of the principals hold one of the roles there? The first role that will do is told. */
bool
find_grant(List *principals, const Role *roles, int role_count, Scope scope,
		   const char *target, int target_len, const char *institution, int institution_len, Grant *grant)
{
	HTAB	   *rules = cached_rows(&rule_cache);
	ListCell   *cell;

	for (int i = 0; i < role_count; i++)
	{
		foreach(cell, principals)
		{
			const char *principal = lfirst(cell);
			const char *limit;
			int			limit_len;

			if (is_entitlement(principal, roles[i], scope, target, target_len, &limit, &limit_len) &&
				covers_institution(limit, limit_len, institution, institution_len))
			{
				grant->role = roles[i];
				grant->rule_id = 0;
				return true;
			}
			if (find_rule(rules, principal, roles[i], scope, target, target_len, institution, institution_len, grant) ||
				find_rule(rules, principal, roles[i], scope, "*", 1, institution, institution_len, grant))
				return true;
		}
	}
	return false;
}

/* For which institutions do the rules of one principal on one target give a role? */
static GrantReach
rule_reach(HTAB *rules, const char *principal, Role role, Scope scope, const char *target, int target_len)
{
	uint32		hash = hash_place(principal, scope, target, target_len);
	RuleBucket *bucket = hash_search(rules, &hash, HASH_FIND, NULL);
	GrantReach	reach = GRANT_NONE;
	TimestampTz now;
	ListCell   *cell;

	if (bucket == NULL)
		return GRANT_NONE;
	now = GetCurrentTimestamp();
	foreach(cell, bucket->rules)
	{
		Rule	   *rule = lfirst(cell);

		if (!holds(rule, now, principal, role, scope, target, target_len))
			continue;
		if (rule->institution == NULL)
			return GRANT_ALL;
		reach = GRANT_SOME;
	}
	return reach;
}

/* For which institutions do the principals hold one of the roles there? */
GrantReach
grant_reach(List *principals, const Role *roles, int role_count, Scope scope, const char *target, int target_len)
{
	HTAB	   *rules = cached_rows(&rule_cache);
	GrantReach	reach = GRANT_NONE;
	ListCell   *cell;

	foreach(cell, principals)
	{
		const char *principal = lfirst(cell);
		const char *limit;
		int			limit_len;

		for (int i = 0; i < role_count && reach != GRANT_ALL; i++)
		{
			if (is_entitlement(principal, roles[i], scope, target, target_len, &limit, &limit_len))
				reach = Max(reach, limit ? GRANT_SOME : GRANT_ALL);
			reach = Max(reach, rule_reach(rules, principal, roles[i], scope, target, target_len));
			reach = Max(reach, rule_reach(rules, principal, roles[i], scope, "*", 1));
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
	TimestampTz now = GetCurrentTimestamp();
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

			if (rule->valid_from > now || rule->valid_to <= now ||
				bsearch(&rule->principal, names, count, sizeof(char *), compare_strings) == NULL)
				continue;
			right = palloc(sizeof(HeldRight));
			right->role = rule->role;
			right->scope = rule->scope;
			right->target = rule->target;
			right->institution = rule->institution;
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

		if (!parse_entitlement(lfirst(cell), &entitlement))
			continue;
		right = palloc0(sizeof(HeldRight));
		right->role = entitlement.role;
		right->scope = entitlement.scope;
		right->target = pnstrdup(entitlement.target, entitlement.target_len);
		if (entitlement.institution)
			right->institution = pnstrdup(entitlement.institution, entitlement.institution_len);
		right->until = DT_NOEND;
		right->by = lfirst(cell);
		rights = lappend(rights, right);
	}
	return rights;
}

/* access_roles() -> text[], for grant_access() to know them, too. */
Datum
esgf_access_roles(PG_FUNCTION_ARGS)
{
	Datum		names[ROLE_COUNT];

	for (int i = 0; i < ROLE_COUNT; i++)
		names[i] = CStringGetTextDatum(role_names[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, ROLE_COUNT, TEXTOID, -1, false, TYPALIGN_INT));
}
