/*
 * item/id.h
 *		What the id of an item says: "<base_id>.v<digits>", the dataset and its
 *		version. An id without that end is its own base_id.
 */
#ifndef ESGF_STAC_ITEM_ID_H
#define ESGF_STAC_ITEM_ID_H

typedef struct ParsedId
{
	const char *id;
	int			len;
	int			base_len;
	const char *version;		/* the digits, or NULL */
	int			version_len;
} ParsedId;

extern void parse_item_id(const char *id, int len, ParsedId *result);
extern int	compare_dataset_versions(const char *a, int alen, const char *b, int blen);

#endif							/* ESGF_STAC_ITEM_ID_H */
