/*
 * json/text_size.h
 *		How many bytes a document has as text, as the server prints it, without
 *		printing it: 1e131071 is eight bytes of jsonb, and 131,072 of text.
 *
 * Sizes are counted up to "max": beyond it, any number above is the answer.
 */
#ifndef ESGF_STAC_JSON_TEXT_SIZE_H
#define ESGF_STAC_JSON_TEXT_SIZE_H

#include "json/slice.h"

extern bool text_exceeds(const Jsonb *document, uint64 max);
extern bool value_exceeds(const JsonbValue *value, uint64 max);
extern void check_text_size(const Jsonb *document, const Jsonb *old, const char *table, uint64 max);
extern uint64 text_size(const Jsonb *document, uint64 max);
extern uint64 slice_text_size(const JsonbSlice *value, uint64 max);
extern uint64 run_text_size(JsonbCursor *children, uint32 count, uint64 max);

/* No document has so much text. */
#define MAX_TEXT (PG_UINT64_MAX / 2)

/* What the server prints around and between children. */
#define BRACKETS_SIZE 2
#define SEPARATOR_SIZE 2

#endif							/* ESGF_STAC_JSON_TEXT_SIZE_H */
