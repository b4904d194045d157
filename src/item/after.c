/*
 * item/after.c
 *		AFTER ROW of the item table: what happened is found by comparing the
 *		documents, judged, and written to the outbox. AFTER STATEMENT: the
 *		datasets that were touched are settled.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "access/judge.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/occasion.h"
#include "change/compare.h"
#include "change/completeness.h"
#include "item/dataset.h"
#include "item/document.h"
#include "item/row.h"
#include "item/schemas.h"
#include "item/settings.h"
#include "json/edit.h"
#include "outbox/event.h"
#include "outbox/stream.h"
#include "site/keep.h"
#include "site/rule.h"

PG_FUNCTION_INFO_V1(esgf_item_after_row);
PG_FUNCTION_INFO_V1(esgf_item_after_statement);

/* Refuse other content under one version of a dataset. */
static void
check_content(ItemRow *old, ItemRow *new)
{
	ProblemList problems = {0};

	if (is_administrator() || same_document(old, new))
		return;
	find_changed_content(row_document(old), row_document(new), &problems);
	if (problems.count > 0)
		ereport(ERROR,
				(errproblem(PROBLEM_CONTENT_CHANGED), errtable_of("item"),
				 errmsg("the content of files does not change at one version"),
				 errdetail_problems(&problems)));
}

/* Name what happened to the locations of an item, if nothing else did. */
static const char *
name_location_change(const Change *change)
{
	const char *action = "item.updated";
	ListCell   *cell;

	if (change->other || change->citation || change->errata)
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
describe_change(ItemRow *old, ItemRow *new, const HandedRow *handed, const CollectionSettings *settings, JudgedChange *judged, Change *change)
{
	memset(judged, 0, sizeof(*judged));
	memset(change, 0, sizeof(*change));
	judged->change = change;
	judged->explanation = current_occasion()->explanation;
	judged->collection_id = TextDatumGetCString(column(new, ITEM_COLLECTION_ID));
	judged->institution_path = settings->institution_path;
	judged->old = old ? row_document(old) : NULL;
	judged->new = row_document(new);
	judged->restored = is_restored(old, new);
	judged->appears = old == NULL || (is_set(old, ITEM_DELETED) && !judged->restored);
	judged->deleted = old && !is_set(old, ITEM_DELETED) && is_set(new, ITEM_DELETED);
	if (judged->appears)
		compare_documents(NULL, judged->new, change);
	else if (handed && handed->difference)
		*change = *handed->difference;
	else if (!judged->restored && !same_document(old, new))
		compare_documents(judged->old, judged->new, change);
	if (judged->appears || judged->restored)
		return;
	judged->retraction_flips = is_set(old, ITEM_RETRACTED) != is_set(new, ITEM_RETRACTED);
	judged->latest_changes = !judged->deleted && !judged->retraction_flips &&
		is_set(old, ITEM_LATEST) != is_set(new, ITEM_LATEST);
}

/* Is a version one that could be latest? */
static bool
is_candidate(const ItemRow *row)
{
	return !is_set(row, ITEM_DELETED) && !is_set(row, ITEM_RETRACTED);
}

/* Note what the end of the statement must settle between the versions of the dataset. */
static void
note_dataset(ItemRow *old, ItemRow *new, const CollectionSettings *settings)
{
	bool		becomes_candidate = is_candidate(new) && !(old && is_candidate(old));
	Datum		latest_id = is_set(new, ITEM_LATEST) ? column(new, ITEM_ID) : (Datum) 0;

	if (old == NULL || becomes_candidate || !same_institution(row_document(old), row_document(new), settings))
	{
		Institution institution = institution_of(row_document(new), settings);

		touch_dataset(column(new, ITEM_COLLECTION_ID), column(new, ITEM_BASE_ID), &institution, latest_id);
	}
	else if (is_set(old, ITEM_LATEST) != is_set(new, ITEM_LATEST))
		touch_dataset(column(new, ITEM_COLLECTION_ID), column(new, ITEM_BASE_ID), NULL, latest_id);
}

/* The rules of a change that are judged after its rights. */
static void
check_change(ItemRow *old, ItemRow *new, const CollectionSettings *settings, const JudgedChange *judged)
{
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

/* An item as streams judge it. */
static StreamedItem
streamed_item(ItemRow *row)
{
	Jsonb	   *document = active_document(row);
	StreamedItem item = {PointerGetDatum(document), document ? column(row, ITEM_NODES) : (Datum) 0};

	return item;
}

/* Tell everybody else. The payload is handed on as stored, unless it is hidden. */
static void
write_item_event(ItemRow *old, ItemRow *new, const char *type, Jsonb *warnings)
{
	Event		event = {0};
	pg_uuid_t	id;

	event.aggregatetype = column(new, ITEM_COLLECTION_ID);
	event.aggregateid = column(new, ITEM_ID);
	event.type = type;
	event.version = DatumGetInt64(column(new, ITEM_VERSION));
	event.occurred_at = DatumGetTimestampTz(column(new, ITEM_UPDATED));
	event.reason = new->nulls[ITEM_REASON - 1] ? (Datum) 0 : column(new, ITEM_REASON);
	event.request = PointerGetDatum(current_occasion()->request);
	event.validated_against = new->nulls[ITEM_VALIDATED_AGAINST - 1] ? (Datum) 0 : column(new, ITEM_VALIDATED_AGAINST);
	event.warnings = JsonbPGetDatum(warnings);
	if (is_set(new, ITEM_RETRACTED) && !is_set(new, ITEM_DELETED))
		event.payload = JsonbPGetDatum(published_document(row_document(new)));
	else if (!is_set(new, ITEM_DELETED))
		event.payload = column(new, ITEM_DOCUMENT);
	if (have_filtered_streams())
	{
		StreamedItem before = streamed_item(old);
		StreamedItem after = streamed_item(new);

		judge_streams(TextDatumGetCString(event.aggregatetype), &before, &after,
					  current_occasion()->kind == BY_REISSUE, &event.streams, &event.left_streams);
	}
	write_event(&event, &id);
	record_receipt(event.version, event.type + strlen("item."), &id);
}

/* The revisions that have judged a row's document, or NULL. */
static Jsonb *
affixed_to(const ItemRow *row)
{
	return row->nulls[ITEM_VALIDATED_AGAINST - 1] ? NULL : DatumGetJsonbP(column(row, ITEM_VALIDATED_AGAINST));
}

/* How does a row stand? */
static Standing
row_standing(const ItemRow *row)
{
	return standing_of(is_set(row, ITEM_LATEST), is_set(row, ITEM_RETRACTED));
}

/* Have sites know what became of an item, and of which of its locations. */
static void
tell_sites(ItemRow *old, ItemRow *new, List *locations)
{
	SitedChange change = {column(new, ITEM_COLLECTION_ID), column(new, ITEM_ID)};

	if (replication_rules() == NULL)
		return;
	change.old = active_document(old);
	change.new = active_document(new);
	change.old_standing = old ? row_standing(old) : STANDS_SUPERSEDED;
	change.new_standing = row_standing(new);
	change.locations = locations;
	keep_site_items(&change);
}

/*
 * Judge what happened to an item, have its dataset and sites know, and name it;
 * the warnings of its schemas are for who tells of it.
 */
static const char *
judge_row(ItemRow *old, ItemRow *new, const HandedRow *handed, Jsonb **warnings)
{
	text	   *collection = DatumGetTextPP(column(new, ITEM_COLLECTION_ID));
	CollectionSettings settings;
	JudgedChange judged;
	Change		change;

	get_collection_settings(VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection), &settings);
	describe_change(old, new, handed, &settings, &judged, &change);
	judge_change(&judged);
	note_dataset(old, new, &settings);
	check_change(old, new, &settings, &judged);
	if (warnings)
		*warnings = schema_warnings(judged_part(judged.appears, &change), judged.new, judged.old,
									affixed_to(new), &settings);
	tell_sites(old, new, change.locations);
	return name_action(new, &judged);
}

/* AFTER ROW: judge the change, note the dataset and write the event. */
Datum
esgf_item_after_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	ItemRow		old_row;
	ItemRow		new;
	ItemRow    *old = NULL;
	const char *type;
	Jsonb	   *warnings = NULL;
	Occasion   *occasion = current_occasion();
	OccasionKind kind = occasion->kind;
	HandedRow  *handed = occasion->handed;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a row", "item_after_row")));

	require_writable_catalogue();
	desc = RelationGetDescr(trigdata->tg_relation);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		old = &old_row;
		open_row(old, trigdata->tg_trigtuple, desc);
		open_row(&new, trigdata->tg_newtuple, desc);
	}
	else
		open_row(&new, trigdata->tg_trigtuple, desc);
	if (handed)
		new.document = handed->new;
	if (handed && old)
		old->document = handed->old;

	check_turn(old ? trigdata->tg_newtuple : trigdata->tg_trigtuple, "item", column(&new, ITEM_ID));
	if (kind == BY_SUPERSESSION)
	{
		type = "item.superseded";
		tell_sites(old, &new, NIL);
	}
	else if (kind == BY_REISSUE)
		type = "item.reissued";
	else
		type = judge_row(old, &new, handed, kind == BY_IMPORT ? NULL : &warnings);
	if (kind == BY_IMPORT)
		return PointerGetDatum(NULL);
	write_item_event(old, &new, type, warnings);
	return PointerGetDatum(NULL);
}

/* AFTER STATEMENT: settle the datasets that the statement touched. */
Datum
esgf_item_after_statement(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a statement", "item_after_statement")));
	settle_datasets();
	return PointerGetDatum(NULL);
}
