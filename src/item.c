/*
 * item.c
 *		The triggers of the item table: whoever writes to it, by a verb or by
 *		hand, passes here.
 *
 * BEFORE ROW checks and completes its own row and touches no other; AFTER ROW
 * keeps the dataset's latest and writes the event; AFTER STATEMENT demotes what
 * was superseded. A derived column is one that the database alone writes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "access.h"
#include "catalogue.h"
#include "change.h"
#include "collection.h"
#include "compat.h"
#include "dataset.h"
#include "document.h"
#include "errors.h"
#include "item.h"
#include "item_document.h"
#include "identity.h"
#include "outbox.h"
#include "receipt.h"
#include "replica.h"
#include "stream.h"

/* A row as its columns, and what they say. */
typedef struct ItemRow
{
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	Jsonb	   *document;		/* decompressed, when somebody asked */
} ItemRow;

/* A change of one item on its way through BEFORE ROW. */
typedef struct ItemChange
{
	ItemRow		old;			/* of an update */
	ItemRow		new;
	ParsedId		id;
	CollectionSettings settings;
	Datum		collection_id;
	bool		publication;	/* does a new document appear? */
	bool		latest;
	bool		retracted;
} ItemChange;

PG_FUNCTION_INFO_V1(esgf_item_before_row);
PG_FUNCTION_INFO_V1(esgf_item_after_row);
PG_FUNCTION_INFO_V1(esgf_item_after_statement);

/* Take a row apart. */
static void
open_row(ItemRow *row, HeapTuple tuple, TupleDesc desc)
{
	row->desc = desc;
	row->values = palloc(sizeof(Datum) * desc->natts);
	row->nulls = palloc(sizeof(bool) * desc->natts);
	row->document = NULL;
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
}

/* A column's value. */
static inline Datum
column(const ItemRow *row, ItemColumn number)
{
	return row->values[number - 1];
}

/* Set a column. */
static inline void
set_column(ItemRow *row, ItemColumn number, Datum value)
{
	row->values[number - 1] = value;
	row->nulls[number - 1] = false;
}

/* A column of type boolean; null is false. */
static inline bool
is_set(const ItemRow *row, ItemColumn number)
{
	return !row->nulls[number - 1] && DatumGetBool(row->values[number - 1]);
}

/* The document of a row, decompressed once. */
static Jsonb *
row_document(ItemRow *row)
{
	if (row->document == NULL)
		row->document = DatumGetJsonbP(column(row, ITEM_DOCUMENT));
	return row->document;
}

/* Are two columns the same, byte by byte? */
static bool
same_column(const ItemRow *a, const ItemRow *b, ItemColumn number)
{
	Form_pg_attribute attribute = TupleDescAttr(a->desc, number - 1);

	if (a->nulls[number - 1] || b->nulls[number - 1])
		return a->nulls[number - 1] == b->nulls[number - 1];
	return datumIsEqual(column(a, number), column(b, number), attribute->attbyval, attribute->attlen);
}

/* Refuse a value for a column that the database alone writes. */
static void
refuse_column(const ItemRow *row, ItemColumn number)
{
	ereport(ERROR,
			(errproblem(PROBLEM_OPERATION_NOT_PERMITTED), errtable_of("item"),
			 errmsg("column \"%s\" of an item is not written by hand",
					NameStr(TupleDescAttr(row->desc, number - 1)->attname)),
			 errhint("Insert collection_id, id and document; change document, deleted and reason: the rest is derived.")));
}

/* By hand, an insert gives collection_id, id and document, and nothing else. */
static void
check_inserted_columns(const ItemRow *row)
{
	for (int i = ITEM_COLLECTION_ID; i <= ITEM_UPDATED; i++)
	{
		bool		given = i == ITEM_COLLECTION_ID || i == ITEM_ID || i == ITEM_DOCUMENT;

		if (given && row->nulls[i - 1])
			ereport(ERROR,
					(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
					 errmsg("column \"%s\" of an item must not be null",
							NameStr(TupleDescAttr(row->desc, i - 1)->attname))));
		if (!given && i == ITEM_DELETED ? is_set(row, i) : !given && !row->nulls[i - 1])
			refuse_column(row, i);
	}
}

/* By hand, an update changes document, deleted and reason, and nothing else. */
static void
check_updated_columns(const ItemRow *new, const ItemRow *old)
{
	for (int i = ITEM_COLLECTION_ID; i <= ITEM_UPDATED; i++)
	{
		if (i == ITEM_DOCUMENT || i == ITEM_DELETED)
		{
			if (new->nulls[i - 1])
				ereport(ERROR,
						(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
						 errmsg("column \"%s\" of an item must not be null",
								NameStr(TupleDescAttr(new->desc, i - 1)->attname))));
		}
		else if (i != ITEM_REASON && !same_column(new, old, i))
			refuse_column(new, i);
	}
}

/* Find out which item changes, in which collection. */
static void
identify(ItemChange *change)
{
	text	   *collection = DatumGetTextPP(column(&change->new, ITEM_COLLECTION_ID));
	text	   *id = DatumGetTextPP(column(&change->new, ITEM_ID));

	change->collection_id = PointerGetDatum(collection);
	get_collection_settings(VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection), &change->settings);
	parse_item_id(VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), &change->id);
}

/* Complete the document as far as it needs no table, and check it. */
static void
complete_document(ItemChange *change)
{
	text	   *collection = DatumGetTextPP(change->collection_id);
	Jsonb	   *document = fill_in_document(row_document(&change->new),
											VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection));

	check_item_document(document, change->collection_id, &change->id);
	change->new.document = document;
}

/* Is this item the newest of its dataset that is active and unretracted? Locks the dataset. */
static bool
is_newest(ItemChange *change, bool may_be_latest, bool must_appear)
{
	return enter_dataset(change->collection_id, &change->id, may_be_latest) ||
		!has_newer_version(change->collection_id, &change->id, must_appear);
}

/*
 * The item appears, or comes back: decide whether it is the latest. Where it is
 * there already, its insertion is about to become an update (ON CONFLICT), and
 * silence about latest is to mean there what it always means: it stays.
 */
static void
publish(ItemChange *change, Flag wanted)
{
	text	   *collection = DatumGetTextPP(change->collection_id);

	lock_collection(VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection));
	change->latest = wanted != FLAG_FALSE && !change->retracted;
	change->latest &= is_newest(change, change->latest, wanted == FLAG_MISSING);
}

/* An item that is there and stays: decide what its flags become. */
static void
decide_flags(ItemChange *change)
{
	bool		was_latest = is_set(&change->old, ITEM_LATEST);
	bool		was_retracted = is_set(&change->old, ITEM_RETRACTED);
	Flag		wanted = document_flag(row_document(&change->new), "latest");

	change->retracted = document_flag(row_document(&change->new), "retracted") == FLAG_TRUE;
	if (superseding() || change->retracted)
		change->latest = false;
	else if (was_retracted)
		change->latest = is_newest(change, true, false);
	else if (wanted == FLAG_TRUE && !was_latest)
		change->latest = is_newest(change, true, false);
	else
		change->latest = was_latest && wanted != FLAG_FALSE;
}

/* A retraction takes the assets from readers, not from the truth. */
static void
keep_retracted_assets(ItemChange *change)
{
	if ((change->retracted || is_set(&change->old, ITEM_RETRACTED)) && has_no_assets(row_document(&change->new)))
		change->new.document = with_assets_of(change->new.document, row_document(&change->old));
}

/* Refuse what does not pass while an item is retracted. */
static void
check_retracted(ItemChange *change)
{
	Change		difference;

	if (!is_set(&change->old, ITEM_RETRACTED))
		return;
	if (!change->retracted || is_set(&change->new, ITEM_DELETED))
	{
		if (same_but_for_stamps_and_flags(row_document(&change->old), change->new.document))
			return;
	}
	else
	{
		compare_documents(row_document(&change->old), change->new.document, &difference);
		if (only_removes_replicas(&difference))
			return;
	}
	ereport(ERROR,
			(errproblem(PROBLEM_ITEM_RETRACTED), errtable_of("item"),
			 errmsg("item \"%.*s\" is retracted", change->id.len, change->id.id),
			 errhint("Reinstate it first, with nothing else in the same change, or publish a new version.")));
}

/* Write the derived columns and the stamps into the new row. */
static void
derive_columns(ItemChange *change, int64 version, TimestampTz created, TimestampTz updated)
{
	ItemRow    *row = &change->new;
	Jsonb	   *document = set_document_flags(row_document(row), change->latest, change->retracted);

	if (change->settings.stamp_times)
		document = stamp_document(document, created, updated);
	set_column(row, ITEM_DOCUMENT, JsonbPGetDatum(document));
	set_column(row, ITEM_VERSION, Int64GetDatum(version));
	set_column(row, ITEM_LATEST, BoolGetDatum(change->latest));
	set_column(row, ITEM_RETRACTED, BoolGetDatum(change->retracted));
	set_column(row, ITEM_NODES, document_nodes(document));
	set_column(row, ITEM_CREATED, TimestampTzGetDatum(created));
	set_column(row, ITEM_UPDATED, TimestampTzGetDatum(updated));
}

/* Make an inserted row an item of version 1. */
static void
before_insert(ItemChange *change)
{
	ItemRow    *row = &change->new;
	TimestampTz now;

	check_inserted_columns(row);
	identify(change);
	complete_document(change);
	change->retracted = document_flag(row->document, "retracted") == FLAG_TRUE;
	publish(change, document_flag(row->document, "latest"));

	now = GetCurrentTimestamp();
	derive_columns(change, 1, now, now);
	set_column(row, ITEM_DELETED, BoolGetDatum(false));
	set_column(row, ITEM_BASE_ID, PointerGetDatum(cstring_to_text_with_len(change->id.id, change->id.base_len)));
	if (change->id.version)
		set_column(row, ITEM_DATASET_VERSION,
				   PointerGetDatum(cstring_to_text_with_len(change->id.version, change->id.version_len)));
}

/* A deleted item: it may come back, and that is all. Answers whether it does. */
static bool
before_update_of_deleted(ItemChange *change)
{
	ItemRow    *row = &change->new;
	bool		same;

	if (is_set(row, ITEM_DELETED))
	{
		if (same_column(row, &change->old, ITEM_DOCUMENT) ||
			same_but_for_stamps_and_flags(row_document(&change->old), row_document(row)))
			return false;
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_DOES_NOT_EXIST), errtable_of("item"),
				 errmsg("item \"%.*s\" is deleted", change->id.len, change->id.id),
				 errhint("Call esgf_stac.restore_item() or create_item(), or set deleted to false in the same UPDATE.")));
	}
	same = same_column(row, &change->old, ITEM_DOCUMENT);
	complete_document(change);
	change->retracted = document_flag(row->document, "retracted") == FLAG_TRUE;
	publish(change, same ? FLAG_MISSING : document_flag(row->document, "latest"));
	return true;
}

/* An active item changes, or goes. Answers false where nothing does. */
static bool
before_update_of_active(ItemChange *change)
{
	ItemRow    *row = &change->new;
	ItemRow    *old = &change->old;
	text	   *collection = DatumGetTextPP(change->collection_id);

	row->document = same_column(row, old, ITEM_DOCUMENT) ? row_document(old) : row_document(row);
	row->document = fill_in_document(row->document, VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection));
	if (row->document != old->document)
	{
		row->document = without_repeated_links(row->document, row_document(old));
		row->document = without_empty_alternates(row->document);
	}
	decide_flags(change);
	keep_retracted_assets(change);
	if (is_set(row, ITEM_DELETED))
		change->latest = false;
	row->document = set_document_flags(row->document, change->latest, change->retracted);
	if (!is_set(row, ITEM_DELETED) && same_but_for_stamps(row_document(old), row->document))
		return false;
	check_retracted(change);
	if (!same_column(row, old, ITEM_DOCUMENT))
		check_item_document(row->document, change->collection_id, &change->id);
	return true;
}

/* Give an updated row its next version; answers false for a change of nothing. */
static bool
before_update(ItemChange *change, bool reason_given)
{
	ItemRow    *old = &change->old;
	TimestampTz updated;

	check_updated_columns(&change->new, old);
	identify(change);
	if (is_set(old, ITEM_DELETED) ? !before_update_of_deleted(change) : !before_update_of_active(change))
		return false;

	updated = Max(GetCurrentTimestamp(), DatumGetTimestampTz(column(old, ITEM_UPDATED)) + 1);
	derive_columns(change, DatumGetInt64(column(old, ITEM_VERSION)) + 1,
				   DatumGetTimestampTz(column(old, ITEM_CREATED)), updated);
	if (!reason_given)
		change->new.nulls[ITEM_REASON - 1] = true;
	return true;
}

/* BEFORE ROW: make the row what it must be, or skip it if nothing changes. */
Datum
esgf_item_before_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	ItemChange	change = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired before a row", "item_before_row")));

	desc = RelationGetDescr(trigdata->tg_relation);
	get_writable_catalogue();
	require_identity();
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		open_row(&change.new, trigdata->tg_trigtuple, desc);
		before_insert(&change);
	}
	else
	{
		open_row(&change.old, trigdata->tg_trigtuple, desc);
		open_row(&change.new, trigdata->tg_newtuple, desc);
		if (!before_update(&change, bms_is_member(ITEM_REASON - FirstLowInvalidHeapAttributeNumber,
												  trigdata->tg_updatedcols)))
			return PointerGetDatum(NULL);
	}
	return PointerGetDatum(heap_form_tuple(desc, change.new.values, change.new.nulls));
}

/* The institutions that an item names, or NULL. */
static Jsonb *
institution_of(Jsonb *document, const char *path)
{
	JsonbValue	value;

	return json_pointer_get(document, path, strlen(path), &value) ? JsonbValueToJsonb(&value) : NULL;
}

/* Refuse a new version of a dataset that is another institution's. */
static void
check_institution(ItemRow *row, const CollectionSettings *settings)
{
	Jsonb	   *other = newest_other_version(column(row, ITEM_COLLECTION_ID), column(row, ITEM_BASE_ID), column(row, ITEM_ID));
	Jsonb	   *ours;
	Jsonb	   *theirs;

	if (other == NULL)
		return;
	ours = institution_of(row_document(row), settings->institution_path);
	theirs = institution_of(other, settings->institution_path);
	if (ours == NULL ? theirs == NULL : theirs != NULL && documents_equal(ours, theirs))
		return;
	ereport(ERROR,
			(errproblem(PROBLEM_INSTITUTION_DIFFERS), errtable_of("item"),
			 errmsg("dataset \"%s\" belongs to another institution", TextDatumGetCString(column(row, ITEM_BASE_ID))),
			 errdetail("%s: must be %s as in the versions before, not %s", settings->institution_path,
					   theirs ? JsonbToCString(NULL, &theirs->root, VARSIZE(theirs)) : "absent",
					   ours ? JsonbToCString(NULL, &ours->root, VARSIZE(ours)) : "absent"),
			 errhint("Publish it under an id of its own.")));
}

/* Refuse other content under one version of a dataset. */
static void
check_content(ItemRow *old, ItemRow *new)
{
	ProblemList problems = {0};

	if (same_column(old, new, ITEM_DOCUMENT) || is_administrator())
		return;
	find_changed_content(row_document(old), row_document(new), &problems);
	if (problems.count > 0)
		ereport(ERROR,
				(errproblem(PROBLEM_CONTENT_CHANGED), errtable_of("item"),
				 errmsg("the content of files does not change at one version"),
				 errdetail_problems(&problems),
				 errhint("Publish changed files as a new version of the dataset.")));
}

/* Is an item that was deleted back as it was? */
static bool
is_restored(ItemRow *old, ItemRow *new)
{
	return old && is_set(old, ITEM_DELETED) && !is_set(new, ITEM_DELETED) &&
		is_set(old, ITEM_RETRACTED) == is_set(new, ITEM_RETRACTED) &&
		same_but_for_stamps_and_flags(row_document(old), row_document(new));
}

/* Name what happened to the locations of an item, if nothing else did. */
static const char *
name_location_change(const Change *change)
{
	const char *action = "item.updated";
	ListCell   *cell;

	if (change->others != NIL || change->citation || change->errata)
		return "item.updated";
	foreach(cell, change->locations)
	{
		LocationChange *location = lfirst(cell);

		if (location->fate == LOCATION_ALTERED)
			return "item.updated";
		if (location->fate == LOCATION_REMOVED)
			action = "item.replica_removed";
		else if (strcmp(action, "item.updated") == 0)
			action = "item.replica_added";
	}
	return action;
}

/* Name what happened to an item, by its weightiest part. */
static const char *
name_action(const ItemRow *new, const JudgedChange *judged)
{
	if (judged->appears)
		return "item.published";
	if (judged->deleted)
		return "item.deleted";
	if (judged->restored)
		return "item.restored";
	if (judged->retraction_flips)
		return is_set(new, ITEM_RETRACTED) ? "item.retracted" : "item.reinstated";
	return judged->latest_changes ? "item.updated" : name_location_change(judged->change);
}

/* Find out what happened to an item, as far as rights and the event are concerned. */
static void
describe_change(ItemRow *old, ItemRow *new, const CollectionSettings *settings, JudgedChange *judged, Change *change)
{
	memset(judged, 0, sizeof(*judged));
	memset(change, 0, sizeof(*change));
	judged->change = change;
	judged->collection_id = TextDatumGetCString(column(new, ITEM_COLLECTION_ID));
	judged->institution_path = settings->institution_path;
	judged->old = old ? row_document(old) : NULL;
	judged->new = row_document(new);
	judged->restored = is_restored(old, new);
	judged->appears = old == NULL || (is_set(old, ITEM_DELETED) && !judged->restored);
	judged->deleted = old && !is_set(old, ITEM_DELETED) && is_set(new, ITEM_DELETED);
	if (judged->appears)
		compare_documents(NULL, judged->new, change);
	else if (!judged->restored && !same_column(old, new, ITEM_DOCUMENT))
		compare_documents(judged->old, judged->new, change);
	if (judged->appears || judged->restored)
		return;
	judged->retraction_flips = is_set(old, ITEM_RETRACTED) != is_set(new, ITEM_RETRACTED);
	judged->latest_changes = !judged->deleted && !judged->retraction_flips &&
		is_set(old, ITEM_LATEST) != is_set(new, ITEM_LATEST);
}

/* The rules of a change that are judged after its rights. */
static void
check_change(ItemRow *old, ItemRow *new, const CollectionSettings *settings, const JudgedChange *judged)
{
	if (judged->appears)
		check_institution(new, settings);
	if (old != NULL)
		check_content(old, new);
	check_replicas(judged->old, judged->new, judged->change, settings->complete_replicas);
	if (judged->change->locations != NIL && !is_administrator())
		check_replica_content(judged->new, judged->change);
}

/* The document of a row that is neither missing nor deleted, or NULL. */
static Jsonb *
active_document(ItemRow *row)
{
	return row == NULL || is_set(row, ITEM_DELETED) ? NULL : row_document(row);
}

/* Tell everybody else. The payload is handed on as stored, unless it is hidden. */
static void
write_item_event(ItemRow *old, ItemRow *new, const char *type)
{
	Event		event = {0};
	pg_uuid_t	id;

	event.aggregatetype = column(new, ITEM_COLLECTION_ID);
	event.aggregateid = column(new, ITEM_ID);
	event.type = type;
	event.version = DatumGetInt64(column(new, ITEM_VERSION));
	event.occurred_at = DatumGetTimestampTz(column(new, ITEM_UPDATED));
	event.reason = new->nulls[ITEM_REASON - 1] ? (Datum) 0 : column(new, ITEM_REASON);
	if (!superseding())
		event.request = PointerGetDatum(request_under_way.as_submitted);
	if (is_set(new, ITEM_RETRACTED) && !is_set(new, ITEM_DELETED))
		event.payload = JsonbPGetDatum(published_document(row_document(new)));
	else if (!is_set(new, ITEM_DELETED))
		event.payload = column(new, ITEM_DOCUMENT);
	if (have_filtered_streams())
		judge_streams(TextDatumGetCString(event.aggregatetype), active_document(old), active_document(new),
					  &event.streams, &event.left_streams);
	write_event(&event, &id);

	if (!superseding())
		record_receipt(event.version, event.type + strlen("item."), &id);
}

/* AFTER ROW: judge the change, keep the dataset's latest and write the event. */
Datum
esgf_item_after_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	ItemRow		old_row;
	ItemRow		new;
	ItemRow    *old = NULL;
	text	   *collection;
	CollectionSettings settings;
	JudgedChange judged;
	Change		change;
	const char *type;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a row", "item_after_row")));

	get_writable_catalogue();
	desc = RelationGetDescr(trigdata->tg_relation);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		old = &old_row;
		open_row(old, trigdata->tg_trigtuple, desc);
		open_row(&new, trigdata->tg_newtuple, desc);
	}
	else
		open_row(&new, trigdata->tg_trigtuple, desc);

	collection = DatumGetTextPP(column(&new, ITEM_COLLECTION_ID));
	get_collection_settings(VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection), &settings);
	if (superseding())
		type = "item.superseded";
	else
	{
		describe_change(old, &new, &settings, &judged, &change);
		judge_change(&judged);
		check_change(old, &new, &settings, &judged);
		type = name_action(&new, &judged);
		if (is_set(&new, ITEM_LATEST) != (old != NULL && is_set(old, ITEM_LATEST)))
			record_latest(column(&new, ITEM_COLLECTION_ID), column(&new, ITEM_BASE_ID), column(&new, ITEM_ID),
						  is_set(&new, ITEM_LATEST));
	}
	SPI_connect();
	write_item_event(old, &new, type);
	SPI_finish();
	return PointerGetDatum(NULL);
}

/* AFTER STATEMENT: demote what the statement superseded. */
Datum
esgf_item_after_statement(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a statement", "item_after_statement")));
	supersede_pending();
	return PointerGetDatum(NULL);
}
