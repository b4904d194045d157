/*
 * identity.c
 *		Who makes the changes of this transaction: the database role that
 *		called. SET ROLE counts; SECURITY DEFINER functions on the way do not.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"
#include "identity.h"
#include "json_build.h"

/* Add a member whose value is a string. */
static void
push_text(JsonbParseState **state, const char *key, const char *value)
{
	push_string_member(state, key, value, strlen(value));
}

/* The identity as events carry it: sub, iss and client_id of the caller. */
Jsonb *
current_identity(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "client_id", application_name ? application_name : "");
	push_text(&state, "iss", psprintf("postgresql:" UINT64_FORMAT, GetSystemIdentifier()));
	push_text(&state, "sub", GetUserNameFromId(GetOuterUserId(), false));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
