/*
 * json/edit.h
 *		What the other nouns ask of documents. All of it is pure: no tables,
 *		no SPI; results are palloc'd and may share memory with the arguments.
 */
#ifndef ESGF_STAC_JSON_EDIT_H
#define ESGF_STAC_JSON_EDIT_H

#include "utils/jsonb.h"

#include "base/compat.h"
#include "json/slice.h"

/* A path of literal keys, for the last two arguments of document_...(). */
#define JSON_KEY(literal)	{(literal), sizeof(literal) - 1}
#define JSON_PATH(...) \
	lengthof(((JsonKey[]) {__VA_ARGS__})), (JsonKey[]) {__VA_ARGS__}

/* RFC 7396, and RFC 6902 from two documents. The first may return an argument itself. */
extern Jsonb *merge_patch(Jsonb *target, Jsonb *patch);
extern Jsonb *json_diff(const Jsonb *source, const Jsonb *target);

/* A document without the members that are null, at any depth; itself, if there are none. */
extern Jsonb *without_null_members(Jsonb *document);

/* RFC 6901: the value points into the document; false if nothing is there. */
extern bool json_pointer_get(const Jsonb *document, const char *pointer, int len,
							 JsonbValue *value);

/* Are two documents, or values, equal as jsonb's "=" has it? By bytes first. */
extern bool documents_equal(const Jsonb *a, const Jsonb *b);
extern bool values_equal(const JsonbValue *a, const JsonbValue *b);

/*
 * The value at a path of object members; false if it is absent. It points into
 * the container.
 */
extern bool document_slice(const JsonbContainer *container, JsonbSlice *slice,
						   int depth, const JsonKey *path);
extern bool document_get(const JsonbContainer *container, JsonbValue *value,
						 int depth, const JsonKey *path);

/* The object, or the array, at a path; NULL where there is none. */
extern const JsonbContainer *document_object(const JsonbContainer *container, int depth, const JsonKey *path);
extern const JsonbContainer *document_array(const JsonbContainer *container, int depth, const JsonKey *path);

/*
 * Several changes of one document, written at once, with all else copied as
 * bytes:
 *
 *		DocumentEdit *edit = document_edit(document);
 *		document_set(edit, &value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("latest")));
 *		document_remove(edit, JSON_PATH(JSON_KEY("links")));
 *		document = document_finish(edit);
 *
 * Keys and values must live until then. document_set() makes objects that are
 * missing on the way; it returns false, and changes nothing, where something
 * else is in the way. document_remove() returns whether there was something to
 * remove. The result is the document itself if nothing was changed; setting
 * what is there already, byte by byte, is no change. document_has() tells
 * whether a value other than null stands at a path.
 */
typedef struct JsonTree DocumentEdit;

extern DocumentEdit *document_edit(Jsonb *document);
extern bool document_has(const DocumentEdit *edit, int depth, const JsonKey *path);
extern bool document_set(DocumentEdit *edit, const JsonbValue *value,
						 int depth, const JsonKey *path);
extern bool document_remove(DocumentEdit *edit, int depth, const JsonKey *path);
extern Jsonb *document_finish(DocumentEdit *edit);

#endif							/* ESGF_STAC_JSON_EDIT_H */
