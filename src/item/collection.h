/*
 * item/collection.h
 *		Collections: the settings that their items obey.
 */
#ifndef ESGF_STAC_ITEM_COLLECTION_H
#define ESGF_STAC_ITEM_COLLECTION_H

typedef struct CollectionSettings
{
	bool		require_version;
	bool		complete_replicas;
	bool		stamp_times;
	bool		ignore_null_members;
	int			max_document_bytes;
	char	   *institution_path;
	int			institution_generation;	/* how often that has changed */
} CollectionSettings;

extern bool find_collection_settings(const char *id, int len, CollectionSettings *settings);
extern void get_collection_settings(const char *id, int len, CollectionSettings *settings);
extern void lock_collection(const char *id, int len);

#endif							/* ESGF_STAC_ITEM_COLLECTION_H */
