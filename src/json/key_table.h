/*
 * json/key_table.h
 *		A hash table of strings that a caller sent, which are not copied. Its
 *		seed is each backend's own, so that nobody can prepare strings that
 *		collide.
 */
#ifndef ESGF_STAC_JSON_KEY_TABLE_H
#define ESGF_STAC_JSON_KEY_TABLE_H

#include "json/edit.h"

typedef struct KeyEntry
{
	JsonKey		key;
	uint32		count;			/* whoever made the table counts here; 0 at
								 * first */
	uint32		hash;
	char		status;
} KeyEntry;

#define SH_PREFIX key_table
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE JsonKey
#define SH_SCOPE extern
#define SH_DECLARE
#include "lib/simplehash.h"

typedef key_table_hash KeyTable;

extern KeyTable *make_key_table(void);
extern KeyEntry *enter_entry(KeyTable *table, JsonKey key, bool *found);
extern uint64 seeded_hash(const char *data, int len);
extern uint64 hash_seed(void);

/* The entry of a key, or NULL. */
static inline KeyEntry *
find_entry(KeyTable *table, JsonKey key)
{
	return key_table_lookup(table, key);
}

#endif							/* ESGF_STAC_JSON_KEY_TABLE_H */
