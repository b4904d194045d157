/*
 * registry/rows.c
 *		Reads the table schema row by row, and keeps what it was asked until the
 *		table changes: see registry/rows.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/table_cache.h"
#include "json/key_table.h"
#include "registry/rows.h"

/* So many answers are kept at most. */
#define ROWS_KEPT 1000

/* What is asked for, beside a number: the document with that "$id". */
#define BY_ID (-1)

typedef struct RowTable
{
	KeyTable   *keys;			/* of what was asked: places in "rows", from 1 */
	int			count;
	SchemaRow	rows[ROWS_KEPT];
} RowTable;

static void *
make_row_table(void)
{
	RowTable   *table = palloc(sizeof(RowTable));

	table->keys = make_key_table();
	table->count = 0;
	return table;
}

static TableCache row_cache = {"schema", make_row_table};

/* How often the table has changed, as far as this backend has heard. */
uint64
rows_as_of(void)
{
	cached_rows(&row_cache);
	return row_cache.changes;
}

/* Do two rows say the same, wherever they were read? */
bool
same_row(const SchemaRow *a, const SchemaRow *b)
{
	if (a->number != b->number)
		return false;
	return a->number == 0 ||
		(keys_equal(a->url, b->url) && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0 &&
		 a->assert_formats == b->assert_formats &&
		 (a->cv_version == NULL) == (b->cv_version == NULL) &&
		 (a->cv_version == NULL || strcmp(a->cv_version, b->cv_version) == 0));
}

#define ROW_COLUMNS "s.revision, s.sha256, s.cv_version, s.assert_formats, s.url"
#define IS_URL "s.url OPERATOR(pg_catalog.=) $1"

/* The row that a statement finds, in a memory context; what finds two finds none. */
static SchemaRow
read_row(Statement *statement, JsonKey url, int number, MemoryContext context)
{
	SchemaRow	row = {0};
	Datum		values[2];

	SPI_connect();
	values[0] = PointerGetDatum(cstring_to_text_with_len(url.data, url.len));
	values[1] = Int32GetDatum(number);
	if (read_latest_as_owner(statement, values, NULL) == 1)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		char	   *cv_version = SPI_getvalue(tuple, desc, 3);
		bytea	   *sha256 = DatumGetByteaPP(SPI_getbinval(tuple, desc, 2, &isnull));

		row.number = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		memcpy(row.sha256, VARDATA_ANY(sha256), Min(sizeof(row.sha256), VARSIZE_ANY_EXHDR(sha256)));
		row.cv_version = cv_version ? MemoryContextStrdup(context, cv_version) : NULL;
		row.assert_formats = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
		row.url.data = MemoryContextStrdup(context, SPI_getvalue(tuple, desc, 5));
		row.url.len = strlen(row.url.data);
	}
	SPI_finish();
	return row;
}

/* Read the row of a revision, of the one that is registered, or of the document with an "$id". */
static SchemaRow
read_asked(JsonKey url, int number, MemoryContext context)
{
	static Statement registered = {
		"SELECT " ROW_COLUMNS " FROM esgf_stac.schema AS s WHERE " IS_URL " AND s.retired IS NULL ORDER BY s.revision DESC LIMIT 1",
		1, {TEXTOID}
	};
	static Statement numbered = {
		"SELECT " ROW_COLUMNS " FROM esgf_stac.schema AS s WHERE " IS_URL " AND s.revision OPERATOR(pg_catalog.=) $2",
		2, {TEXTOID, INT4OID}
	};
	static Statement by_id = {
		"SELECT " ROW_COLUMNS " FROM esgf_stac.schema AS s"
		" WHERE pg_catalog.rtrim(s.document OPERATOR(pg_catalog.->>) '$id', '#') OPERATOR(pg_catalog.=) $1 AND s.retired IS NULL"
		" AND NOT EXISTS (SELECT FROM esgf_stac.schema AS n WHERE n.url OPERATOR(pg_catalog.=) s.url"
		" AND n.revision OPERATOR(pg_catalog.>) s.revision AND n.retired IS NULL) LIMIT 2",
		1, {TEXTOID}
	};

	return read_row(number == BY_ID ? &by_id : number == REGISTERED ? &registered : &numbered, url, number, context);
}

/*
 * The row that is asked for, read now or earlier. What it points to is good until
 * another one is asked for.
 */
static SchemaRow
ask(JsonKey url, int number)
{
	char		key[SCHEMA_URL_MAX + 16];
	int			len = snprintf(key, sizeof(key), "%d ", number);
	RowTable   *table = cached_rows(&row_cache);
	uint64		changes = row_cache.changes;
	KeyEntry   *entry;
	SchemaRow	row;
	bool		found;

	if (url.len > SCHEMA_URL_MAX)
		return (SchemaRow) {0};
	memcpy(key + len, url.data, url.len);
	len += url.len;
	entry = find_entry(table->keys, (JsonKey) {key, len});
	if (entry)
		return table->rows[entry->count - 1];

	/* An invalidation during the read wins: then nothing is kept. */
	row = read_asked(url, number, row_cache.context);
	if (row_cache.changes != changes)
		return row;
	if (table->count == ROWS_KEPT)
	{
		forget_rows(&row_cache);
		return row;
	}
	entry = enter_entry(table->keys, (JsonKey) {MemoryContextStrdup(row_cache.context, pnstrdup(key, len)), len}, &found);
	table->rows[table->count++] = row;
	entry->count = table->count;
	return row;
}

/* The row of a revision, or, for REGISTERED, of the one that is meant by a URL. */
SchemaRow
find_row(JsonKey url, int number)
{
	return ask(url, number);
}

/* The row that a reference means: of a registered URL, else of just one document with this "$id". */
SchemaRow
find_referred(JsonKey url)
{
	SchemaRow	row = ask(url, REGISTERED);

	return row.number > 0 ? row : ask(url, BY_ID);
}

/* The document of a row, in the current memory context. */
Jsonb *
read_schema_document(const SchemaRow *row)
{
	static Statement statement = {
		"SELECT s.document FROM esgf_stac.schema AS s WHERE " IS_URL " AND s.revision OPERATOR(pg_catalog.=) $2",
		2, {TEXTOID, INT4OID}
	};
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[2];
	Jsonb	   *document;
	bool		isnull;

	SPI_connect();
	values[0] = PointerGetDatum(cstring_to_text_with_len(row->url.data, row->url.len));
	values[1] = Int32GetDatum(row->number);
	if (read_latest_as_owner(&statement, values, NULL) != 1)
		elog(ERROR, "revision %d of schema \"%.*s\" is gone", row->number, row->url.len, row->url.data);
	MemoryContextSwitchTo(caller);
	document = (Jsonb *) PG_DETOAST_DATUM_COPY(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return document;
}
