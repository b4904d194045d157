/*
 * item/revalidate.c
 *		revalidate(): which items would fall, before a schema is switched on?
 *
 * All active items of a collection are read, page by page, and judged as a write
 * would have them judged; nothing changes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/statement.h"
#include "item/extensions.h"
#include "item/schemas.h"
#include "json/build.h"
#include "registry/registry.h"
#include "schema/judge.h"

#define PAGE "1000"

PG_FUNCTION_INFO_V1(esgf_revalidate);

/* What is asked of all items. */
typedef struct Revalidation
{
	CollectionSettings settings;
	JsonKey		url;			/* its data is NULL: what each declares */
	int			revision;
	List	   *expectations;
	const Expectation *family;	/* of the url: other versions of it have that
								 * prefix; NULL: there are none */
	ReturnSetInfo *result;
} Revalidation;

/* ---- one item ---- */

/* Is a URL that an item declares another version of the one that is asked for? */
static bool
is_other_version(const Revalidation *asked, const JsonbSlice *declared)
{
	return asked->family && declared->type == JENTRY_ISSTRING &&
		expectation_of(without_empty_fragment(slice_key(declared)), asked->expectations) == asked->family;
}

/* The extensions of a document with the URL that is asked for in place of its other versions; NULL: it has none. */
static Jsonb *
with_version(const Revalidation *asked, const JsonbContainer *declared)
{
	JsonbParseState *state = NULL;
	JsonbCursor elements;
	JsonbSlice	element;
	JsonbValue	value;
	bool		done = false;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	cursor_init(&elements, declared, 0);
	while (elements_next(&elements, &element))
	{
		CHECK_FOR_INTERRUPTS();
		slice_to_value(&element, &value);
		if (is_other_version(asked, &element))
		{
			if (done)
				continue;
			done = true;
			value.val.string.val = unconstify(char *, asked->url.data);
			value.val.string.len = asked->url.len;
		}
		pushJsonbValue(&state, WJB_ELEM, &value);
	}
	return done ? JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)) : NULL;
}

/* Does a document declare the URL that is asked for? */
static bool
declares_url(const Revalidation *asked, const JsonbContainer *declared)
{
	JsonbCursor elements;
	JsonbSlice	element;

	cursor_init(&elements, declared, 0);
	while (elements_next(&elements, &element))
	{
		CHECK_FOR_INTERRUPTS();
		if (element.type == JENTRY_ISSTRING && keys_equal(without_empty_fragment(slice_key(&element)), asked->url))
			return true;
	}
	return false;
}

/* A document as it were if it declared the URL that is asked for; NULL: it declares no version of it. */
static Jsonb *
as_if_declared(const Revalidation *asked, Jsonb *document)
{
	const JsonbContainer *declared = document_array(&document->root, JSON_PATH(JSON_KEY("stac_extensions")));
	Jsonb	   *extensions;

	if (declared == NULL || declares_url(asked, declared))
		return declared ? document : NULL;
	extensions = with_version(asked, declared);
	return extensions ? with_member(document, "stac_extensions", extensions) : NULL;
}

/* Find out what is wrong with an item. */
static void
find_problems(const Revalidation *asked, Jsonb *document, ProblemList *problems)
{
	JsonbSlice	slice;

	if (asked->url.data == NULL)
	{
		list_document_problems(document, NULL, &asked->settings, problems);
		return;
	}
	document = as_if_declared(asked, document);
	if (document == NULL)
		return;
	slice_of_jsonb(document, &slice);
	list_schema_problems(require_revision(asked->url.data, asked->url.len, asked->revision)->schema, &slice, problems);
}

/* ---- all items ---- */

/* Answer with one problem; of those that are not shown with their number. */
static void
put_row(const Revalidation *asked, Datum item_id, const Problem *problem, const char *detail)
{
	const char *keyword = problem == NULL ? NULL : problem->keyword ? problem->keyword : problem->slug;
	Datum		values[4] = {item_id, (Datum) 0, (Datum) 0, CStringGetTextDatum(detail)};
	bool		nulls[4] = {false, problem == NULL, keyword == NULL, false};

	if (problem)
		values[1] = CStringGetTextDatum(problem->pointer);
	if (keyword)
		values[2] = CStringGetTextDatum(keyword);
	tuplestore_putvalues(asked->result->setResult, asked->result->setDesc, values, nulls);
}

/* Judge one item, and answer with its problems. */
static void
revalidate_item(const Revalidation *asked, Datum item_id, Jsonb *document)
{
	ProblemList problems = {0};
	char	   *rest;
	ListCell   *cell;

	find_problems(asked, document, &problems);
	foreach(cell, problems.shown)
		put_row(asked, item_id, lfirst(cell), ((Problem *) lfirst(cell))->detail);
	rest = problem_rest(&problems);
	if (rest)
		put_row(asked, item_id, NULL, rest);
}

/* Judge a page of items, those behind an id; answers the last one's, or NULL where there is no page. */
static text *
revalidate_page(const Revalidation *asked, Datum collection_id, text *behind, MemoryContext per_item)
{
	static Statement statement = {
		"SELECT id, document FROM esgf_stac.item WHERE collection_id OPERATOR(pg_catalog.=) $1"
		" AND id OPERATOR(pg_catalog.>) $2 AND NOT deleted ORDER BY id LIMIT " PAGE,
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {collection_id, PointerGetDatum(behind)};
	uint64		count = run_statement_as_owner(&statement, values, NULL);
	SPITupleTable *page = SPI_tuptable;
	text	   *last = NULL;

	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		Datum		id = SPI_getbinval(page->vals[i], page->tupdesc, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(per_item);

		CHECK_FOR_INTERRUPTS();
		revalidate_item(asked, id, DatumGetJsonbP(SPI_getbinval(page->vals[i], page->tupdesc, 2, &isnull)));
		MemoryContextSwitchTo(old);
		MemoryContextReset(per_item);
		if (i == count - 1)
			last = DatumGetTextPCopy(id);
	}
	SPI_freetuptable(page);
	return last;
}

/* Refuse arguments that are not of their form, or of what is not there. */
static void
read_arguments(FunctionCallInfo fcinfo, Revalidation *asked)
{
	text	   *collection;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must not be null", "collection_id"),
				 errhint("SELECT id FROM esgf_stac.collection WHERE NOT deleted lists the collections.")));
	if (PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("schema"),
				 errmsg("a revision is one of a url, which must be given"),
				 errhint("SELECT url, revision, retired FROM esgf_stac.schema lists the schemas.")));
	collection = PG_GETARG_TEXT_PP(0);
	get_collection_settings(VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection), &asked->settings);
	asked->expectations = read_expectations(asked->settings.schemas);
	if (PG_ARGISNULL(1))
		return;
	asked->url = without_empty_fragment((JsonKey) {text_to_cstring(PG_GETARG_TEXT_PP(1)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(1))});
	asked->revision = PG_ARGISNULL(2) ? REGISTERED : PG_GETARG_INT32(2);
	if (!PG_ARGISNULL(2) && asked->revision <= 0)
		schema_missing(asked->url, asked->revision);
	require_revision(asked->url.data, asked->url.len, asked->revision);
	asked->family = expectation_of(asked->url, asked->expectations);
}

/* revalidate(collection_id, url, revision) */
Datum
esgf_revalidate(PG_FUNCTION_ARGS)
{
	Revalidation asked = {0};
	MemoryContext per_item = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac item", ALLOCSET_DEFAULT_SIZES);
	text	   *behind = cstring_to_text("");

	require_catalogue();
	read_arguments(fcinfo, &asked);
	InitMaterializedSRF(fcinfo, 0);
	asked.result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	while (behind)
		behind = revalidate_page(&asked, PG_GETARG_DATUM(0), behind, per_item);
	SPI_finish();
	return (Datum) 0;
}
