/*
 * stac/item.h
 *		Is this document a STAC item, or a STAC collection?  Pure functions over
 *		jsonb: no tables, no SPI.  What they ask is written in doc/validation.md.
 */
#ifndef ESGF_STAC_STAC_ITEM_H
#define ESGF_STAC_STAC_ITEM_H

#include "utils/jsonb.h"

#include "base/problems.h"

extern void check_stac_item(JsonbContainer *document, ProblemList *problems);
extern void check_stac_collection(JsonbContainer *document, ProblemList *problems);

#endif							/* ESGF_STAC_STAC_ITEM_H */
