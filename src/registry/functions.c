/*
 * registry/functions.c
 *		The SQL functions of the registry, and the trigger that closes its table to
 *		all else.
 *
 * Who registers something holds a lock on the table until his transaction ends:
 * what he refers to, and what refers to it, stays as he has found it, and no two
 * revisions have one number.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/occasion.h"
#include "json/text_size.h"
#include "registry/registry.h"
#include "schema/functions.h"
#include "schema/judge.h"
#include "schema/reference.h"

PG_FUNCTION_INFO_V1(esgf_schema_before_row);
PG_FUNCTION_INFO_V1(esgf_schema_url);
PG_FUNCTION_INFO_V1(esgf_store_schema);
PG_FUNCTION_INFO_V1(esgf_retire_revision);
PG_FUNCTION_INFO_V1(esgf_referring_schemas);
PG_FUNCTION_INFO_V1(esgf_unmet_references);
PG_FUNCTION_INFO_V1(esgf_schema_problems);

/* Trigger: refuse whoever writes the table by hand. */
Datum
esgf_schema_before_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired before a row", "schema_before_row")));
	if (current_occasion()->kind != BY_REGISTRATION)
		ereport(ERROR,
				(errproblem(PROBLEM_OPERATION_NOT_PERMITTED), errtable_of("schema"),
				 errmsg("schemas are not written by hand"),
				 errhint("Call esgf_stac.add_schema() or esgf_stac.retire_schema().")));
	require_writable_catalogue();
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple);
}

/* schema_url(url): without an empty fragment; NULL where it cannot be a schema's. */
Datum
esgf_schema_url(PG_FUNCTION_ARGS)
{
	text	   *argument = PG_GETARG_TEXT_PP(0);
	JsonKey		url = {VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument)};
	const char *after;

	if (url.len > 0 && url.data[url.len - 1] == '#')
		url.len--;
	if (url.len > SCHEMA_URL_MAX || without_fragment(url).len < url.len || !is_iri(url.data, url.len))
		PG_RETURN_NULL();
	after = url.len > 7 && pg_strncasecmp(url.data, "http://", 7) == 0 ? url.data + 7 :
		url.len > 8 && pg_strncasecmp(url.data, "https://", 8) == 0 ? url.data + 8 : NULL;
	if (after == NULL || strchr("/?:@", *after))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(url.data, url.len));
}

/* Be the only one who registers anything, until the transaction ends. */
static void
lock_registry(void)
{
	require_writable_catalogue();
	LockRelationOid(get_relname_relid("schema", get_namespace_oid("esgf_stac", false)), ShareRowExclusiveLock);
}

/* Tell, or refuse, what a revision refers to that is not there; "what" is what is done to it. */
static void
report_unmet(const UnmetReference *unmet, JsonKey url, int number)
{
	StringInfoData lines;

	initStringInfo(&lines);
	for (const UnmetReference *one = unmet; one; one = one->next)
	{
		char	   *holder = bytes_are(url.data, url.len, one->holder) ? "" : psprintf(" in %s", one->holder);

		if (one->there)
			ereport(ERROR,
					(errproblem(PROBLEM_BAD_SCHEMA), errtable_of("schema"),
					 errmsg("schema is not well-formed, or asks what is not implemented"),
					 errdetail_pointer(*holder ? "" : one->pointer,
									   psprintf("\"$ref\"%s leads nowhere: %s is not there", holder, one->url))));
		appendStringInfo(&lines, "%s%s: \"$ref\"%s leads nowhere: %s is not registered", lines.len > 0 ? "\n" : "",
						 one->pointer, holder, one->url);
	}
	if (unmet)
		ereport(NOTICE,
				(errmsg("revision %d of schema \"%.*s\" judges nothing as things are", number, url.len, url.data),
				 errdetail_internal("%s", lines.data),
				 errhint("Register what is missing with esgf_stac.add_schema(); doctor() shows it as long as it is so.")));
}

/* The number of the revision that is the same again, or, negated, of the next one; the registry is locked. */
static int
same_or_next(Datum *values, const char *nulls)
{
	static Statement statement = {
		"SELECT (SELECT CASE WHEN s.document OPERATOR(pg_catalog.=) $2 AND s.assert_formats OPERATOR(pg_catalog.=) $4"
		" AND ($3 IS NULL OR s.cv_version IS NOT DISTINCT FROM $3) THEN s.revision END"
		" FROM esgf_stac.schema AS s WHERE s.url OPERATOR(pg_catalog.=) $1 AND (s.retired IS NULL OR $5)"
		" ORDER BY s.revision DESC LIMIT 1),"
		" (SELECT pg_catalog.max(s.revision) FROM esgf_stac.schema AS s WHERE s.url OPERATOR(pg_catalog.=) $1)",
		5, {TEXTOID, JSONBOID, TEXTOID, BOOLOID, BOOLOID}
	};
	HeapTuple	row;
	TupleDesc	desc;
	Datum		number;
	bool		none;

	read_latest_as_owner(&statement, values, nulls);
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	number = SPI_getbinval(row, desc, 1, &none);
	if (!none)
		return DatumGetInt32(number);
	number = SPI_getbinval(row, desc, 2, &none);
	return -(none ? 1 : DatumGetInt32(number) + 1);
}

/* store_schema(url, document, cv_version, assert_formats, retired, added_by): the revision, perhaps one that is there. */
Datum
esgf_store_schema(PG_FUNCTION_ARGS)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.schema (url, document, cv_version, assert_formats, retired, added_by, revision, sha256, added)"
		" VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN pg_catalog.now() END, $6, $7,"
		" pg_catalog.sha256(pg_catalog.convert_to($2::pg_catalog.text, 'UTF8')), pg_catalog.now())",
		7, {TEXTOID, JSONBOID, TEXTOID, BOOLOID, BOOLOID, TEXTOID, INT4OID}
	};
	Occasion	occasion = {BY_REGISTRATION};
	Datum		values[7];
	char		nulls[] = "       ";
	JsonKey		url = {VARDATA_ANY(PG_GETARG_TEXT_PP(0)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0))};
	int			number;

	check_text_size(PG_GETARG_JSONB_P(1), NULL, "schema", SCHEMA_DOCUMENT_MAX);
	lock_registry();
	for (int i = 0; i < 6; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	SPI_connect();
	number = same_or_next(values, nulls);
	if (number < 0)
	{
		number = -number;
		values[6] = Int32GetDatum(number);
		run_on_occasion(&occasion, &statement, values, nulls);
		report_unmet(check_revision(url.data, url.len, number), url, number);
	}
	SPI_finish();
	PG_RETURN_INT32(number);
}

/* retire_revision(url, revision, retired) */
Datum
esgf_retire_revision(PG_FUNCTION_ARGS)
{
	static Statement statement = {
		"UPDATE esgf_stac.schema AS s SET retired = CASE WHEN $3 THEN coalesce(s.retired, pg_catalog.now()) END"
		" WHERE s.url OPERATOR(pg_catalog.=) $1 AND s.revision OPERATOR(pg_catalog.=) $2",
		3, {TEXTOID, INT4OID, BOOLOID}
	};
	Occasion	occasion = {BY_REGISTRATION};
	Datum		values[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	JsonKey		url = {VARDATA_ANY(PG_GETARG_TEXT_PP(0)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0))};

	lock_registry();
	SPI_connect();
	if (run_on_occasion(&occasion, &statement, values, NULL) == 0)
		schema_missing(url, PG_GETARG_INT32(1));
	report_unmet(check_revision(url.data, url.len, REGISTERED), url, find_row(url, REGISTERED).number);
	SPI_finish();
	PG_RETURN_VOID();
}

/* referring_schemas() -> setof (url, revision): as committed now, whatever the transaction's snapshot */
Datum
esgf_referring_schemas(PG_FUNCTION_ARGS)
{
	/* As the index schema_referring: others refer to nothing but themselves. */
	static Statement statement = {
		"SELECT s.url, s.revision FROM esgf_stac.schema AS s WHERE s.retired IS NULL"
		" AND s.document OPERATOR(pg_catalog.@?) 'strict $.**.\"$ref\" ? (!(@ starts with \"#\"))'::pg_catalog.jsonpath"
		" AND NOT EXISTS (SELECT FROM esgf_stac.schema AS n WHERE n.url OPERATOR(pg_catalog.=) s.url"
		" AND n.revision OPERATOR(pg_catalog.>) s.revision AND n.retired IS NULL)"
		" ORDER BY s.url COLLATE pg_catalog.\"C\"",
		0
	};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	require_catalogue();
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	read_latest_as_owner(&statement, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	SPI_finish();
	return (Datum) 0;
}

/* unmet_references(url) -> setof (holder, pointer, reference, there) */
Datum
esgf_unmet_references(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *url = PG_GETARG_TEXT_PP(0);
	const UnmetReference *unmet = unmet_references(VARDATA_ANY(url), VARSIZE_ANY_EXHDR(url));

	InitMaterializedSRF(fcinfo, 0);
	for (; unmet; unmet = unmet->next)
	{
		Datum		values[4] = {CStringGetTextDatum(unmet->holder), CStringGetTextDatum(unmet->pointer),
		CStringGetTextDatum(unmet->url), BoolGetDatum(unmet->there)};
		bool		nulls[4] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Refuse an argument that is null and must not be. */
static void
require_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("schema"),
				 errmsg("bad request: \"%s\" must be given", name),
				 errdetail_pointer(psprintf("/%s", name), "must be given"),
				 errhint("SELECT url, revision, retired FROM esgf_stac.schema lists the schemas.")));
}

/* schema_problems(url, document, revision) -> setof (pointer, keyword, detail) */
Datum
esgf_schema_problems(PG_FUNCTION_ARGS)
{
	ProblemList problems = {0};
	JsonbSlice	document;
	text	   *url;
	const Revision *revision;

	require_argument(fcinfo, 0, "url");
	require_argument(fcinfo, 1, "document");
	url = PG_GETARG_TEXT_PP(0);
	slice_of_jsonb(PG_GETARG_JSONB_P(1), &document);
	if (!PG_ARGISNULL(2) && PG_GETARG_INT32(2) <= 0)
		schema_missing((JsonKey) {VARDATA_ANY(url), VARSIZE_ANY_EXHDR(url)}, PG_GETARG_INT32(2));
	revision = require_revision(VARDATA_ANY(url), VARSIZE_ANY_EXHDR(url), PG_ARGISNULL(2) ? REGISTERED : PG_GETARG_INT32(2));
	list_schema_problems(revision->schema, &document, &problems);
	put_problem_rows(fcinfo, &problems);
	return (Datum) 0;
}
