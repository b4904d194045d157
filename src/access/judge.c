/*
 * access/judge.c
 *		Judges a change: see access/judge.h.
 *
 * An administrator is a member of esgf_stac_admin, by the database's own
 * grants: no claim makes one, and who acts for another is none.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "access/identity.h"
#include "access/judge.h"
#include "access/site.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "json/edit.h"
#include "json/key_table.h"
#include "json/slice.h"

static const Role creation[] = {ROLE_CREATE};
static const Role replication[] = {ROLE_REPLICATE, ROLE_UPDATE};
static const Role retraction[] = {ROLE_REVOKE, ROLE_RETRACT};
static const Role deletion[] = {ROLE_DELETE};
static const Role restoring[] = {ROLE_DELETE, ROLE_CREATE};
static const Role citation[] = {ROLE_CITATION, ROLE_UPDATE};
static const Role errata[] = {ROLE_ERRATA, ROLE_UPDATE};
static const Role update[] = {ROLE_UPDATE};

/* The project that stands for any. */
#define ANY_PROJECT		"*"

/* An explanation has at most so many rows. */
#define EXPLAINED_MAX	10000

/* A change under judgement. */
typedef struct Judgement
{
	const JudgedChange *judged;
	bool		administrator;
	List	   *principals;
	JsonKey    *institutions;	/* each once; they point into the documents */
	uint32		institution_count;
	KeyTable   *nodes;			/* judged already */
	bool		begun;			/* has a part been judged? */
	List	   *parts;			/* of Part: the first that were refused; to be
								 * explained, all */
	uint64		left_out;		/* parts that would have been told as well */
} Judgement;

PG_FUNCTION_INFO_V1(esgf_calling_role);
PG_FUNCTION_INFO_V1(esgf_node_roles);
PG_FUNCTION_INFO_V1(esgf_is_administrator);
PG_FUNCTION_INFO_V1(esgf_require_replication);

/* Is the caller an administrator? */
bool
is_administrator(void)
{
	return !acts_for_another() && has_privs_of_role(calling_role(), get_role_oid("esgf_stac_admin", false));
}

/* Add an institution, unless it is there. */
static void
add_institution(Judgement *judgement, KeyTable *known, const JsonbValue *name)
{
	JsonKey		key = {name->val.string.val, name->val.string.len};
	bool		found;

	if (name->type != jbvString)
		return;
	enter_entry(known, key, &found);
	if (found)
		return;
	if (judgement->institutions == NULL)
		judgement->institutions = palloc(sizeof(JsonKey));
	else if ((judgement->institution_count & (judgement->institution_count - 1)) == 0)
		judgement->institutions = repalloc_huge(judgement->institutions, sizeof(JsonKey) * judgement->institution_count * 2);
	judgement->institutions[judgement->institution_count++] = key;
}

/* Add the strings that stand at the path of the institution. */
static void
add_institutions(Judgement *judgement, KeyTable *known, const Jsonb *document)
{
	const char *path = judgement->judged->institution_path;
	JsonbValue	value;
	JsonbCursor names;
	JsonbSlice	name;

	if (document == NULL || !json_pointer_get(document, path, strlen(path), &value))
		return;
	if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
	{
		add_institution(judgement, known, &value);
		return;
	}
	cursor_init(&names, value.val.binary.data, 0);
	while (names.index < JsonContainerSize(names.container))
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&names, &name);
		slice_to_value(&name, &value);
		add_institution(judgement, known, &value);
	}
}

/* Where a part stands in the document: at a pointer, or at a location. */
typedef struct PartPlace
{
	const char *pointer;		/* NULL: at the location */
	const Location *location;
} PartPlace;

/* Is there room for another part to be told? */
static bool
has_room(Judgement *judgement)
{
	if (list_length(judgement->parts) < (judgement->judged->explanation ? EXPLAINED_MAX : PROBLEMS_MAX))
		return true;
	judgement->left_out++;
	return false;
}

/* Note a part, its names clipped, and not yet its fate. */
static Part *
note_part(Judgement *judgement, const PartPlace *place, const Need *need)
{
	Part	   *part = palloc0(sizeof(Part));

	part->pointer = place->pointer ? pstrdup(place->pointer) : location_pointer(place->location);
	part->role = need->roles[0];
	part->scope = need->scope;
	part->target = clip(need->target.data, need->target.len);
	part->grant.role = part->role;
	judgement->parts = lappend(judgement->parts, part);
	return part;
}

/* Judge one part, for one institution. */
static void
judge_part(Judgement *judgement, const PartPlace *place, const Need *need, const JsonKey *institution)
{
	Grant		grant = {need->roles[0]};
	bool		granted;
	Part	   *part;

	CHECK_FOR_INTERRUPTS();
	granted = judgement->administrator ||
		find_grant(judgement->principals, need, institution, &grant);
	if ((granted && !judgement->judged->explanation) || !has_room(judgement))
		return;
	part = note_part(judgement, place, need);
	part->institution = institution ? clip(institution->data, institution->len) : NULL;
	part->granted = granted;
	part->grant = grant;
	part->reason = granted ? NULL : "no-right";
}

/*
 * Judge one part, for each institution concerned. Where no rule limits itself
 * to one, they need not be asked one by one: institutions times nodes may be
 * many.
 */
static void
judge_institutions(Judgement *judgement, const PartPlace *place, const Need *need)
{
	GrantReach	reach = GRANT_SOME;

	judgement->begun = true;
	if (judgement->institution_count == 0)
		judge_part(judgement, place, need, NULL);
	else if (!judgement->judged->explanation)
		reach = judgement->administrator ? GRANT_ALL :
			grant_reach(judgement->principals, need);
	if (reach == GRANT_ALL)
		return;
	for (uint32 i = 0; i < judgement->institution_count; i++)
	{
		if (reach == GRANT_NONE && list_length(judgement->parts) >= PROBLEMS_MAX)
		{
			judgement->left_out += judgement->institution_count - i;
			return;
		}
		judge_part(judgement, place, need, &judgement->institutions[i]);
	}
}

/* Judge one part of a project. */
static void
judge_project_at(Judgement *judgement, const PartPlace *place, const Role *roles, int role_count)
{
	const char *id = judgement->judged->collection_id;
	Need		need = {roles, role_count, SCOPE_PROJECT, {id, strlen(id)}};

	judge_institutions(judgement, place, &need);
}

#define judge_project(judgement, pointer, roles) \
	judge_project_at((judgement), &(PartPlace) {(pointer), NULL}, (roles), lengthof(roles))

/* Refuse a location for what it is, whatever rights there are. */
static Part *
refuse_location(Judgement *judgement, const PartPlace *place, const Role *roles, const char *reason)
{
	Part	   *part;

	if (!has_room(judgement))
		return NULL;
	part = note_part(judgement, place, &(Need) {roles, 1, SCOPE_NODE, place->location->node});
	part->reason = reason;
	return part;
}

/* May a node claim a location that is added or altered? */
static void
judge_claim(Judgement *judgement, const PartPlace *place, const Role *roles)
{
	const Location *location = place->location;
	JsonbValue	value;
	bool		has_name = document_get(location->object, &value, JSON_PATH(JSON_KEY("alternate:name"))) &&
	value.type == jbvString;
	bool		has_href;
	Part	   *part;

	if (!location->primary &&
		!(has_name && keys_equal((JsonKey) {value.val.string.val, value.val.string.len}, location->node)))
		refuse_location(judgement, place, roles, "key-mismatch");
	if (judgement->administrator || (location->primary && !has_name))
		return;
	has_href = document_get(location->object, &value, JSON_PATH(JSON_KEY("href"))) && value.type == jbvString;
	switch (judge_site(location->node.data, location->node.len,
					   has_href ? value.val.string.val : "", has_href ? value.val.string.len : 0))
	{
		case SITE_FINE:
			break;
		case SITE_UNKNOWN:
			refuse_location(judgement, place, roles, "unknown-node");
			break;
		case SITE_INACTIVE:
			refuse_location(judgement, place, roles, "inactive-site");
			break;
		case SITE_FOREIGN_HREF:
			part = refuse_location(judgement, place, roles, "foreign-href");
			if (part)
				part->href = has_href ? clip(value.val.string.val, value.val.string.len) : "";
			break;
	}
}

/* Judge the locations that a change concerns: the project once, each node once, each claim. */
static void
judge_locations(Judgement *judgement)
{
	const Role *roles = judgement->judged->appears ? creation : replication;
	int			role_count = judgement->judged->appears ? lengthof(creation) : lengthof(replication);
	bool		first = true;
	ListCell   *cell;

	foreach(cell, judgement->judged->change->locations)
	{
		LocationChange *change = lfirst(cell);
		PartPlace	place = {NULL, &change->location};
		bool		judged;

		CHECK_FOR_INTERRUPTS();
		if (first && !judgement->judged->appears)
			judge_project_at(judgement, &place, replication, lengthof(replication));
		first = false;
		enter_entry(judgement->nodes, change->location.node, &judged);
		if (!judged)
			judge_institutions(judgement, &place, &(Need) {roles, role_count, SCOPE_NODE, change->location.node});
		if (change->fate != LOCATION_REMOVED)
			judge_claim(judgement, &place, roles);
	}
}

/* node_roles(): what is asked for on data nodes, by judge_locations(). */
Datum
esgf_node_roles(PG_FUNCTION_ARGS)
{
	Role		roles[lengthof(creation) + lengthof(replication)];

	memcpy(roles, creation, sizeof(creation));
	memcpy(roles + lengthof(creation), replication, sizeof(replication));
	return role_name_array(roles, lengthof(roles));
}

/* Judge all parts of a change. */
static void
judge_parts(Judgement *judgement)
{
	const JudgedChange *judged = judgement->judged;
	const Change *change = judged->change;

	if (judged->appears)
		judge_project(judgement, "", creation);
	if (judged->deleted)
		judge_project(judgement, "", deletion);
	if (judged->restored)
		judge_project(judgement, "", restoring);
	if (judged->retraction_flips)
		judge_project(judgement, "/properties/retracted", retraction);
	judge_locations(judgement);
	if (change->citation)
		judge_project(judgement, "/links", citation);
	if (change->errata)
		judge_project(judgement, "/links", errata);
	if (change->other)
		judge_project(judgement, change->other, update);
	else if (judged->latest_changes)
		judge_project(judgement, "/properties/latest", update);
	if (!judgement->begun)
		judge_project(judgement, "", update);
}

/* Say what a part lacks, for a person. */
char *
describe_refused_part(const Part *part)
{
	if (strcmp(part->reason, "unknown-node") == 0)
		return psprintf("data node %s is not known", part->target);
	if (strcmp(part->reason, "inactive-site") == 0)
		return psprintf("data node %s is not active", part->target);
	if (strcmp(part->reason, "foreign-href") == 0)
		return psprintf("the href \"%s\" is not one of data node %s, which has %s", part->href, part->target,
						describe_prefixes(part->target));
	if (strcmp(part->reason, "key-mismatch") == 0)
		return psprintf("the path's key %s and alternate:name must be the same", part->target);
	return psprintf("%s on %s %s%s%s is missing", role_names[part->role], scope_names[part->scope], part->target,
					part->institution ? " for " : "", part->institution ? part->institution : "");
}

/* The call that would give a right to the first of the principals, for an administrator to consider. */
char *
grant_call(const Part *part, List *principals)
{
	char	   *call = psprintf("SELECT esgf_stac.grant_access(%s, '%s', '%s', %s%s%s)",
								principals ? quote_literal_cstr(linitial(principals)) : "principal",
								role_names[part->role],
								scope_names[part->scope], quote_literal_cstr(part->target),
								part->institution ? ", " : "", part->institution ? quote_literal_cstr(part->institution) : "");

	return without_controls(call);
}

/* Note what a part lacks. */
static void
add_refused_part(ProblemList *problems, const Part *part)
{
	Problem    *problem = add_pointed_problem(problems, part->pointer, describe_refused_part(part));

	if (problem == NULL)
		return;
	problem->right = role_names[part->role];
	problem->scope = scope_names[part->scope];
	problem->target = part->target;
	problem->reason = part->reason;
}

/* Refuse a change of a table, 403, for all its parts that are not permitted. */
static void
refuse_change(const Judgement *judgement, const char *table)
{
	ProblemList problems = {0};
	const Part *first = NULL;
	ListCell   *cell;

	foreach(cell, judgement->parts)
	{
		Part	   *part = lfirst(cell);

		if (first == NULL || strcmp(first->reason, "no-right") != 0)
			first = part;
		add_refused_part(&problems, part);
	}
	if (first == NULL)
		return;
	problems.count += judgement->left_out;
	ereport(ERROR,
			(errproblem(PROBLEM_MISSING_PERMISSION), errtable_of(table),
			 errmsg("this change is not permitted"),
			 errdetail_problems(&problems),
			 strcmp(first->reason, "no-right") == 0 ?
			 errhint("An administrator may give the right: %s.", grant_call(first, judgement->principals)) :
			 errhint("The table esgf_stac.site says which data nodes there are, and where their files may lie.")));
}

/* Who is judged, and for which institutions? */
static Judgement
begin_judgement(const JudgedChange *judged)
{
	const Explanation *explanation = judged->explanation;
	Judgement	judgement = {judged};
	KeyTable   *known = make_key_table();

	judgement.administrator = explanation ? explanation->administrator : is_administrator();
	judgement.principals = explanation ? explanation->principals : current_principals();
	judgement.nodes = make_key_table();
	add_institutions(&judgement, known, judged->old);
	add_institutions(&judgement, known, judged->new);
	return judgement;
}

/* Might who makes a change have changed anything of the item, too? */
bool
may_update(const JudgedChange *judged)
{
	Judgement	judgement = begin_judgement(judged);

	judge_project(&judgement, "", update);
	return judgement.parts == NIL;
}

/* Judge a change: refuse it, or, for explain_access(), end it. */
void
judge_change(const JudgedChange *judged)
{
	Explanation *explanation = judged->explanation;
	Judgement	judgement;
	MemoryContext old = NULL;

	if (explanation)
		old = MemoryContextSwitchTo(explanation->context);
	judgement = begin_judgement(judged);
	judge_parts(&judgement);
	if (explanation == NULL)
	{
		refuse_change(&judgement, "item");
		return;
	}
	MemoryContextSwitchTo(old);
	explanation->parts = judgement.parts;
	explanation->left_out = judgement.left_out;
	ereport(ERROR,
			(errcode(ERRCODE_JUDGED),
			 errmsg("the change was made to be judged")));
}

/*
 * Judge whether a rule of replication may be set: what it asks for will be done
 * at its node, to the items of its collections; NIL: of any. Refuse it, or, to be
 * explained, note its parts.
 */
void
judge_replication_rule(const char *node, List *collections, Explanation *explanation)
{
	JudgedChange judged = {.explanation = explanation};
	Judgement	judgement = begin_judgement(&judged);
	PartPlace	place = {"/node"};
	Need		need = {replication, lengthof(replication), SCOPE_NODE, {node, strlen(node)}};
	ListCell   *cell;

	judge_part(&judgement, &place, &need, NULL);
	need.scope = SCOPE_PROJECT;
	need.target = (JsonKey) JSON_KEY(ANY_PROJECT);
	place.pointer = "/collections";
	if (collections == NIL)
		judge_part(&judgement, &place, &need, NULL);
	foreach(cell, collections)
	{
		place.pointer = psprintf("/collections/%d", foreach_current_index(cell));
		need.target = (JsonKey) {lfirst(cell), strlen(lfirst(cell))};
		judge_part(&judgement, &place, &need, NULL);
	}
	if (explanation == NULL)
	{
		refuse_change(&judgement, "replication_rule");
		return;
	}
	explanation->parts = judgement.parts;
	explanation->left_out = judgement.left_out;
}

/* require_replication(node, collections): refuses who may not set a rule there. */
Datum
esgf_require_replication(PG_FUNCTION_ARGS)
{
	List	   *collections = NIL;
	Datum	   *ids;
	int			count = 0;

	require_identity();
	if (!PG_ARGISNULL(1))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &count);
	for (int i = 0; i < count; i++)
		collections = lappend(collections, TextDatumGetCString(ids[i]));
	judge_replication_rule(text_to_cstring(PG_GETARG_TEXT_PP(0)), collections, NULL);
	PG_RETURN_VOID();
}

/* is_administrator(): is the caller one, who acts for nobody else? */
Datum
esgf_is_administrator(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_administrator());
}

/* calling_role(): who calls, whatever SECURITY DEFINER functions are on the way. */
Datum
esgf_calling_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(GetUserNameFromId(calling_role(), false)));
}
