/*
 * item/collection.c
 *		Collections: their versions and events.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/timestamp.h"

#include "access/identity.h"
#include "base/bytes.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/problems.h"
#include "base/occasion.h"
#include "base/statement.h"
#include "item/collection.h"
#include "item/extensions.h"
#include "json/edit.h"
#include "json/text_size.h"
#include "outbox/event.h"
#include "stac/format.h"
#include "stac/item.h"

/* The columns of the table that code looks at. */
typedef enum CollectionColumn
{
	COLLECTION_ID = 1,
	COLLECTION_DOCUMENT = 2,
	COLLECTION_VERSION = 3,
	COLLECTION_DELETED = 4,
	COLLECTION_CREATED = 5,
	COLLECTION_UPDATED = 6,
	COLLECTION_INSTITUTION_PATH = 10,
	COLLECTION_INSTITUTION_GENERATION = 13,
	COLLECTION_SCHEMAS = 15
} CollectionColumn;

PG_FUNCTION_INFO_V1(esgf_collection_before_row);
PG_FUNCTION_INFO_V1(esgf_collection_after_row);

/* Refuse a collection that is not there. */
void
collection_missing(const char *id, int len)
{
	ereport(ERROR,
			(errproblem(PROBLEM_COLLECTION_DOES_NOT_EXIST), errtable_of("collection"),
			 errsentence("collection \"%.*s\" does not exist", pg_mbcliplen(id, len, 200), id)));
}

/* The collection that this subtransaction has locked last, and not changed since. */
static LocalTransactionId locked_lxid;
static SubTransactionId locked_subxid;
static char locked_id[ID_MAX_LENGTH + 1];

/*
 * Keep a collection from being deleted while an item of it appears. Once a
 * subtransaction is enough: a statement that loads thousands asks each time.
 */
void
lock_collection(const char *id, int len)
{
	static Statement statement = {
		"SELECT FROM esgf_stac.collection WHERE id OPERATOR(pg_catalog.=) $1 AND NOT deleted FOR SHARE",
		1, {TEXTOID}
	};
	Datum		value;

	if (locked_lxid == backend_local_xid() && locked_subxid == GetCurrentSubTransactionId() &&
		bytes_are(id, len, locked_id))
		return;
	value = PointerGetDatum(cstring_to_text_with_len(id, len));
	SPI_connect();
	if (run_statement_as_owner(&statement, &value, NULL) != 1)
		collection_missing(id, len);
	SPI_finish();
	locked_lxid = backend_local_xid();
	locked_subxid = GetCurrentSubTransactionId();
	memcpy(locked_id, id, len);
	locked_id[len] = '\0';
}

/* The default path of the institution: /properties/<lower(id)>:institution_id. */
static char *
default_institution_path(const char *id)
{
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfoString(&path, "/properties/");
	for (const char *c = str_tolower(id, strlen(id), DEFAULT_COLLATION_OID); *c; c++)
	{
		if (*c == '~')
			appendStringInfoString(&path, "~0");
		else
			appendStringInfoChar(&path, *c);
	}
	appendStringInfoString(&path, ":institution_id");
	return path.data;
}

/* Refuse a document that is no STAC collection of this id. */
static void
check_document(const char *id, Jsonb *document)
{
	ProblemList problems = {0};
	Place		place = MEMBER_PLACE(NULL, "id");
	JsonbValue	value;

	check_stac_collection(&document->root, &problems);
	if (document_get(&document->root, &value, JSON_PATH(JSON_KEY("id"))) && value.type == jbvString &&
		!bytes_are(value.val.string.val, value.val.string.len, id))
		add_problem(&problems, &place, "must be the collection's id");
	if (strcmp(id, "collection") == 0)
		add_problem(&problems, &place, "must not be \"collection\": events of collections have that name");
	report_problems(&problems, "collection", "document is not a STAC collection");
}

/* A column's value; a null where none may be is the writer's. */
static Datum
column(HeapTuple row, CollectionColumn number, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(row, number, desc, &isnull);

	if (isnull)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("collection"),
				 errmsg("column \"%s\" of a collection must not be null",
						NameStr(TupleDescAttr(desc, number - 1)->attname)),
				 errhint("Give it a value, or leave the column out.")));
	return value;
}

/* Refuse a value for a column that the database alone writes. */
static void
check_columns(HeapTuple new, HeapTuple old, TupleDesc desc)
{
	static const CollectionColumn derived[] = {
		COLLECTION_VERSION, COLLECTION_CREATED, COLLECTION_UPDATED, COLLECTION_INSTITUTION_GENERATION
	};

	for (int i = 0; i < (int) lengthof(derived); i++)
	{
		bool		newnull;
		bool		oldnull = true;
		Datum		newvalue = heap_getattr(new, derived[i], desc, &newnull);
		Datum		oldvalue = old ? heap_getattr(old, derived[i], desc, &oldnull) : (Datum) 0;

		if (newnull != oldnull || (!newnull && newvalue != oldvalue))
			ereport(ERROR,
					(errproblem(PROBLEM_OPERATION_NOT_PERMITTED), errtable_of("collection"),
					 errmsg("column \"%s\" of a collection is not written by hand",
							NameStr(TupleDescAttr(desc, derived[i] - 1)->attname)),
					 errhint("Leave it out: the database sets it.")));
	}
}

/* Refuse a setting `schemas` that is none; of all settings it alone has more of a form than a CHECK tells. */
static void
check_schemas(HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		schemas = heap_getattr(row, COLLECTION_SCHEMAS, desc, &isnull);

	if (!isnull)
		check_expectations(DatumGetJsonbP(schemas));
}

/* Do two rows hold one collection in one state, settings aside? */
static bool
same_collection(HeapTuple a, HeapTuple b, TupleDesc desc)
{
	return column(a, COLLECTION_DELETED, desc) == column(b, COLLECTION_DELETED, desc) &&
		documents_equal(DatumGetJsonbP(column(a, COLLECTION_DOCUMENT, desc)),
						DatumGetJsonbP(column(b, COLLECTION_DOCUMENT, desc)));
}

/*
 * Refuse to delete a collection that has an active item now, whatever the
 * transaction's snapshot shows. Its row is locked, so that none appears.
 */
static void
check_empty(const char *id)
{
	static Statement statement = {
		"SELECT FROM esgf_stac.item WHERE collection_id OPERATOR(pg_catalog.=) $1 AND NOT deleted LIMIT 1",
		1, {TEXTOID}
	};
	Datum		value = CStringGetTextDatum(id);
	int			count;

	/* What the statement itself has done so far counts. */
	CommandCounterIncrement();
	SPI_connect();
	count = read_latest_as_owner(&statement, &value, NULL);
	SPI_finish();
	if (count > 0)
		ereport(ERROR,
				(errproblem(PROBLEM_COLLECTION_NOT_EMPTY), errtable_of("collection"),
				 errmsg("collection \"%s\" has items", id)));
}

/*
 * How often the path of the institution has changed. What the versions of a
 * dataset are known to say there is known for one generation: whoever changes
 * an item looks at no path but the one of its time.
 */
static Datum
institution_generation(HeapTuple new, HeapTuple old, TupleDesc desc)
{
	bool		isnull;
	Datum		path = heap_getattr(new, COLLECTION_INSTITUTION_PATH, desc, &isnull);
	Datum		before;

	if (old == NULL)
		return Int32GetDatum(0);
	before = column(old, COLLECTION_INSTITUTION_GENERATION, desc);
	if (!isnull && DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, path,
														column(old, COLLECTION_INSTITUTION_PATH, desc))))
		return before;
	return Int32GetDatum(DatumGetInt32(before) + 1);
}

/* BEFORE ROW: check the document, give the version and the times. */
Datum
esgf_collection_before_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	HeapTuple	new;
	HeapTuple	old;
	TupleDesc	desc;
	char	   *id;
	int			columns[5] = {COLLECTION_INSTITUTION_GENERATION, COLLECTION_VERSION, COLLECTION_CREATED, COLLECTION_UPDATED, COLLECTION_INSTITUTION_PATH};
	Datum		values[5];
	bool		nulls[5] = {false};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired before a row", "collection_before_row")));
	require_writable_catalogue();
	require_own_rights();
	locked_id[0] = '\0';
	desc = RelationGetDescr(trigdata->tg_relation);
	old = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_trigtuple : NULL;
	new = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	check_columns(new, old, desc);
	check_schemas(new, desc);
	id = TextDatumGetCString(column(new, COLLECTION_ID, desc));
	if (old && strcmp(id, TextDatumGetCString(column(old, COLLECTION_ID, desc))) != 0)
		ereport(ERROR,
				(errproblem(PROBLEM_OPERATION_NOT_PERMITTED), errtable_of("collection"),
				 errmsg("the id of a collection does not change"),
				 errhint("Create another collection.")));
	values[0] = institution_generation(new, old, desc);
	if (old && same_collection(new, old, desc))
		return PointerGetDatum(heap_modify_tuple_by_cols(new, desc, 1, columns, values, nulls));
	check_text_size(DatumGetJsonbP(column(new, COLLECTION_DOCUMENT, desc)),
					old ? DatumGetJsonbP(column(old, COLLECTION_DOCUMENT, desc)) : NULL, "collection", COLLECTION_DOCUMENT_MAX);
	check_document(id, DatumGetJsonbP(column(new, COLLECTION_DOCUMENT, desc)));

	values[1] = Int64GetDatum(old ? DatumGetInt64(column(old, COLLECTION_VERSION, desc)) + 1 : 1);
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	if (old)
		values[3] = TimestampTzGetDatum(Max(DatumGetTimestampTz(values[3]),
											DatumGetTimestampTz(column(old, COLLECTION_UPDATED, desc)) + 1));
	values[2] = old ? column(old, COLLECTION_CREATED, desc) : values[3];
	values[4] = heap_getattr(new, COLLECTION_INSTITUTION_PATH, desc, &nulls[4]);
	if (nulls[4])
		values[4] = CStringGetTextDatum(default_institution_path(id));
	nulls[4] = false;
	return PointerGetDatum(heap_modify_tuple_by_cols(new, desc, 5, columns, values, nulls));
}

/* AFTER ROW: write the event, unless only settings changed. */
Datum
esgf_collection_after_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	HeapTuple	new;
	HeapTuple	old;
	TupleDesc	desc;
	Event		event = {0};
	pg_uuid_t	event_id;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a row", "collection_after_row")));
	require_writable_catalogue();
	desc = RelationGetDescr(trigdata->tg_relation);
	old = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_trigtuple : NULL;
	new = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	event.version = DatumGetInt64(column(new, COLLECTION_VERSION, desc));
	if (old && event.version == DatumGetInt64(column(old, COLLECTION_VERSION, desc)))
		return PointerGetDatum(NULL);

	event.aggregatetype = CStringGetTextDatum("collection");
	event.aggregateid = column(new, COLLECTION_ID, desc);
	check_turn(new, "collection", event.aggregateid);
	event.occurred_at = DatumGetTimestampTz(column(new, COLLECTION_UPDATED, desc));
	event.request = PointerGetDatum(current_occasion()->request);
	if (DatumGetBool(column(new, COLLECTION_DELETED, desc)))
	{
		check_empty(TextDatumGetCString(event.aggregateid));
		event.type = "collection.deleted";
	}
	else
	{
		event.type = old && !DatumGetBool(column(old, COLLECTION_DELETED, desc)) ?
			"collection.updated" : "collection.published";
		event.payload = column(new, COLLECTION_DOCUMENT, desc);
	}
	write_event(&event, &event_id);
	record_receipt(event.version, event.type + strlen("collection."), &event_id);
	return PointerGetDatum(NULL);
}
