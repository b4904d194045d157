/*
 * item/settings.h
 *		The settings of a collection, which its items obey.
 */
#ifndef ESGF_STAC_ITEM_SETTINGS_H
#define ESGF_STAC_ITEM_SETTINGS_H

typedef struct CollectionSettings
{
	bool		require_version;
	bool		complete_replicas;
	bool		stamp_times;
	bool		ignore_null_members;
	int			max_document_bytes;
	char	   *institution_path;
	int			institution_generation; /* how often that has changed */
} CollectionSettings;

extern bool find_collection_settings(const char *id, int len, CollectionSettings *settings);
extern void get_collection_settings(const char *id, int len, CollectionSettings *settings);

#endif							/* ESGF_STAC_ITEM_SETTINGS_H */
