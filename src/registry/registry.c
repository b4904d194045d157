/*
 * registry/registry.c
 *		Compiles what is registered, and keeps it: see registry/registry.h.
 *
 * What is kept of a URL is one revision that was in force, and one that was asked
 * for by its number. Each knows how the references out of its document were
 * answered: as long as they would be answered so again, it is as it would be
 * compiled now, whatever else has changed in the table.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/catalogue.h"
#include "base/errors.h"
#include "json/key_table.h"
#include "registry/registry.h"
#include "schema/reference.h"

/* Bytes that all kept revisions may take before they are let go. */
#define KEPT_MAX (128 * 1024 * 1024)

/* How a reference out of a document was answered. */
typedef struct Answer
{
	JsonKey		url;			/* that was asked for */
	SchemaRow	row;
} Answer;

typedef struct Kept
{
	MemoryContext context;
	SchemaRow	row;
	List	   *answers;
	Revision	revision;
	uint64		as_of;			/* the answers held when the table had changed
								 * so often */
} Kept;

/* What is kept of a URL; NULL: nothing yet. */
typedef struct KeptUrl
{
	JsonKey		url;
	Kept	   *in_force;
	Kept	   *numbered;
	uint32		hash;
	char		status;
} KeptUrl;

#define SH_PREFIX kept_table
#define SH_ELEMENT_TYPE KeptUrl
#define SH_KEY_TYPE JsonKey
#define SH_KEY url
#define SH_HASH_KEY(table, key) ((uint32) seeded_hash((key).data, (key).len))
#define SH_EQUAL(table, a, b) keys_equal((a), (b))
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* All that is kept, and its memory. */
static kept_table_hash *kept_urls = NULL;
static MemoryContext kept_context = NULL;

/* ---- compiling ---- */

/* While a revision is compiled: what it has asked for. */
typedef struct Drawing
{
	Kept	   *kept;
	KeyTable   *met;			/* URLs of the documents */
	List	   *drawn;			/* of SchemaRow */
} Drawing;

/* A row in the current memory context. */
static SchemaRow
copy_row(const SchemaRow *row)
{
	SchemaRow	copy = *row;

	if (row->number > 0)
		copy.url.data = pnstrdup(row->url.data, row->url.len);
	if (row->cv_version)
		copy.cv_version = pstrdup(row->cv_version);
	return copy;
}

/* The document that a reference means: SchemaLookup. */
static bool
look_up(void *keeper, JsonKey url, SchemaSource *found)
{
	Drawing    *drawing = keeper;
	Answer	   *answer = palloc(sizeof(Answer));
	SchemaRow	row = find_referred(url);
	bool		met;

	answer->url = (JsonKey) {pnstrdup(url.data, url.len), url.len};
	answer->row = copy_row(&row);
	drawing->kept->answers = lappend(drawing->kept->answers, answer);
	if (answer->row.number == 0)
		return false;
	found->url = answer->row.url;
	found->assert_formats = answer->row.assert_formats;
	found->document = NULL;
	enter_entry(drawing->met, found->url, &met);
	if (met)
		return true;
	drawing->drawn = lappend(drawing->drawn, &answer->row);
	found->document = read_schema_document(&answer->row);
	return true;
}

/* What others see of a row. */
static Revision
revision_of(const SchemaRow *row)
{
	return (Revision) {.url = row->url.data,.number = row->number,.sha256 = row->sha256,.cv_version = row->cv_version};
}

/*
 * Compile the revision of a row, in a memory context that is a child of the
 * current one; "as_of" was true before the row was read.
 */
static Kept *
compile_row(const SchemaRow *row, uint64 as_of)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac revision", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Kept	   *kept = palloc0(sizeof(Kept));
	Drawing		drawing = {kept, make_key_table()};
	SchemaSource source;
	bool		met;
	ListCell   *cell;

	kept->context = context;
	kept->row = copy_row(row);
	kept->as_of = as_of;
	kept->revision = revision_of(&kept->row);
	enter_entry(drawing.met, kept->row.url, &met);

	MemoryContextSwitchTo(old);
	source.url = kept->row.url;
	source.assert_formats = kept->row.assert_formats;
	source.document = read_schema_document(&kept->row);
	kept->revision.schema = compile_schema(&source, context, look_up, &drawing);
	pfree(unconstify(Jsonb *, source.document));

	MemoryContextSwitchTo(context);
	kept->revision.drawn = palloc(sizeof(Revision) * Max(1, list_length(drawing.drawn)));
	foreach(cell, drawing.drawn)
		kept->revision.drawn[kept->revision.drawn_count++] = revision_of(lfirst(cell));
	MemoryContextSwitchTo(old);
	return kept;
}

/* ---- what is kept ---- */

/* Would the references of what is kept be answered now as they were? */
static bool
holds(Kept *kept, uint64 as_of)
{
	ListCell   *cell;

	foreach(cell, kept->answers)
	{
		Answer	   *answer = lfirst(cell);
		SchemaRow	row = find_referred(answer->url);

		CHECK_FOR_INTERRUPTS();
		if (!same_row(&answer->row, &row))
			return false;
	}
	kept->as_of = as_of;
	return true;
}

/* Make room for what is to be kept. */
static void
make_room(void)
{
	if (kept_context && MemoryContextMemAllocated(kept_context, true) > KEPT_MAX)
	{
		MemoryContext full = kept_context;

		kept_context = NULL;
		kept_urls = NULL;
		MemoryContextDelete(full);
	}
	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(CacheMemoryContext, "esgf_stac registry", ALLOCSET_DEFAULT_SIZES);
	if (kept_urls == NULL)
		kept_urls = kept_table_create(kept_context, 16, NULL);
}

/* The place for what is kept of a URL. */
static KeptUrl *
enter_url(JsonKey url)
{
	KeptUrl    *entry = kept_table_lookup(kept_urls, url);
	bool		found;

	if (entry)
		return entry;
	entry = kept_table_insert(kept_urls, (JsonKey) {MemoryContextStrdup(kept_context, url.data), url.len}, &found);
	entry->in_force = entry->numbered = NULL;
	return entry;
}

/* Compile the revision of a row and keep it; an error on the way leaves all as it was. */
static Kept *
keep(const SchemaRow *row, uint64 as_of, bool in_force)
{
	Kept	   *kept = compile_row(row, as_of);
	KeptUrl    *entry;
	Kept	  **place;

	make_room();
	entry = enter_url(kept->row.url);
	place = in_force ? &entry->in_force : &entry->numbered;
	if (*place)
		MemoryContextDelete((*place)->context);
	MemoryContextSetParent(kept->context, kept_context);
	*place = kept;
	return kept;
}

/* The registered revision of a URL, or, unless that is REGISTERED, the one of a number; NULL: there is none. */
static Kept *
find_kept(JsonKey url, int number)
{
	KeptUrl    *entry;
	Kept	   *kept;
	SchemaRow	row;
	uint64		as_of;

	require_catalogue();
	as_of = rows_as_of();
	url = without_fragment(url).len == url.len - 1 ? without_fragment(url) : url;
	entry = kept_urls ? kept_table_lookup(kept_urls, url) : NULL;
	kept = entry == NULL ? NULL :
		number == REGISTERED || (entry->in_force && entry->in_force->as_of == as_of && entry->in_force->row.number == number) ?
		entry->in_force : entry->numbered;
	if (kept && kept->as_of == as_of && (number == REGISTERED || kept->row.number == number))
		return kept;
	row = find_row(url, number);
	if (row.number == 0)
		return NULL;
	if (kept && same_row(&kept->row, &row) && holds(kept, as_of))
		return kept;
	/* What was read for the answers may have taken the place of the row. */
	row = find_row(url, number);
	if (row.number == 0)
		return NULL;
	return keep(&row, as_of, number == REGISTERED);
}

/* The revision of a number, retired or not, or, for REGISTERED, the one in force; NULL: there is none that judges. */
const Revision *
find_revision(const char *url, int len, int number)
{
	Kept	   *kept = find_kept((JsonKey) {url, len}, number);

	return kept && kept->revision.schema->unmet == NULL ? &kept->revision : NULL;
}

/* Refuse to judge by a revision while something that it refers to is not there. */
pg_noreturn static void
refuse_unmet(const Revision *revision)
{
	ProblemList problems = {0};

	for (const UnmetReference *unmet = revision->schema->unmet; unmet; unmet = unmet->next)
	{
		bool		own = strcmp(unmet->holder, revision->url) == 0;
		char	   *place = own ? "" : psprintf(" in %s", unmet->holder);

		add_pointed_problem(&problems, own ? unmet->pointer : "",
							psprintf("\"$ref\"%s leads nowhere: %s %s", place, unmet->url,
									 unmet->there ? "is not there" : "is not registered"));
	}
	ereport(ERROR,
			(errproblem(PROBLEM_BAD_SCHEMA), errtable_of("schema"),
			 errsentence("revision %d of schema \"%s\" refers to what is not there", revision->number,
						 clip(revision->url, strlen(revision->url))),
			 errdetail_problems(&problems),
			 errhint("An administrator registers what is missing with esgf_stac.add_schema().")));
}

/* Refuse a revision that is not there. */
void
schema_missing(JsonKey url, int number)
{
	ereport(ERROR,
			(errproblem(PROBLEM_SCHEMA_DOES_NOT_EXIST), errtable_of("schema"),
			 number == REGISTERED ? errsentence("no schema is in force at \"%s\"", clip(url.data, url.len)) :
			 errsentence("schema \"%s\" has no revision %d", clip(url.data, url.len), number)));
}

/* The same, or 404; what refers to what is not there is refused. */
const Revision *
require_revision(const char *url, int len, int number)
{
	Kept	   *kept = find_kept((JsonKey) {url, len}, number);

	if (kept && kept->revision.schema->unmet == NULL)
		return &kept->revision;
	if (kept)
		refuse_unmet(&kept->revision);
	schema_missing((JsonKey) {url, len}, number);
}

/*
 * Refuse a revision that is no schema, without keeping it; answers what it refers
 * to that is not there, in the current memory context.
 */
const UnmetReference *
check_revision(const char *url, int len, int number)
{
	uint64		as_of = rows_as_of();
	SchemaRow	row = find_row((JsonKey) {url, len}, number);

	return row.number > 0 ? compile_row(&row, as_of)->revision.schema->unmet : NULL;
}

/* What the registered revision of a URL refers to that is not there. */
const UnmetReference *
unmet_references(const char *url, int len)
{
	Kept	   *kept = find_kept((JsonKey) {url, len}, REGISTERED);

	return kept ? kept->revision.schema->unmet : NULL;
}
