/*
 * item/before.c
 *		BEFORE ROW of the item table: the document is checked and completed, and
 *		every column derived that the database alone writes.
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "access/identity.h"
#include "access/judge.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/occasion.h"
#include "change/compare.h"
#include "change/same.h"
#include "change/stamps.h"
#include "item/collection.h"
#include "item/dataset.h"
#include "item/document.h"
#include "item/row.h"
#include "item/schemas.h"
#include "item/settings.h"
#include "json/text_size.h"

/* The last microsecond of the year 9999. */
#define LAST_TIME (INT64CONST(252455615999999999))

/* A change of one item on its way through BEFORE ROW. */
typedef struct ItemChange
{
	ItemRow		old;			/* of an update */
	ItemRow		new;
	ParsedId	id;
	CollectionSettings settings;
	Datum		collection_id;
	bool		superseded;		/* by another version, which is all that
								 * happens */
	Datum		nodes;			/* of a document that was checked, or 0 */
	bool		latest;
	bool		retracted;
	bool		keeps_times;	/* it comes from another catalogue */
	Change	   *difference;		/* of the documents, or NULL: they were not
								 * compared */
} ItemChange;

PG_FUNCTION_INFO_V1(esgf_item_before_row);

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
	for (int i = ITEM_COLLECTION_ID; i <= LAST_ITEM_COLUMN; i++)
	{
		bool		given = i == ITEM_COLLECTION_ID || i == ITEM_ID || i == ITEM_DOCUMENT;

		if (given && row->nulls[i - 1])
			ereport(ERROR,
					(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
					 errmsg("column \"%s\" of an item must not be null",
							NameStr(TupleDescAttr(row->desc, i - 1)->attname)),
					 errhint("An INSERT gives collection_id, id and document.")));
		if (!given && i == ITEM_DELETED ? is_set(row, i) : !given && !row->nulls[i - 1])
			refuse_column(row, i);
	}
}

/* By hand, an update changes document, deleted and reason, and nothing else. */
static void
check_updated_columns(const ItemRow *new, const ItemRow *old)
{
	for (int i = ITEM_COLLECTION_ID; i <= LAST_ITEM_COLUMN; i++)
	{
		if (i == ITEM_DOCUMENT || i == ITEM_DELETED)
		{
			if (new->nulls[i - 1])
				ereport(ERROR,
						(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
						 errmsg("column \"%s\" of an item must not be null",
								NameStr(TupleDescAttr(new->desc, i - 1)->attname)),
						 errhint("An UPDATE changes document, deleted and reason, of which only the reason may be null.")));
		}
		else if (i != ITEM_REASON && !same_column(new, old, i))
			refuse_column(new, i);
	}
	if (!new->nulls[ITEM_REASON - 1] && !same_column(new, old, ITEM_REASON))
		check_length("reason", DatumGetTextPP(column(new, ITEM_REASON)), REASON_MAX_LENGTH);
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

/* Refuse a document that has grown beyond its bound: not by flags and stamps alone. */
static void
check_size(const ItemChange *change, const Jsonb *document, const Jsonb *old)
{
	uint64		max = change->settings.max_document_bytes;

	if (text_exceeds(document, max) && !(old && same_but_for_stamps_and_flags(old, document)))
		check_text_size(document, old, "item", max);
}

/* May the writer set the item's own stamps? Where the database does so, it matters not. */
static bool
may_stamp(const ItemChange *change, const Jsonb *document, const Jsonb *old)
{
	JudgedChange judged = {.institution_path = change->settings.institution_path,.old = old,.new = document};

	if (change->settings.stamp_times)
		return true;
	judged.collection_id = TextDatumGetCString(change->collection_id);
	return may_update(&judged);
}

/* Complete the document as far as it needs no table, and check it; an old one is that of an item which comes back. */
static void
complete_document(ItemChange *change, const Jsonb *old)
{
	bool		fine;
	text	   *collection = DatumGetTextPP(change->collection_id);
	Jsonb	   *document = fill_in_document(row_document(&change->new),
											VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection));

	if (old && same_but_for_stamps_and_flags(old, document))
		document = settle_stamps(document, old, may_stamp(change, document, old), &fine);
	check_size(change, document, old);
	check_item_document(document, old, change->collection_id, &change->id, change->settings.institution_path, &change->nodes);
	change->new.document = document;
}

/* Is no other version of this item's dataset in its way to be latest? Locks the dataset. */
static bool
is_newest(ItemChange *change)
{
	enter_dataset(change->collection_id, &change->id, false, NULL);
	return may_be_latest(change->collection_id, &change->id, false);
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
	Institution institution = institution_of(row_document(&change->new), &change->settings);

	lock_collection(VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection));
	change->latest = wanted != FLAG_FALSE && !change->retracted;
	if (!enter_dataset(change->collection_id, &change->id, change->latest, &institution))
		change->latest = change->latest && may_be_latest(change->collection_id, &change->id, wanted == FLAG_MISSING);
}

/* An item that is there and stays: decide what its flags become. */
static void
decide_flags(ItemChange *change)
{
	bool		was_latest = is_set(&change->old, ITEM_LATEST);
	bool		was_retracted = is_set(&change->old, ITEM_RETRACTED);
	Flag		wanted = document_flag(row_document(&change->new), "latest");

	change->retracted = document_flag(row_document(&change->new), "retracted") == FLAG_TRUE;
	if (change->superseded || change->retracted || is_set(&change->new, ITEM_DELETED))
		change->latest = false;
	else if (was_retracted || (wanted == FLAG_TRUE && !was_latest))
		change->latest = is_newest(change);
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
			 errmsg("item \"%.*s\" is retracted", change->id.len, change->id.id)));
}

/*
 * Have the schemas judge the row's document, as it will be stored, where it is
 * another one than before, and affix which did: what is not judged keeps what is
 * affixed.
 */
static void
judge_by_schemas(ItemChange *change)
{
	ItemRow    *new = &change->new;
	ItemRow    *old = change->old.desc ? &change->old : NULL;
	bool		appears = old == NULL;
	Jsonb	   *affixed;

	if (change->superseded || (change->settings.schema_mode == SCHEMAS_OFF && new->nulls[ITEM_VALIDATED_AGAINST - 1]))
		return;
	if (old && is_set(old, ITEM_DELETED))
		appears = !is_restored(old, new);
	else if (old)
	{
		change->difference = palloc(sizeof(Change));
		compare_documents(row_document(old), row_document(new), change->difference);
	}
	switch (judged_part(appears, change->difference))
	{
		case JUDGED_ALL:
			affixed = judge_document(row_document(new), &change->settings);
			new->nulls[ITEM_VALIDATED_AGAINST - 1] = affixed == NULL;
			new->values[ITEM_VALIDATED_AGAINST - 1] = JsonbPGetDatum(affixed);
			break;
		case JUDGED_LINKS:
			judge_appended_links(row_document(new), row_document(old), &change->settings);
			break;
		case JUDGED_NOTHING:
			break;
	}
}

/* Write the derived columns and the stamps into the new row. */
static void
derive_columns(ItemChange *change, int64 version, TimestampTz created, TimestampTz updated)
{
	ItemRow    *row = &change->new;
	Jsonb	   *document = set_document_flags(row_document(row), change->latest, change->retracted);

	if (change->settings.stamp_times)
		document = stamp_document(document, created, updated, change->keeps_times);
	row->document = document;
	set_column(row, ITEM_DOCUMENT, JsonbPGetDatum(document));
	set_column(row, ITEM_VERSION, Int64GetDatum(version));
	set_column(row, ITEM_LATEST, BoolGetDatum(change->latest));
	set_column(row, ITEM_RETRACTED, BoolGetDatum(change->retracted));
	set_column(row, ITEM_NODES, change->nodes ? change->nodes : document_nodes(document, NULL, NULL));
	set_column(row, ITEM_CREATED, TimestampTzGetDatum(created));
	set_column(row, ITEM_UPDATED, TimestampTzGetDatum(updated));
	set_column(row, ITEM_UPDATED_BY, JsonbPGetDatum(current_author()));
	judge_by_schemas(change);
}

/* Make an inserted row an item of version 1. */
static void
before_insert(ItemChange *change)
{
	ItemRow    *row = &change->new;
	TimestampTz created;
	TimestampTz updated;

	check_inserted_columns(row);
	identify(change);
	complete_document(change, NULL);
	change->retracted = document_flag(row->document, "retracted") == FLAG_TRUE;
	publish(change, document_flag(row->document, "latest"));

	created = updated = GetCurrentTimestamp();
	if (current_occasion()->kind == BY_IMPORT)
	{
		TimestampTz now = updated;

		updated = document_time(row->document, "updated", now);
		created = document_time(row->document, "created", Min(now, updated));

		/*
		 * No change was made in time to come; and after the year 9999 none
		 * could follow.
		 */
		change->keeps_times = updated <= now && created <= now;
		updated = Min(now, updated);
		created = Min(now, created);
	}
	derive_columns(change, 1, created, updated);
	set_column(row, ITEM_CREATED_BY, column(row, ITEM_UPDATED_BY));
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
	bool		same = same_document(row, &change->old);

	if (is_set(row, ITEM_DELETED))
	{
		if (same || same_but_for_stamps_and_flags(row_document(&change->old), row_document(row)))
			return false;
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_DOES_NOT_EXIST), errtable_of("item"),
				 errmsg("item \"%.*s\" is deleted", change->id.len, change->id.id),
				 errhint("Call esgf_stac.restore_item() or create_item(), or set deleted to false in the same UPDATE.")));
	}
	complete_document(change, row_document(&change->old));
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
	bool		stamps_fine = true;
	bool		same = same_document(row, old);

	row->document = same ? row_document(old) : row_document(row);
	row->document = fill_in_document(row->document, VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection));
	if (row->document != old->document)
	{
		row->document = without_repeated_links(row->document, row_document(old));
		row->document = without_empty_alternates(row->document, row_document(old));
	}
	decide_flags(change);
	keep_retracted_assets(change);
	if (row->document != old->document)
		row->document = settle_stamps(row->document, row_document(old),
									  may_stamp(change, row->document, row_document(old)), &stamps_fine);
	row->document = set_document_flags(row->document, change->latest, change->retracted);
	if (!stamps_fine)
		check_item_document(row->document, row_document(old), change->collection_id, &change->id,
							change->settings.institution_path, &change->nodes);
	if (!is_set(row, ITEM_DELETED) && same_but_for_stamps(row_document(old), row->document))
		return false;
	check_retracted(change);
	if (same)
		return true;
	check_size(change, row->document, row_document(old));
	check_item_document(row->document, row_document(old), change->collection_id, &change->id,
						change->settings.institution_path, &change->nodes);
	return true;
}

/*
 * The time of the next version, which is later than that of the one before. But
 * one that came into 0.1.0 from the end of time begins anew: a time that RFC 3339
 * cannot say would be refused for ever.
 */
static TimestampTz
next_time(TimestampTz before)
{
	TimestampTz now = GetCurrentTimestamp();

	return before < now || before >= LAST_TIME ? now : before + 1;
}

/* Is the trigger fired by a MERGE that the client sent by itself? PostgreSQL tells of no other. */
static bool
is_merged(void)
{
	return ActivePortal && ActivePortal->commandTag == CMDTAG_MERGE &&
		current_occasion()->kind == BY_HAND && trigger_depth() == 1;
}

/*
 * Does the reason in an updated row speak of this change? One that stays the
 * same was given again where the statement sets the column; but MERGE says so if
 * any of its actions does, and another may have left what the change before gave.
 */
static bool
is_reason_given(const ItemChange *change, const TriggerData *trigdata)
{
	return !same_column(&change->new, &change->old, ITEM_REASON) ||
		(updates_column(trigdata, ITEM_REASON) && !is_merged());
}

/* Give a row the version that it is to have, without a change: all else stays as it was. */
static void
reissue(ItemChange *change)
{
	ItemRow    *row = &change->new;
	const ItemRow *old = &change->old;
	text	   *collection = DatumGetTextPP(column(old, ITEM_COLLECTION_ID));
	TimestampTz updated = next_time(DatumGetTimestampTz(column(old, ITEM_UPDATED)));
	bool		has_settings = find_collection_settings(VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection), &change->settings);

	set_column(row, ITEM_DOCUMENT, column(old, ITEM_DOCUMENT));
	if (has_settings && change->settings.stamp_times)
		set_column(row, ITEM_DOCUMENT, JsonbPGetDatum(stamp_update(row_document(&change->old), updated)));
	set_column(row, ITEM_DELETED, column(old, ITEM_DELETED));
	set_column(row, ITEM_VERSION, Int64GetDatum(current_occasion()->version));
	set_column(row, ITEM_UPDATED, TimestampTzGetDatum(updated));
	set_column(row, ITEM_UPDATED_BY, JsonbPGetDatum(current_author()));
	row->nulls[ITEM_REASON - 1] = true;
}

/* Give an updated row its next version; answers false for a change of nothing. */
static bool
before_update(ItemChange *change, const TriggerData *trigdata)
{
	ItemRow    *old = &change->old;

	check_updated_columns(&change->new, old);
	if (current_occasion()->kind == BY_REISSUE)
	{
		reissue(change);
		return true;
	}
	identify(change);
	change->superseded = current_occasion()->kind == BY_SUPERSESSION;
	if (is_set(old, ITEM_DELETED) ? !before_update_of_deleted(change) : !before_update_of_active(change))
		return false;

	derive_columns(change, DatumGetInt64(column(old, ITEM_VERSION)) + 1,
				   DatumGetTimestampTz(column(old, ITEM_CREATED)),
				   next_time(DatumGetTimestampTz(column(old, ITEM_UPDATED))));
	if (!is_reason_given(change, trigdata))
		change->new.nulls[ITEM_REASON - 1] = true;
	return true;
}

/* Has a table no other trigger BEFORE ROW, which might change the row once more? */
static bool
is_only_before_row(const TriggerData *trigdata)
{
	const TriggerDesc *triggers = trigdata->tg_relation->trigdesc;

	for (int i = 0; i < triggers->numtriggers; i++)
		if (TRIGGER_FOR_BEFORE(triggers->triggers[i].tgtype) && TRIGGER_FOR_ROW(triggers->triggers[i].tgtype) &&
			triggers->triggers[i].tgoid != trigdata->tg_trigger->tgoid)
			return false;
	return true;
}

/* Hand on what is known of a row, if it outlives the trigger: what does not lie in a tuple. */
static void
hand_on(Occasion *occasion, ItemChange *change, Datum given, const TriggerData *trigdata)
{
	ItemRow    *old = change->old.desc ? &change->old : NULL;
	HandedRow  *handed;

	if ((Pointer) change->new.document == DatumGetPointer(given) || !is_only_before_row(trigdata) ||
		(old && (Pointer) row_document(old) == DatumGetPointer(column(old, ITEM_DOCUMENT))))
		return;
	handed = occasion->handed = palloc(sizeof(HandedRow));
	handed->old = old ? row_document(old) : NULL;
	handed->new = row_document(&change->new);
	handed->difference = change->difference;
}

/* BEFORE ROW: make the row what it must be, or skip it if nothing changes. */
Datum
esgf_item_before_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	ItemChange	change = {0};
	Occasion   *occasion = current_occasion();
	bool		one_row = occasion->kind == BY_VERB || occasion->kind == BY_IMPORT;
	MemoryContext row_context;
	Datum		given;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired before a row", "item_before_row")));

	desc = RelationGetDescr(trigdata->tg_relation);
	require_writable_catalogue();
	require_identity();
	occasion->handed = NULL;
	row_context = MemoryContextSwitchTo(one_row ? occasion->context : CurrentMemoryContext);
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		open_row(&change.new, trigdata->tg_trigtuple, desc);
		given = column(&change.new, ITEM_DOCUMENT);
		before_insert(&change);
	}
	else
	{
		open_row(&change.old, trigdata->tg_trigtuple, desc);
		open_row(&change.new, trigdata->tg_newtuple, desc);
		given = column(&change.new, ITEM_DOCUMENT);
		if (one_row && occasion->document && datumIsEqual(column(&change.old, ITEM_DOCUMENT), occasion->stored, false, -1))
			change.old.document = occasion->document;
		if (!before_update(&change, trigdata))
		{
			MemoryContextSwitchTo(row_context);
			return PointerGetDatum(NULL);
		}
	}
	if (one_row)
		hand_on(occasion, &change, given, trigdata);
	MemoryContextSwitchTo(row_context);
	return PointerGetDatum(heap_form_tuple(desc, change.new.values, change.new.nulls));
}
