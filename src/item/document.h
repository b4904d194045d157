/*
 * item/document.h
 *		What the database reads out of an item's document, and writes into it.
 */
#ifndef ESGF_STAC_ITEM_DOCUMENT_H
#define ESGF_STAC_ITEM_DOCUMENT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "base/problems.h"
#include "item/id.h"

/* A flag as a client may write it. */
typedef enum Flag
{
	FLAG_MISSING, FLAG_FALSE, FLAG_TRUE
} Flag;

extern Jsonb *fill_in_document(Jsonb *document, const char *collection_id, int collection_len);
extern void check_item_document(Jsonb *document, const Jsonb *old, Datum collection_id, const ParsedId *id,
								const char *institution_path, Datum *nodes);
extern Flag document_flag(const Jsonb *document, const char *name);
extern Jsonb *set_document_flags(Jsonb *document, bool latest, bool retracted);
extern TimestampTz document_time(const Jsonb *document, const char *name, TimestampTz otherwise);
extern Jsonb *stamp_document(Jsonb *document, TimestampTz created, TimestampTz updated, bool keep);
extern Jsonb *stamp_update(Jsonb *document, TimestampTz updated);
extern bool has_no_assets(const Jsonb *document);
extern Jsonb *with_assets_of(Jsonb *document, const Jsonb *other);
extern Jsonb *without_repeated_links(Jsonb *document, const Jsonb *old);
extern Jsonb *without_empty_alternates(Jsonb *document, const Jsonb *old);
extern Jsonb *keep_alternates(Jsonb *document, const Jsonb *old);
extern Jsonb *published_document(Jsonb *document);
extern Datum document_nodes(const Jsonb *document, const Jsonb *old, ProblemList *problems);
extern char *format_time(TimestampTz time);

#endif							/* ESGF_STAC_ITEM_DOCUMENT_H */
