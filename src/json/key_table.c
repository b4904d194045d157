/*
 * json/key_table.c
 *		Strings that a caller sent, each once: see json/key_table.h.
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "json/key_table.h"

#define SH_PREFIX key_table
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE JsonKey
#define SH_KEY key
#define SH_HASH_KEY(table, k) ((uint32) seeded_hash((k).data, (k).len))
#define SH_EQUAL(table, a, b) ((a).len == (b).len && memcmp((a).data, (b).data, (a).len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE extern
#define SH_DEFINE
#include "lib/simplehash.h"

/* What this backend mixes into its hashes. */
uint64
hash_seed(void)
{
	static uint64 seed = 0;

	while (seed == 0)
		if (!pg_strong_random(&seed, sizeof(seed)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
	return seed;
}

/* Hash bytes so that no caller can tell the result. */
uint64
seeded_hash(const char *data, int len)
{
	return hash_bytes_extended((const unsigned char *) data, len, hash_seed());
}

/* An empty table in the current memory context. */
KeyTable *
make_key_table(void)
{
	return key_table_create(CurrentMemoryContext, 16, NULL);
}

/* The entry of a key, made where there is none yet. */
KeyEntry *
enter_entry(KeyTable *table, JsonKey key, bool *found)
{
	KeyEntry   *entry = key_table_insert(table, key, found);

	if (!*found)
		entry->count = 0;
	return entry;
}
