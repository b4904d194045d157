/*
 * verbs/methods.c
 *		The table of methods, and what each makes of an item: see
 *		verbs/methods.h. Nothing is written here.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "access/judge.h"
#include "base/bytes.h"
#include "base/problems.h"
#include "change/holdings.h"
#include "change/replica.h"
#include "item/document.h"
#include "json/edit.h"
#include "stac/item.h"
#include "verbs/methods.h"

/* The id that a document gives itself, or NULL. */
text *
document_id(Jsonb *document)
{
	JsonbValue	id;

	if (document_get(&document->root, &id, JSON_PATH(JSON_KEY("id"))) && id.type == jbvString)
		return cstring_to_text_with_len(id.val.string.val, id.val.string.len);
	return NULL;
}

/* A replacement, its id filled in where it has none. */
Jsonb *
with_id(Jsonb *document, const text *id)
{
	JsonbValue	value;
	DocumentEdit *edit;

	if (!JB_ROOT_IS_OBJECT(document) ||
		(document_get(&document->root, &value, JSON_PATH(JSON_KEY("id"))) && value.type != jbvNull))
		return document;
	value.type = jbvString;
	value.val.string.val = VARDATA_ANY(id);
	value.val.string.len = VARSIZE_ANY_EXHDR(id);
	edit = document_edit(document);
	document_set(edit, &value, JSON_PATH(JSON_KEY("id")));
	return document_finish(edit);
}

/* A document to be created says its id; one that does not is refused for all that is wrong with it. */
static void
take_own_id(ItemRequest *request)
{
	ProblemList problems = {0};

	request->item_id = document_id(request->body);
	if (request->item_id)
		return;
	check_stac_item(&request->body->root, &problems);
	report_problems(&problems, "item", "document is not a STAC item");
}

/* The same, where the request does not say it. */
static void
take_id(ItemRequest *request)
{
	if (request->item_id == NULL)
		take_own_id(request);
}

/* Read a patch. */
static void
take_patch(ItemRequest *request)
{
	request->patch = read_patch(request->body, "item");
}

/* Judge the form of alternates. */
static void
judge_alternates(ItemRequest *request)
{
	check_alternates_form(request->body);
}

/* The stored document, opened: whoever writes the item needs not do so again. */
static Jsonb *
open_document(ItemRequest *request, Datum stored)
{
	request->occasion.stored = stored;
	request->occasion.document = DatumGetJsonbP(stored);
	return request->occasion.document;
}

/* PUT, UPSERT: the replacement, with the replicas that it does not speak of. */
static Datum
replace(ItemRequest *request, const CollectionSettings *settings, Datum document)
{
	return JsonbPGetDatum(keep_alternates(with_id(request->body, request->item_id), open_document(request, document)));
}

/* PATCH: what the patch makes of the document. */
static Datum
patch(ItemRequest *request, const CollectionSettings *settings, Datum document)
{
	return JsonbPGetDatum(apply_patch(open_document(request, document), request->patch, settings->max_document_bytes));
}

/* DELETE, RESTORE: the document as it is. */
static Datum
keep(ItemRequest *request, const CollectionSettings *settings, Datum document)
{
	return document;
}

/* The document with another retraction flag, if it has not that already. */
static Datum
with_retraction(ItemRequest *request, Datum stored, bool retracted)
{
	Jsonb	   *document = open_document(request, stored);

	if ((document_flag(document, "retracted") == FLAG_TRUE) == retracted)
		return stored;
	return JsonbPGetDatum(set_document_flags(document, false, retracted));
}

/* RETRACT */
static Datum
retract(ItemRequest *request, const CollectionSettings *settings, Datum document)
{
	return with_retraction(request, document, true);
}

/* REINSTATE */
static Datum
reinstate(ItemRequest *request, const CollectionSettings *settings, Datum document)
{
	return with_retraction(request, document, false);
}

/* ADD_REPLICA: the document with the locations of a node. */
static Datum
with_replica(ItemRequest *request, const CollectionSettings *settings, Datum document)
{
	return JsonbPGetDatum(add_replica(open_document(request, document), request->node, request->body));
}

/* REMOVE_REPLICA: the document without a node; that the last one stays is told to those who may remove it. */
static Datum
without_replica(ItemRequest *request, const CollectionSettings *settings, Datum stored)
{
	Change		removal;
	const Location *last;
	Jsonb	   *document = open_document(request, stored);
	Jsonb	   *result = remove_replica(document, request->node, &removal, &last);
	JudgedChange judged = {text_to_cstring(request->collection_id), settings->institution_path, document, document};

	if (result == NULL)
	{
		judged.change = &removal;
		judged.explanation = request->occasion.explanation;
		judge_change(&judged);
		refuse_last_replica(last);
	}
	return JsonbPGetDatum(result);
}

static const Method methods[] = {
	{"POST", BODY_ITEM, take_own_id,.dataset = DATASET_LOCKED,.creates = true},
	{"PUT", BODY_ITEM,.needs_version = true,.dataset = DATASET_LOCKED,.apply = replace},
	{"UPSERT", BODY_ITEM, take_id,.needs_version = true,.dataset = DATASET_LOCKED,.creates = true,.apply = replace},
	{"PATCH", BODY_PATCH, take_patch,.needs_version = true,.dataset = DATASET_LOCKED_BY_PATCH,.apply = patch},
	{"DELETE",.needs_version = true,.dataset = DATASET_LOCKED,.deletes = true,.apply = keep},
	{"RESTORE",.needs_version = true,.dataset = DATASET_LOCKED,.restores = true,.apply = keep},
	{"RETRACT",.needs_version = true,.dataset = DATASET_LOCKED,.apply = retract},
	{"REINSTATE",.needs_version = true,.dataset = DATASET_LOCKED,.apply = reinstate},
	{"ADD_REPLICA", BODY_ALTERNATES, judge_alternates,.takes_node = true,.apply = with_replica},
	{"REMOVE_REPLICA",.takes_node = true,.apply = without_replica},
	{"CHECK"}
};

/* Find a method by its name; NULL: there is none. */
const Method *
find_method(const char *name, int len)
{
	for (int i = 0; i < (int) lengthof(methods); i++)
		if (bytes_are(name, len, methods[i].name))
			return &methods[i];
	return NULL;
}
