/*
 * item/settings.c
 *		The settings of collections that each backend keeps: see item/settings.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/statement.h"
#include "base/table_cache.h"
#include "item/collection.h"
#include "item/settings.h"
#include "stac/format.h"

/* The settings of so many collections are kept at most. */
#define SETTINGS_KEPT	1000

typedef struct CachedSettings
{
	char		id[ID_MAX_LENGTH + 1];	/* hash key */
	CollectionSettings settings;
} CachedSettings;

/* Make room for the settings of collections, which are read one by one. */
static void *
make_settings_table(void)
{
	HASHCTL		control = {.keysize = ID_MAX_LENGTH + 1,.entrysize = sizeof(CachedSettings),.hcxt = CurrentMemoryContext};

	return hash_create("esgf_stac collection settings", 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static TableCache settings_cache = {"collection", make_settings_table};

static SchemaMode
read_mode(const char *mode)
{
	return strcmp(mode, "enforce") == 0 ? SCHEMAS_ENFORCE : strcmp(mode, "warn") == 0 ? SCHEMAS_WARN : SCHEMAS_OFF;
}

/* A copy in a memory context; of NULL it is NULL. */
static Jsonb *
copy_jsonb(const Jsonb *jsonb, MemoryContext context)
{
	return jsonb ? memcpy(MemoryContextAlloc(context, VARSIZE(jsonb)), jsonb, VARSIZE(jsonb)) : NULL;
}

/* Read a collection's settings as they are committed now; false = no such. */
static bool
read_settings(const char *id, int len, CollectionSettings *settings)
{
	static Statement statement = {
		"SELECT require_version, complete_replicas, stamp_times, null_members, institution_path, max_document_bytes,"
		" institution_generation, schema_mode, unknown_schemas, schemas"
		" FROM esgf_stac.collection WHERE id OPERATOR(pg_catalog.=) $1 AND NOT deleted",
		1, {TEXTOID}
	};
	Datum		value = PointerGetDatum(cstring_to_text_with_len(id, len));
	MemoryContext caller = CurrentMemoryContext;
	Datum		schemas;
	bool		found;
	bool		isnull;

	SPI_connect();
	found = read_latest_as_owner(&statement, &value, NULL) == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		settings->require_version = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
		settings->complete_replicas = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
		settings->stamp_times = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
		settings->ignore_null_members = strcmp(SPI_getvalue(row, desc, 4), "ignore") == 0;
		settings->institution_path = MemoryContextStrdup(caller, SPI_getvalue(row, desc, 5));
		settings->max_document_bytes = DatumGetInt32(SPI_getbinval(row, desc, 6, &isnull));
		settings->institution_generation = DatumGetInt32(SPI_getbinval(row, desc, 7, &isnull));
		settings->schema_mode = read_mode(SPI_getvalue(row, desc, 8));
		settings->refuse_unknown_schemas = strcmp(SPI_getvalue(row, desc, 9), "refuse") == 0;
		schemas = SPI_getbinval(row, desc, 10, &isnull);
		settings->schemas = isnull ? NULL : copy_jsonb(DatumGetJsonbP(schemas), caller);
	}
	SPI_finish();
	return found;
}

/* Settings whose parts lie in a memory context. */
static CollectionSettings
copy_settings(const CollectionSettings *settings, MemoryContext context)
{
	CollectionSettings copy = *settings;

	copy.institution_path = MemoryContextStrdup(context, settings->institution_path);
	copy.schemas = copy_jsonb(settings->schemas, context);
	return copy;
}

/* Find the settings of a collection; the answer is the caller's to keep. */
bool
find_collection_settings(const char *id, int len, CollectionSettings *settings)
{
	char		key[ID_MAX_LENGTH + 1];
	HTAB	   *known;
	uint64		changes;
	CachedSettings *cached;
	bool		found;

	if (len > ID_MAX_LENGTH || len == 0)
		return false;
	memcpy(key, id, len);
	key[len] = '\0';

	known = cached_rows(&settings_cache);
	changes = settings_cache.changes;
	cached = hash_search(known, key, HASH_FIND, NULL);
	if (cached == NULL)
	{
		CollectionSettings kept;

		if (!read_settings(id, len, settings))
			return false;
		/* An invalidation during the read wins: then nothing is kept. */
		if (settings_cache.changes != changes)
			return true;
		if (hash_get_num_entries(known) >= SETTINGS_KEPT)
		{
			forget_rows(&settings_cache);
			return true;
		}
		kept = copy_settings(settings, settings_cache.context);
		cached = hash_search(known, key, HASH_ENTER, &found);
		cached->settings = kept;
	}
	*settings = copy_settings(&cached->settings, CurrentMemoryContext);
	return true;
}

/* The settings of a collection, or 404. */
void
get_collection_settings(const char *id, int len, CollectionSettings *settings)
{
	if (!find_collection_settings(id, len, settings))
		collection_missing(id, len);
}
