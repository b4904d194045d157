/*
 * access/my_access.c
 *		my_access(): what may I? Whoever acts sees all rights that he holds now,
 *		as access/judge.c will judge his changes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access/identity.h"
#include "access/judge.h"
#include "base/catalogue.h"
#include "base/compat.h"

PG_FUNCTION_INFO_V1(esgf_my_access);

/* Every right: what administrators hold. */
static List *
all_rights(void)
{
	List	   *rights = NIL;

	for (int scope = SCOPE_PROJECT; scope <= SCOPE_NODE; scope++)
	{
		for (int role = 0; role < ROLE_COUNT; role++)
		{
			HeldRight  *right = palloc0(sizeof(HeldRight));

			right->role = role;
			right->scope = scope;
			right->target = "*";
			right->until = DT_NOEND;
			right->by = "esgf_stac_admin";
			rights = lappend(rights, right);
		}
	}
	return rights;
}

/* my_access() -> setof (role, scope, target, institution, until, by) */
Datum
esgf_my_access(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *rights;
	ListCell   *cell;

	require_catalogue();
	require_identity();
	rights = is_administrator() ? all_rights() : held_rights(current_principals());
	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, rights)
	{
		HeldRight  *right = lfirst(cell);
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = CStringGetTextDatum(role_names[right->role]);
		values[1] = CStringGetTextDatum(scope_names[right->scope]);
		values[2] = CStringGetTextDatum(right->target);
		values[3] = right->institution ? CStringGetTextDatum(right->institution) : (Datum) 0;
		values[4] = TimestampTzGetDatum(right->until);
		values[5] = CStringGetTextDatum(right->by);
		nulls[3] = right->institution == NULL;
		nulls[4] = right->until == DT_NOEND;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
