/*
 * verbs/import.c
 *		import_items(): items of another catalogue come in as they are there,
 *		without events: see verbs/import.h.
 *
 * Datasets are taken in the one order in which all lock them, and of each the
 * newest version first, so that none is latest only until the next one comes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "access/identity.h"
#include "access/judge.h"
#include "base/bytes.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/occasion.h"
#include "base/statement.h"
#include "change/same.h"
#include "item/document.h"
#include "item/glance.h"
#include "json/edit.h"
#include "json/slice.h"
#include "stac/item.h"
#include "verbs/outcome.h"
#include "verbs/perform.h"
#include "verbs/problem_json.h"

/* One document, and what became of it. */
typedef struct Import
{
	Outcome		outcome;
	Jsonb	   *document;		/* NULL: SQL NULL */
	ParsedId	id;				/* of the item; empty where there is none */
} Import;


PG_FUNCTION_INFO_V1(esgf_import_items);

/* A member of a document that is a name; NULL where there is none, or none that may be. */
static text *
string_member(const Jsonb *document, const char *name)
{
	JsonKey		key = {name, strlen(name)};
	JsonbValue	value;

	if (!document_get(&document->root, &value, 1, &key) || value.type != jbvString ||
		value.val.string.len > NAME_MAX_LENGTH)
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/* Find out which item a document is. */
static Outcome *
read_document(int ordinal, Datum document, bool isnull)
{
	Import	   *import = palloc0(sizeof(Import));
	Outcome    *outcome = &import->outcome;

	outcome->ordinal = ordinal;
	import->id.id = "";
	if (isnull)
		return outcome;
	import->document = DatumGetJsonbP(document);
	outcome->collection_id = string_member(import->document, "collection");
	outcome->item_id = string_member(import->document, "id");
	if (outcome->item_id)
		parse_item_id(VARDATA_ANY(outcome->item_id), VARSIZE_ANY_EXHDR(outcome->item_id), &import->id);
	return outcome;
}

/* Order texts by their bytes; what is missing comes first. */
static int
compare_ids(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return compare_texts(a, b);
}

/* Order documents by their datasets, the newest version first; else as they were given. */
static int
compare_imports(const void *a, const void *b)
{
	const Import *ia = *(Import *const *) a;
	const Import *ib = *(Import *const *) b;
	int			result = compare_ids(ia->outcome.collection_id, ib->outcome.collection_id);

	if (result == 0)
		result = compare_bytes(ia->id.id, ia->id.base_len, ib->id.id, ib->id.base_len);
	if (result == 0)
		result = compare_dataset_versions(ib->id.version, ib->id.version_len, ia->id.version, ia->id.version_len);
	return result ? result : ia->outcome.ordinal - ib->outcome.ordinal;
}

/* Refuse a document that does not say which item it is, for all that is wrong with it. */
static void
refuse_unidentified(const Import *import)
{
	ProblemList problems = {0};
	Place		place = MEMBER_PLACE(NULL, "collection");
	JsonbValue	collection;

	if (import->document == NULL)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("a document must not be null"),
				 errhint("Leave it out of the array.")));
	check_stac_item(&import->document->root, &problems);
	if (JB_ROOT_IS_OBJECT(import->document) &&
		(!document_get(&import->document->root, &collection, JSON_PATH(JSON_KEY("collection"))) || collection.type == jbvNull))
		add_problem(&problems, &place, "is missing");
	report_problems(&problems, "item", "document is not a STAC item");
}

/* Is a document what is stored already, but for stamps, and for a latest that has ended here? */
static bool
is_stored(const Import *import, Jsonb *stored, bool latest, bool retracted)
{
	const text *collection = import->outcome.collection_id;
	Jsonb	   *document = fill_in_document(import->document, VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection));

	return same_but_for_stamps_and_flags(stored, document) &&
		(document_flag(document, "retracted") == FLAG_TRUE) == retracted &&
		!(latest && document_flag(document, "latest") == FLAG_FALSE);
}

/* Is the item there? Then it stays as it is, and must be the same. */
static bool
find_item(Import *import)
{
	static Statement statement = {
		"SELECT version, document, latest, retracted, deleted FROM esgf_stac.item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
		2, {TEXTOID, TEXTOID}
	};
	Outcome    *outcome = &import->outcome;
	Datum		values[2] = {PointerGetDatum(outcome->collection_id), PointerGetDatum(outcome->item_id)};
	Datum		columns[5];
	bool		isnull;

	if (run_statement(&statement, values, NULL) == 0)
		return false;
	for (int i = 0; i < 5; i++)
		columns[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);
	if (DatumGetBool(columns[4]))
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" is deleted here", text_to_cstring(outcome->item_id)),
				 errhint("Call esgf_stac.restore_item() or create_item() if it is to come back.")));
	if (!is_stored(import, DatumGetJsonbP(columns[1]), DatumGetBool(columns[2]), DatumGetBool(columns[3])))
		ereport(ERROR,
				(errproblem(PROBLEM_ITEM_ALREADY_EXISTS), errtable_of("item"),
				 errmsg("item \"%s\" exists already in collection \"%s\", and differs",
						text_to_cstring(outcome->item_id), text_to_cstring(outcome->collection_id)),
				 errdetail("It has version " INT64_FORMAT ".", DatumGetInt64(columns[0])),
				 errhint("An import overwrites nothing: decide which of the two is right, and change this one if it is the other.")));
	outcome->status = 200;
	outcome->receipt.changed = false;
	outcome->receipt.version = DatumGetInt64(columns[0]);
	return true;
}

/* Insert the item; false if somebody else has done so meanwhile. */
static bool
insert_item(Import *import)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ($1, $2, $3)"
		" ON CONFLICT (collection_id, id) DO NOTHING",
		3, {TEXTOID, TEXTOID, JSONBOID}
	};
	Outcome    *outcome = &import->outcome;
	Datum		values[3] = {PointerGetDatum(outcome->collection_id), PointerGetDatum(outcome->item_id),
	JsonbPGetDatum(import->document)};
	Occasion	occasion = {BY_IMPORT};

	outcome->receipt.changed = run_on_occasion(&occasion, &statement, values, NULL) == 1;
	outcome->status = 201;
	outcome->receipt.version = 1;
	outcome->receipt.action = "imported";
	return outcome->receipt.changed;
}

/* Is the item not there, as far as an index tells? Most are not. */
static bool
is_absent(const Import *import)
{
	bool		exists;

	return glance_at_item(PointerGetDatum(import->outcome.collection_id), PointerGetDatum(import->outcome.item_id), &exists) && !exists;
}

/* Import one item, unless it is there. */
static void
import_item(Outcome *outcome)
{
	Import	   *import = (Import *) outcome;

	CHECK_FOR_INTERRUPTS();
	if (outcome->collection_id == NULL || outcome->item_id == NULL)
		refuse_unidentified(import);
	SPI_connect();
	if ((is_absent(import) || !find_item(import)) && !insert_item(import) && !find_item(import))
		refuse_kept_out(outcome->item_id);
	SPI_finish();
}

/* Tell an administrator that those who follow the outbox do not hear of it. */
static void
warn_streams(Outcome **outcomes, int count)
{
	static Statement statement = {"SELECT FROM esgf_stac.stream LIMIT 1"};
	bool		imported = false;

	for (int i = 0; i < count && !imported; i++)
		imported = outcomes[i]->problem == NULL && outcomes[i]->receipt.changed;
	SPI_connect();
	if (imported && run_statement_as_owner(&statement, NULL, NULL) > 0)
		ereport(WARNING,
				(errmsg("streams do not hear of imported items"),
				 errhint("Seed their indices when all are imported: drop_stream(), create_stream(), and a relay with --create --snapshot.")));
	SPI_finish();
}

/* import_items(documents) */
Datum
esgf_import_items(PG_FUNCTION_ARGS)
{
	Datum	   *documents;
	bool	   *nulls;
	int			count;
	Outcome   **outcomes;
	Outcome   **sorted;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must not be null", "documents"),
				 errhint("Give it an array of items, perhaps an empty one.")));
	if (!is_administrator())
		ereport(ERROR,
				(errforbidden(), errtable_of("item"),
				 errmsg("only an administrator imports items"),
				 errhint("Members of esgf_stac_admin may; everybody else publishes.")));
	require_writable_catalogue();
	require_identity();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), JSONBOID, -1, false, TYPALIGN_INT, &documents, &nulls, &count);
	outcomes = palloc(sizeof(Outcome *) * Max(1, count));
	sorted = palloc(sizeof(Outcome *) * Max(1, count));
	for (int i = 0; i < count; i++)
		sorted[i] = outcomes[i] = read_document(i + 1, documents[i], nulls[i]);
	qsort(sorted, count, sizeof(Outcome *), compare_imports);
	perform_apart(sorted, count, import_item, problem_status);
	warn_streams(outcomes, count);
	return return_outcomes(fcinfo, outcomes, count);
}
