/*
 * access/identity.c
 *		Who makes the changes of this transaction: see access/identity.h.
 *
 * What a gateway says lives in backend memory, where no setting reaches it, and
 * ends with the transaction; ROLLBACK TO brings back what was said before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "access/identity.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"
#include "base/table_cache.h"
#include "json/build.h"
#include "json/edit.h"
#include "json/text_size.h"

/* What was said, and in which subtransaction. */
typedef struct GivenIdentity
{
	MemoryContext context;		/* its own */
	SubTransactionId subxid;
	Jsonb	   *identity;
	List	   *principals;
} GivenIdentity;

/* One of each subtransaction at most; the last one holds. */
static List *given_identities = NIL;

/* As whom something is performed, whoever calls; NULL: as the caller. */
static GivenIdentity *acting = NULL;

PG_FUNCTION_INFO_V1(esgf_set_identity);
PG_FUNCTION_INFO_V1(esgf_require_own_rights);
PG_FUNCTION_INFO_V1(esgf_current_author);

/* The end of a transaction ends its identity, be it prepared, too. */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		given_identities = NIL;
}

/* Let go of what holds no longer. */
static void
forget_identity(GivenIdentity *given)
{
	given_identities = list_delete_ptr(given_identities, given);
	MemoryContextDelete(given->context);
}

/* What this subtransaction has said so far is replaced. */
static void
forget_identity_of(SubTransactionId subxid)
{
	GivenIdentity *last = given_identities != NIL ? llast(given_identities) : NULL;

	if (last && last->subxid == subxid)
		forget_identity(last);
}

/* What a subtransaction said goes with it, or becomes its parent's. */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subxid, SubTransactionId parent, void *arg)
{
	GivenIdentity *last = given_identities != NIL ? llast(given_identities) : NULL;

	if (last == NULL || last->subxid != subxid)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_identity(last);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		given_identities = list_delete_last(given_identities);
		forget_identity_of(parent);
		last->subxid = parent;
		given_identities = lappend(given_identities, last);
	}
}

/* Refuse an identity for its form. */
static void
bad_identity(const char *pointer, const char *problem)
{
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_REQUEST), errtable_of("access_rule"),
			 errmsg("this is no identity"),
			 errdetail_pointer(pointer, problem),
			 errhint("An identity is {sub, iss, client_id, principals[], request_id, batch, publisher: {package, version}, auth_policy_id}.")));
}

/* Refuse a name that is too long, or could not be told on one line. */
static void
check_name(const char *member, const JsonbSlice *name)
{
	if (name->len > NAME_MAX_LENGTH)
		bad_identity(psprintf("/%s", member), TOO_LONG_A_NAME);
	for (uint32 i = 0; i < name->len; i++)
		if ((unsigned char) name->data[i] < ' ')
			bad_identity(psprintf("/%s", member), "must not contain control characters");
}

/* Check the type of a member of an identity that need not be there. */
static void
check_member(const char *name, const JsonbSlice *value)
{
	static const char *const strings[] = {"sub", "iss", "client_id", "request_id", "batch", "auth_policy_id"};

	for (int i = 0; i < (int) lengthof(strings); i++)
	{
		if (strcmp(name, strings[i]) != 0)
			continue;
		if (value->type == JENTRY_ISSTRING)
			check_name(name, value);
		else if (value->type != JENTRY_ISNULL)
			bad_identity(psprintf("/%s", name), "must be a string");
		return;
	}
	if (strcmp(name, "publisher") == 0)
	{
		if (value->type != JENTRY_ISNULL && !slice_is_object(value))
			bad_identity("/publisher", "must be an object");
		if (value->type != JENTRY_ISNULL && slice_text_size(value, PUBLISHER_MAX) > PUBLISHER_MAX)
			bad_identity("/publisher", psprintf("must not have more than %d bytes", PUBLISHER_MAX));
	}
	else if (strcmp(name, "principals") != 0)
		bad_identity(psprintf("/%s", clip(name, strlen(name))), "is no member of an identity");
}

/* Does a name begin so? */
static bool
starts_with(const JsonbSlice *name, const char *prefix)
{
	return name->len >= strlen(prefix) && memcmp(name->data, prefix, strlen(prefix)) == 0;
}

/* Check the principals that a gateway names. */
static void
check_principals(const JsonbSlice *principals, bool by_gateway)
{
	JsonbCursor names;
	JsonbSlice	name;

	if (principals->type == JENTRY_ISNULL)
		return;
	if (!slice_is_array(principals))
		bad_identity("/principals", "must be an array of strings");
	if (JsonContainerSize(slice_container(principals)) > NAMES_MAX)
		bad_identity("/principals", psprintf("must not be more than %d", NAMES_MAX));
	cursor_init(&names, slice_container(principals), 0);
	for (uint32 i = 0; elements_next(&names, &name); i++)
	{
		if (name.type != JENTRY_ISSTRING)
			bad_identity(psprintf("/principals/%u", i), "must be a string");
		check_name(psprintf("principals/%u", i), &name);
		if (by_gateway && (starts_with(&name, "role:") || starts_with(&name, "source:")))
			bad_identity(psprintf("/principals/%u", i), "must not begin with role: or source:, which only the database says");
	}
}

/* Refuse what is no identity; a gateway may not claim to be a role of the database. */
void
check_identity(const Jsonb *identity, bool by_gateway)
{
	MemberCursor members;
	JsonbSlice	sub;

	if (!JB_ROOT_IS_OBJECT(identity))
		bad_identity("", "must be an object");
	members_init(&members, &identity->root);
	while (members_next(&members))
	{
		check_member(pnstrdup(members.key.data, members.key.len), &members.value);
		if (slice_is_string(&members.key, "principals"))
			check_principals(&members.value, by_gateway);
	}
	if (!document_slice(&identity->root, &sub, JSON_PATH(JSON_KEY("sub"))) || sub.type != JENTRY_ISSTRING || sub.len == 0)
		bad_identity("/sub", "must be given");
}

/*
 * Who calls: SET ROLE counts, SECURITY DEFINER functions on the way do not. In a
 * restricted operation, as ANALYZE is where it calls the functions of somebody
 * else's index, whoever started it has not asked for what they do.
 */
Oid
calling_role(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errforbidden(), errtable_of("catalogue"),
				 errmsg("the catalogue cannot be changed within a security-restricted operation"),
				 errhint("Functions of indexes and materialized views must not change it.")));
	return GetOuterUserId();
}

/* Does the caller speak for others? A superuser does not. */
static bool
is_gateway(void)
{
	Oid			role = calling_role();

	return !superuser_arg(role) && has_privs_of_role(role, get_role_oid("esgf_stac_gateway", false));
}

/* Is the session a gateway's, whatever role it has set? A superuser plays any role, and is none. */
static bool
is_session_of_gateway(void)
{
	Oid			login = GetSessionUserId();

	return !superuser_arg(login) && is_member_of_role(login, get_role_oid("esgf_stac_gateway", false));
}

/* For whom is acted: what a gateway has said in this transaction, or NULL. No SET ROLE leads out of it. */
static GivenIdentity *
given(void)
{
	if (acting)
		return acting;
	return given_identities != NIL && (is_gateway() || is_session_of_gateway()) ? llast(given_identities) : NULL;
}

/* The identity that a gateway has given, or NULL. */
static Jsonb *
given_identity(void)
{
	return given() ? given()->identity : NULL;
}

/* Does the caller act for somebody else, whose rights alone count? */
bool
acts_for_another(void)
{
	return given() != NULL;
}

/* The principals that an identity names. */
List *
principals_of(const Jsonb *identity)
{
	List	   *principals = NIL;
	const JsonbContainer *list = document_array(&identity->root, JSON_PATH(JSON_KEY("principals")));
	JsonbCursor names;
	JsonbSlice	name;

	if (list == NULL)
		return principals;
	cursor_init(&names, list, 0);
	while (elements_next(&names, &name))
		principals = lappend(principals, pnstrdup(name.data, name.len));
	return principals;
}

/* Keep one principal. */
static void *
keep_principal(void *principals, HeapTuple row, TupleDesc desc)
{
	return lappend(principals, SPI_getvalue(row, desc, 1));
}

/* Read the principals "role:<name>" of the roles that the caller belongs to, his own first. */
static void *
read_role_principals(void)
{
	static Statement statement = {
		"SELECT pg_catalog.concat('role:', rolname) FROM pg_catalog.pg_roles"
		" WHERE pg_catalog.pg_has_role($1, oid, 'USAGE') ORDER BY oid OPERATOR(pg_catalog.<>) $1",
		1, {OIDOID}
	};
	Datum		role = ObjectIdGetDatum(calling_role());

	return keep_rows(&statement, &role, keep_principal, NIL);
}

static TableCache role_cache = {NULL, read_role_principals};

/* Some role has changed. */
static void
on_role_change(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_rows(&role_cache);
}

/* The principals of the role that calls. */
static List *
role_principals(void)
{
	static Oid	of_role = InvalidOid;
	Oid			role = calling_role();

	if (of_role == InvalidOid)
	{
		CacheRegisterSyscacheCallback(AUTHOID, on_role_change, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, (Datum) 0);
	}
	if (of_role != role)
		forget_rows(&role_cache);
	of_role = role;
	return cached_rows(&role_cache);
}

/* Refuse a gateway that does not say for whom it acts. */
void
require_identity(void)
{
	if (is_gateway() && given_identity() == NULL)
		ereport(ERROR,
				(errproblem(PROBLEM_IDENTITY_MISSING), errtable_of("access_rule"),
				 errmsg("a gateway must say for whom it acts")));
}

/* Refuse what a login does by its own rights while it acts for somebody else. */
void
require_own_rights(void)
{
	require_identity();
	if (acts_for_another())
		ereport(ERROR,
				(errforbidden(), errtable_of("access_rule"),
				 errmsg("only an administrator may do that, and an identity is none"),
				 errdetail("While an identity is set, it alone is judged, whatever the login may do."),
				 errhint("Administrators act in transactions of their own, with a login that is no gateway.")));
}

/* Remember for whom the rest of this transaction acts. */
void
set_transaction_identity(Jsonb *identity)
{
	static bool registered = false;
	MemoryContext context;
	MemoryContext old;
	GivenIdentity *given;

	if (!is_gateway())
		ereport(ERROR,
				(errforbidden(), errtable_of("access_rule"),
				 errmsg("only a gateway acts for others"),
				 errhint("Members of esgf_stac_gateway may; everybody else is the role that called.")));
	check_identity(identity, true);
	if (!registered)
	{
		RegisterXactCallback(on_transaction_end, NULL);
		RegisterSubXactCallback(on_subtransaction_end, NULL);
		registered = true;
	}
	context = AllocSetContextCreate(TopTransactionContext, "esgf_stac identity", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	given = palloc(sizeof(GivenIdentity));
	given->context = context;
	given->subxid = GetCurrentSubTransactionId();
	given->identity = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(identity));
	given->principals = principals_of(given->identity);
	MemoryContextSwitchTo(TopTransactionContext);
	forget_identity_of(given->subxid);
	given_identities = lappend(given_identities, given);
	MemoryContextSwitchTo(old);
}

/* Perform something as somebody else, whoever calls. */
void
act_as(Jsonb *identity, void (*perform) (void *argument), void *argument)
{
	GivenIdentity *before = acting;
	GivenIdentity given = {.identity = identity,.principals = principals_of(identity)};

	acting = &given;
	PG_TRY();
	{
		perform(argument);
	}
	PG_FINALLY();
	{
		acting = before;
	}
	PG_END_TRY();
}

/* The principals of who acts. */
List *
current_principals(void)
{
	return given() ? given()->principals : role_principals();
}

/* Add a member whose value is a string. */
static void
push_text(JsonbParseState **state, const char *key, const char *value)
{
	push_string_member(state, key, value, strlen(value));
}

/* The identity of the database role that called. */
static Jsonb *
role_identity(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "client_id", application_name ? application_name : "");
	push_text(&state, "iss", psprintf("postgresql:" UINT64_FORMAT, GetSystemIdentifier()));
	push_text(&state, "sub", GetUserNameFromId(calling_role(), false));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The identity as events carry it, the caller's to keep, or 401. */
Jsonb *
current_identity(void)
{
	require_identity();
	return given_identity() ? (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(given_identity())) : role_identity();
}

/* Who that is: subject and issuer, as an item keeps them. */
Jsonb *
current_author(void)
{
	static const char *const members[] = {"iss", "sub"};
	Jsonb	   *identity = current_identity();
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < (int) lengthof(members); i++)
	{
		JsonKey		key = {members[i], strlen(members[i])};
		JsonbValue	value;

		if (document_get(&identity->root, &value, 1, &key) && value.type == jbvString)
			push_string_member(&state, members[i], value.val.string.val, value.val.string.len);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* current_author() */
Datum
esgf_current_author(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(current_author());
}

/* A string that a gateway gave beside the identity itself, or NULL. */
text *
identity_text(const char *member)
{
	Jsonb	   *identity = given_identity();
	JsonKey		key = {member, strlen(member)};
	JsonbValue	value;

	if (identity == NULL || !document_get(&identity->root, &value, 1, &key) || value.type != jbvString)
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/* Whose idempotency keys these are: issuer, subject and client. */
text *
current_client(void)
{
	static const char *const members[] = {"iss", "sub", "client_id"};
	Jsonb	   *identity = current_identity();
	JsonbParseState *state = NULL;
	Jsonb	   *client;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < (int) lengthof(members); i++)
	{
		JsonKey		key = {members[i], strlen(members[i])};
		JsonbValue	value;

		if (!document_get(&identity->root, &value, 1, &key))
			value.type = jbvNull;
		pushJsonbValue(&state, WJB_ELEM, &value);
	}
	client = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	return cstring_to_text(JsonbToCString(NULL, &client->root, VARSIZE(client)));
}

/* set_identity(identity): for whom a gateway acts in this transaction. */
Datum
esgf_set_identity(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		bad_identity("", "must be an object");
	set_transaction_identity(PG_GETARG_JSONB_P(0));
	PG_RETURN_VOID();
}

/* require_own_rights(): for what administrators call and is not written in C. */
Datum
esgf_require_own_rights(PG_FUNCTION_ARGS)
{
	require_own_rights();
	PG_RETURN_VOID();
}
