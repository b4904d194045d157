/*
 * item/collection.h
 *		Collections, as their items need them: there, and to stay.
 */
#ifndef ESGF_STAC_ITEM_COLLECTION_H
#define ESGF_STAC_ITEM_COLLECTION_H

#include "base/compat.h"

pg_noreturn extern void collection_missing(const char *id, int len);
extern void lock_collection(const char *id, int len);

#endif							/* ESGF_STAC_ITEM_COLLECTION_H */
