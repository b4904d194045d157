/*
 * item/settings.h
 *		The settings of a collection, which its items obey.
 */
#ifndef ESGF_STAC_ITEM_SETTINGS_H
#define ESGF_STAC_ITEM_SETTINGS_H

#include "utils/jsonb.h"

/* What is done with items that are not as their schemas ask. */
typedef enum SchemaMode
{
	SCHEMAS_OFF, SCHEMAS_WARN, SCHEMAS_ENFORCE
} SchemaMode;

typedef struct CollectionSettings
{
	bool		require_version;
	bool		complete_replicas;
	bool		stamp_times;
	bool		ignore_null_members;
	int			max_document_bytes;
	char	   *institution_path;
	int			institution_generation; /* how often that has changed */
	SchemaMode	schema_mode;
	bool		refuse_unknown_schemas;
	Jsonb	   *schemas;		/* expectations: item/extensions.h; NULL: none */
} CollectionSettings;

extern bool find_collection_settings(const char *id, int len, CollectionSettings *settings);
extern void get_collection_settings(const char *id, int len, CollectionSettings *settings);

#endif							/* ESGF_STAC_ITEM_SETTINGS_H */
