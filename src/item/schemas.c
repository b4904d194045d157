/*
 * item/schemas.c
 *		Is an item as the schemas ask that it declares, and which were these? See
 *		item/schemas.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "item/extensions.h"
#include "item/schemas.h"
#include "json/build.h"
#include "registry/registry.h"
#include "schema/judge.h"

/* A revision that has judged, or was drawn on by one that has. */
typedef struct Affix
{
	const char *url;
	const char *cv_version;		/* NULL: none */
	int			number;
	bool		valid;
	char		sha256[2 * PG_SHA256_DIGEST_LENGTH];	/* in hex */
} Affix;

/* What becomes of a document while its schemas judge it. */
typedef struct Review
{
	const Jsonb *document;
	List	   *extensions;		/* of Extension */
	ProblemList *problems;		/* where the schemas' go; NULL: only the
								 * verdicts are asked */
	const Jsonb *affixed;		/* by which revisions; NULL: by those in force */
	bool		affixes;		/* are revisions noted? */
	List	   *declared;		/* of Affix */
	List	   *drawn;			/* of Affix */
} Review;

/* What of a document does a change have judged? Locations and life cycle alone nothing. */
JudgedPart
judged_part(bool appears, const Change *change)
{
	if (appears || (change && change->other))
		return JUDGED_ALL;
	return change && (change->citation || change->errata) ? JUDGED_LINKS : JUDGED_NOTHING;
}

/* ---- judging ---- */

/* A revision, which is soon another's memory, as it is to be affixed. */
static Affix *
make_affix(const Revision *revision, bool valid)
{
	Affix	   *affix = palloc(sizeof(Affix));

	affix->url = pstrdup(revision->url);
	affix->cv_version = revision->cv_version ? pstrdup(revision->cv_version) : NULL;
	affix->number = revision->number;
	affix->valid = valid;
	hex_encode((const char *) revision->sha256, PG_SHA256_DIGEST_LENGTH, affix->sha256);
	return affix;
}

/* The one of a URL, or NULL. */
static Affix *
find_affix(const List *list, const char *url)
{
	ListCell   *cell;

	foreach(cell, list)
		if (strcmp(((Affix *) lfirst(cell))->url, url) == 0)
		return lfirst(cell);
	return NULL;
}

/* Note a revision that has judged, and what it has drawn on: that is valid where all are that did so. */
static void
note_revision(Review *review, const Revision *revision, bool valid)
{
	review->declared = lappend(review->declared, make_affix(revision, valid));
	for (int i = 0; i < revision->drawn_count; i++)
	{
		Affix	   *drawn = find_affix(review->drawn, revision->drawn[i].url);

		if (drawn)
			drawn->valid = drawn->valid && valid;
		else
			review->drawn = lappend(review->drawn, make_affix(&revision->drawn[i], valid));
	}
}

/* Note what a schema finds wrong. */
static void
list_problems(Review *review, const Revision *revision, const JsonbSlice *document)
{
	int			before = list_length(review->problems->shown);
	ListCell   *cell;

	list_schema_problems(revision->schema, document, review->problems);
	for_each_from(cell, review->problems->shown, before)
	{
		Problem    *problem = lfirst(cell);

		problem->url = pstrdup(revision->url);
		problem->slug = problem_facts[PROBLEM_STAC_VALIDATION].slug;
	}
}

/* The revision of a URL that is affixed; REGISTERED: none is. */
static int
affixed_number(const Jsonb *affixed, JsonKey url)
{
	const JsonKey members[] = {JSON_KEY("url"), JSON_KEY("revision")};
	JsonbCursor elements;
	JsonbSlice	element;
	JsonbSlice	value;
	JsonbValue	number;

	cursor_init(&elements, &affixed->root, 0);
	while (elements_next(&elements, &element))
	{
		document_slice(slice_container(&element), &value, 1, &members[0]);
		if (!keys_equal(slice_key(&value), url))
			continue;
		document_slice(slice_container(&element), &value, 1, &members[1]);
		slice_to_value(&value, &number);
		return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(number.val.numeric)));
	}
	return REGISTERED;
}

/* The revision by which an extension judges; NULL: none does. */
static const Revision *
judging_revision(const Review *review, JsonKey url)
{
	int			number = review->affixed ? affixed_number(review->affixed, url) : REGISTERED;

	return review->affixed && number == REGISTERED ? NULL : find_revision(url.data, url.len, number);
}

/* Have a document judged by each schema that it declares; answers whether all find it good. */
static bool
review_document(Review *review)
{
	bool		good = true;
	JsonbSlice	document;
	ListCell   *cell;

	slice_of_jsonb(review->document, &document);
	review->extensions = declared_extensions(review->document);
	foreach(cell, review->extensions)
	{
		Extension  *extension = lfirst(cell);
		const Revision *revision = judging_revision(review, extension->url);
		bool		valid;

		CHECK_FOR_INTERRUPTS();
		extension->known = revision != NULL;
		if (revision == NULL)
			continue;
		valid = schema_allows(revision->schema, &document);
		good = good && valid;
		if (!valid && review->problems)
			list_problems(review, revision, &document);
		if (review->affixes)
			note_revision(review, revision, valid);
	}
	return good;
}

/* ---- what is affixed ---- */

/* Add an element of `validated_against`. */
static void
push_affix(JsonbParseState **state, const Affix *affix)
{
	JsonbValue	value;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_string_member(state, "url", affix->url, strlen(affix->url));
	push_number_member(state, "revision", affix->number);
	push_string_member(state, "sha256", affix->sha256, sizeof(affix->sha256));
	push_key(state, "cv_version");
	value.type = jbvNull;
	if (affix->cv_version)
	{
		value.type = jbvString;
		value.val.string.val = (char *) affix->cv_version;
		value.val.string.len = strlen(affix->cv_version);
	}
	pushJsonbValue(state, WJB_VALUE, &value);
	push_key(state, "valid");
	value.type = jbvBool;
	value.val.boolean = affix->valid;
	pushJsonbValue(state, WJB_VALUE, &value);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* What is affixed after a review; NULL: nothing has judged. */
static Jsonb *
affixed(const Review *review)
{
	JsonbParseState *state = NULL;
	ListCell   *cell;

	if (review->declared == NIL)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, review->declared)
		push_affix(&state, lfirst(cell));
	foreach(cell, review->drawn)
		if (find_affix(review->declared, ((Affix *) lfirst(cell))->url) == NULL)
		push_affix(&state, lfirst(cell));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/* ---- refusals and warnings ---- */

/* Refuse what an item declares, if anything is wrong with that. */
static void
require_expected_extensions(const List *extensions, const CollectionSettings *settings)
{
	ProblemList problems = {0};
	ProblemKind kind = check_extensions(extensions, settings, &problems);

	if (problems.count > 0)
		ereport(ERROR,
				(errproblem(kind), errtable_of("item"),
				 errmsg("the item does not declare the extensions that its collection asks for"),
				 errdetail_problems(&problems)));
}

/*
 * Judge a document that will be stored: refuse it, where schemas are enforced, or
 * answer what is to be affixed to its item, or NULL.
 */
Jsonb *
judge_document(const Jsonb *document, const CollectionSettings *settings)
{
	bool		enforce = settings->schema_mode == SCHEMAS_ENFORCE;
	ProblemList problems = {0};
	Review		review = {.document = document,.problems = enforce ? &problems : NULL,.affixes = true};

	if (settings->schema_mode == SCHEMAS_OFF)
		return NULL;
	review_document(&review);
	if (enforce)
	{
		require_expected_extensions(review.extensions, settings);
		report_problems(&problems, "item", "document is not what the schemas that it declares ask");
	}
	return affixed(&review);
}

/* Only problems with links that were appended to those of an old document are to be noted. */
static void
ask_for_appended_links(ProblemList *problems, const Jsonb *old)
{
	const JsonbContainer *links = document_array(&old->root, JSON_PATH(JSON_KEY("links")));

	problems->member = "links";
	problems->first_element = links ? JsonContainerSize(links) : 0;
}

/* Judge links that were appended to those of an old document, and nothing else. */
void
judge_appended_links(const Jsonb *document, const Jsonb *old, const CollectionSettings *settings)
{
	ProblemList problems = {0};
	Review		review = {.document = document,.problems = &problems};

	if (settings->schema_mode != SCHEMAS_ENFORCE)
		return;
	ask_for_appended_links(&problems, old);
	review_document(&review);
	report_problems(&problems, "item", "new links are not what the schemas that their item declares ask");
}

/*
 * Note all that is wrong with what a document declares, and with what it is by
 * that: by what is affixed to it, or, where that is NULL, by what is in force.
 */
void
list_document_problems(const Jsonb *document, const Jsonb *affixed, const CollectionSettings *settings, ProblemList *problems)
{
	ProblemList violations = {0};
	Review		review = {.document = document,.problems = &violations,.affixed = affixed};

	review_document(&review);
	check_extensions(review.extensions, settings, problems);
	problems->shown = list_concat(problems->shown, violations.shown);
	problems->count += violations.count;
}

/*
 * What would have been refused of a part of a document, if schemas were enforced;
 * NULL: nothing. Of all of it, by the revisions that are affixed to it: others may
 * have come into force since.
 */
Jsonb *
schema_warnings(JudgedPart part, const Jsonb *document, const Jsonb *old, const Jsonb *affixed, const CollectionSettings *settings)
{
	JsonbParseState *state = NULL;
	ProblemList problems = {0};
	Review		review = {.document = document,.problems = &problems};

	if (settings->schema_mode != SCHEMAS_WARN || part == JUDGED_NOTHING)
		return NULL;
	if (part == JUDGED_ALL)
		list_document_problems(document, affixed, settings, &problems);
	else
	{
		ask_for_appended_links(&problems, old);
		review_document(&review);
	}
	if (problems.shown == NIL)
		return NULL;
	return JsonbValueToJsonb(push_problems(&state, problems.shown, true));
}
