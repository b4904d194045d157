/*
 * base/catalogue.c
 *		Finds the catalogue, sees that it, the extension and this library are of
 *		one version, and runs our statements on its tables.
 *
 * What a backend remembers of the catalogue's rows (here, and wherever
 * on_catalogue_change() was called) is dropped by a relcache invalidation,
 * which the drop_caches triggers send to every backend.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"

#define MAX_CACHE_DROPPERS 8

/* Whose rights were in force before become_owner(). */
typedef struct SavedUser
{
	Oid			userid;
	int			security_context;
} SavedUser;

bool		removal_permitted = false;

static Catalogue catalogue;
static bool catalogue_valid = false;
static CacheDropper cache_droppers[MAX_CACHE_DROPPERS];
static int	n_cache_droppers = 0;

PG_FUNCTION_INFO_V1(esgf_system_identifier);
PG_FUNCTION_INFO_V1(esgf_drop_caches);
PG_FUNCTION_INFO_V1(esgf_refuse_removal);
PG_FUNCTION_INFO_V1(esgf_require_triggers);
PG_FUNCTION_INFO_V1(esgf_require_catalogue);
PG_FUNCTION_INFO_V1(esgf_library_version);

/* Forget what was remembered of a table of ours, or of all of them. */
static void
on_relcache_change(Datum arg, Oid relid)
{
	if (catalogue_valid &&
		relid != InvalidOid &&
		relid != catalogue.catalogue && relid != catalogue.collection &&
		relid != catalogue.item && relid != catalogue.site &&
		relid != catalogue.access_rule && relid != catalogue.stream)
		return;
	catalogue_valid = false;
	for (int i = 0; i < n_cache_droppers; i++)
		cache_droppers[i] ();
}

/* Listen to the server's invalidations, from the first look on. */
static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	registered = true;
}

/* Have a function called whenever rows of the catalogue may have changed. */
void
on_catalogue_change(CacheDropper dropper)
{
	register_callback();
	for (int i = 0; i < n_cache_droppers; i++)
		if (cache_droppers[i] == dropper)
			return;
	Assert(n_cache_droppers < MAX_CACHE_DROPPERS);
	cache_droppers[n_cache_droppers++] = dropper;
}

/* The version of the extension as CREATE or ALTER EXTENSION left it. */
static char *
installed_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("esgf_stac"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* Refuse to act on tables or functions of another version than this library. */
static void
check_version(const char *what, const char *version, const char *cure)
{
	if (version == NULL || strcmp(version, ESGF_STAC_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is of version %s, the library of version %s",
						what, version ? version : "(none)", ESGF_STAC_VERSION),
				 errhint("Run %s; if the library is the older one, reconnect.", cure)));
}

/* Read the one row that says who laid the tables and where. */
static void
read_catalogue_row(void)
{
	static Statement statement = {
		"SELECT version, system_identifier FROM esgf_stac.catalogue"
	};
	bool		isnull;
	HeapTuple	row;

	SPI_connect();
	if (read_latest_as_owner(&statement, NULL, NULL) != 1)
		elog(ERROR, "esgf_stac.catalogue has %d rows instead of one", (int) SPI_processed);
	row = SPI_tuptable->vals[0];
	check_version("the catalogue",
				  SPI_getvalue(row, SPI_tuptable->tupdesc, 1),
				  "SELECT esgf_stac.upgrade_catalogue()");
	catalogue.adopted =
		(uint64) DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull)) == GetSystemIdentifier();
	SPI_finish();
}

/* The owner of a table. */
static Oid
table_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* The catalogue of this database, or 503 where there is none. */
const Catalogue *
get_catalogue(void)
{
	Oid			schema;
	char	   *version;

	if (catalogue_valid)
		return &catalogue;

	register_callback();
	schema = get_namespace_oid("esgf_stac", true);
	catalogue.catalogue = OidIsValid(schema) ? get_relname_relid("catalogue", schema) : InvalidOid;
	if (!OidIsValid(catalogue.catalogue))
		ereport(ERROR,
				(errproblem(PROBLEM_NO_CATALOGUE), errtable_of("catalogue"),
				 errmsg("this database has no catalogue"),
				 errhint("SELECT esgf_stac.create_catalogue() makes one.")));
	version = installed_version();
	check_version("extension \"esgf_stac\"", version, "ALTER EXTENSION esgf_stac UPDATE");

	catalogue.owner = table_owner(catalogue.catalogue);
	catalogue.collection = get_relname_relid("collection", schema);
	catalogue.item = get_relname_relid("item", schema);
	catalogue.site = get_relname_relid("site", schema);
	catalogue.access_rule = get_relname_relid("access_rule", schema);
	catalogue.stream = get_relname_relid("stream", schema);

	/* Marked before the row is read, so that an invalidation meanwhile wins. */
	catalogue_valid = true;
	PG_TRY();
	{
		read_catalogue_row();
	}
	PG_CATCH();
	{
		catalogue_valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	return &catalogue;
}

/* The catalogue, if this cluster may write to it. */
const Catalogue *
get_writable_catalogue(void)
{
	const Catalogue *found = get_catalogue();

	if (!found->adopted)
		ereport(ERROR,
				(errproblem(PROBLEM_CATALOGUE_NOT_ADOPTED), errtable_of("catalogue"),
				 errmsg("this catalogue comes from another cluster"),
				 errdetail("Its transaction ids mean nothing here, so that readers of the outbox would miss events."),
				 errhint("SELECT esgf_stac.adopt_catalogue() settles them.")));
	return found;
}

/* Act as the owner of the tables, as foreign keys do. */
static void
become_owner(SavedUser *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->security_context);
	SetUserIdAndSecContext(catalogue.owner,
						   saved->security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
}

/* Act as before again; an error does so by itself. */
static void
become_caller(const SavedUser *saved)
{
	SetUserIdAndSecContext(saved->userid, saved->security_context);
}

/* The generic plan of a prepared statement, if it can be used as it is; else NULL. */
static CachedPlan *
usable_plan(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));

	return source->is_valid && source->gplan && source->gplan->is_valid ? source->gplan : NULL;
}

/*
 * Have a statement planned for any values and by its indexes: a table that was
 * small when the plan was made may have grown by millions since, within the
 * same statement, before its statistics tell the planner so.
 */
static void
plan_by_index(Statement *statement)
{
	bool		before = enable_seqscan;
	CachedPlan *plan;

	enable_seqscan = false;
	PG_TRY();
	{
		plan = SPI_plan_get_cached_plan(statement->plan);
		statement->generation = plan->generation;
		ReleaseCachedPlan(plan, CurrentResourceOwner);
	}
	PG_FINALLY();
	{
		enable_seqscan = before;
	}
	PG_END_TRY();
}

/*
 * The prepared plan of a statement, made anew where needed: also where the
 * server had to plan it itself, having run it after a change of search_path. It
 * is never freed: a call further out may be running it.
 */
static SPIPlanPtr
statement_plan(Statement *statement)
{
	CachedPlan *usable = statement->plan ? usable_plan(statement->plan) : NULL;

	if (usable && usable->generation == statement->generation)
		return statement->plan;
	if (usable)
		usable->is_valid = false;
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(statement->sql, statement->nargs, statement->argtypes,
											  CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	plan_by_index(statement);
	return statement->plan;
}

/* Run a statement with the caller's rights; answers how many rows it met. */
int
run_statement(Statement *statement, Datum *values, const char *nulls)
{
	int			result = SPI_execute_plan(statement_plan(statement), values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(result));
	return (int) SPI_processed;
}

/* Run a statement with the rights of the tables' owner. */
int
run_statement_as_owner(Statement *statement, Datum *values, const char *nulls)
{
	SavedUser	saved;
	int			processed;

	become_owner(&saved);
	processed = run_statement(statement, values, nulls);
	become_caller(&saved);
	return processed;
}

/*
 * Read what is committed now, whatever the transaction's snapshot: what a
 * backend keeps over transactions must not be older than its invalidations.
 */
int
read_latest_as_owner(Statement *statement, Datum *values, const char *nulls)
{
	SavedUser	saved;
	int			result;

	become_owner(&saved);
	result = SPI_execute_snapshot(statement_plan(statement), values, nulls,
								  GetLatestSnapshot(), InvalidSnapshot, true, false, 0);
	become_caller(&saved);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(result));
	return (int) SPI_processed;
}

/* system_identifier(): the cluster of this server, from its control file. */
Datum
esgf_system_identifier(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}

/* Trigger: tell every backend that rows of this table have changed. */
Datum
esgf_drop_caches(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "drop_caches")));
	CacheInvalidateRelcache(trigdata->tg_relation);
	return PointerGetDatum(NULL);
}

/* Trigger: refuse DELETE and TRUNCATE; its argument is the hint. */
Datum
esgf_refuse_removal(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "refuse_removal")));
	if (removal_permitted)
		return PointerGetDatum(NULL);
	ereport(ERROR,
			(errproblem(PROBLEM_OPERATION_NOT_PERMITTED),
			 errtable_of(RelationGetRelationName(trigdata->tg_relation)),
			 errmsg("%s of table \"%s\" is not permitted",
					TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event) ? "TRUNCATE" : "DELETE",
					RelationGetRelationName(trigdata->tg_relation)),
			 errhint("%s", trigdata->tg_trigger->tgargs[0])));
	return PointerGetDatum(NULL);
}

/* Has a table a trigger of that name? */
static bool
has_trigger(Relation table, const char *name)
{
	for (int i = 0; i < table->trigdesc->numtriggers; i++)
		if (strcmp(table->trigdesc->triggers[i].tgname, name) == 0)
			return true;
	return false;
}

/*
 * Trigger: refuse writing while one of the triggers is missing that its
 * arguments name. It is no member of the extension, and outlives it.
 */
Datum
esgf_require_triggers(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "require_triggers")));
	for (int i = 0; i < trigdata->tg_trigger->tgnargs; i++)
		if (!has_trigger(trigdata->tg_relation, trigdata->tg_trigger->tgargs[i]))
			ereport(ERROR,
					(errproblem(PROBLEM_NO_CATALOGUE),
					 errtable_of(RelationGetRelationName(trigdata->tg_relation)),
					 errmsg("table \"%s\" is closed: it has lost its trigger \"%s\"",
							RelationGetRelationName(trigdata->tg_relation), trigdata->tg_trigger->tgargs[i]),
					 errhint("A superuser runs CREATE EXTENSION esgf_stac, if it was dropped, and SELECT esgf_stac.upgrade_catalogue().")));
	return PointerGetDatum(NULL);
}

/* require_catalogue(): for the verbs that are not written in C. */
Datum
esgf_require_catalogue(PG_FUNCTION_ARGS)
{
	get_catalogue();
	PG_RETURN_VOID();
}

/* library_version(): of the library that this session has loaded. */
Datum
esgf_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ESGF_STAC_VERSION));
}
