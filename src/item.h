/*
 * item.h
 *		The item table.
 */
#ifndef ESGF_STAC_ITEM_H
#define ESGF_STAC_ITEM_H


/* Columns of the table, in their order. */
typedef enum ItemColumn
{
	ITEM_COLLECTION_ID = 1,
	ITEM_ID,
	ITEM_VERSION,
	ITEM_BASE_ID,
	ITEM_DATASET_VERSION,
	ITEM_LATEST,
	ITEM_RETRACTED,
	ITEM_DELETED,
	ITEM_NODES,
	ITEM_REASON,
	ITEM_DOCUMENT,
	ITEM_CREATED,
	ITEM_UPDATED
} ItemColumn;

#endif							/* ESGF_STAC_ITEM_H */
