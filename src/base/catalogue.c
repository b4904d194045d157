/*
 * base/catalogue.c
 *		Finds the catalogue, and sees that it, the extension and this library are
 *		of one version; closes its tables to what must not happen to them.
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
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/occasion.h"
#include "base/table_cache.h"

/* The one row that says who laid the tables and where, as far as code asks. */
typedef struct CatalogueRow
{
	bool		adopted;		/* do its transaction ids belong to this
								 * cluster? */
} CatalogueRow;

PG_FUNCTION_INFO_V1(esgf_system_identifier);
PG_FUNCTION_INFO_V1(esgf_refuse_removal);
PG_FUNCTION_INFO_V1(esgf_require_triggers);
PG_FUNCTION_INFO_V1(esgf_require_catalogue);
PG_FUNCTION_INFO_V1(esgf_library_version);

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

/* Find a table of the catalogue; InvalidOid is none. */
Oid
table_oid(const char *name)
{
	Oid			schema = get_namespace_oid("esgf_stac", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/* Find a table of the catalogue, and with it who owns them all; InvalidOid is none. */
Oid
find_table(const char *name)
{
	Oid			relid = table_oid(name);

	if (OidIsValid(relid))
		tables_owner = table_owner(relid);
	return relid;
}

/* Keep what the catalogue's row says, if it is of this library's version. */
static void *
keep_catalogue_row(void *kept, HeapTuple row, TupleDesc desc)
{
	CatalogueRow *catalogue = palloc(sizeof(CatalogueRow));
	bool		isnull;

	check_version("the catalogue", SPI_getvalue(row, desc, 1), "SELECT esgf_stac.upgrade_catalogue()");
	catalogue->adopted = (uint64) DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull)) == GetSystemIdentifier();
	return catalogue;
}

/* Find the catalogue of this database, or 503. */
static void *
find_catalogue(void)
{
	static Statement statement = {
		"SELECT version, system_identifier FROM esgf_stac.catalogue"
	};
	CatalogueRow *catalogue;

	if (!OidIsValid(find_table("catalogue")))
		ereport(ERROR,
				(errproblem(PROBLEM_NO_CATALOGUE), errtable_of("catalogue"),
				 errmsg("this database has no catalogue")));
	check_version("extension \"esgf_stac\"", installed_version(), "ALTER EXTENSION esgf_stac UPDATE");
	catalogue = keep_rows(&statement, NULL, keep_catalogue_row, NULL);
	if (catalogue == NULL)
		elog(ERROR, "esgf_stac.catalogue has no row");
	return catalogue;
}

static TableCache catalogue_cache = {"catalogue", find_catalogue};

/* Refuse to go on, 503, where this database has no catalogue. */
void
require_catalogue(void)
{
	cached_rows(&catalogue_cache);
}

/* Refuse to go on where there is none, or none that this cluster may write to. */
void
require_writable_catalogue(void)
{
	CatalogueRow *catalogue = cached_rows(&catalogue_cache);

	if (!catalogue->adopted)
		ereport(ERROR,
				(errproblem(PROBLEM_CATALOGUE_NOT_ADOPTED), errtable_of("catalogue"),
				 errmsg("this catalogue comes from another cluster"),
				 errdetail("Its transaction ids mean nothing here, so that readers of the outbox would miss events.")));
}

/* system_identifier(): the cluster of this server, from its control file. */
Datum
esgf_system_identifier(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
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
	if (current_occasion()->kind == BY_CLEANING)
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
	require_catalogue();
	PG_RETURN_VOID();
}

/* library_version(): of the library that this session has loaded. */
Datum
esgf_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ESGF_STAC_VERSION));
}
