/*
 * json/json_patch.h
 *		RFC 6902, JSON patch: read, and so judged, once, and then applied.
 */
#ifndef ESGF_STAC_JSON_JSON_PATCH_H
#define ESGF_STAC_JSON_JSON_PATCH_H

#include "json/edit.h"
#include "json/slice.h"

typedef enum OperationKind
{
	OP_ADD,
	OP_REMOVE,
	OP_REPLACE,
	OP_MOVE,
	OP_COPY,
	OP_TEST,
	OP_NOTHING					/* an operation that its reader has taken out */
} OperationKind;

/* One operation; the members, or their absence, as they stand in the patch. */
typedef struct Operation
{
	uint32		index;
	OperationKind kind;
	JsonbSlice	op;
	JsonbSlice	path;
	JsonbSlice	from;
	JsonbSlice	value;
	const struct JsonPatch *patch;
} Operation;

typedef struct JsonPatch
{
	const char *table;			/* that the document is of, or NULL */
	const char *from_alias;		/* another name of the member "from", or NULL */
	uint32		count;
	Operation  *operations;		/* all of proper form; they point into the
								 * patch */
} JsonPatch;

/*
 * Reads a patch, or refuses it for its form; the table is the one that a refusal
 * names, NULL for a document of none; the alias another name that "from" may have,
 * or NULL.
 */
extern JsonPatch *read_json_patch(const Jsonb *operations, const char *table, const char *from_alias);

/*
 * What a patch makes of a document, perhaps the target itself. The hook, or NULL,
 * may prepare the document, as far as it has been patched, for each value that is
 * added at a path.
 */
typedef void (*AddHook) (DocumentEdit *edit, const char *path, int len);
extern Jsonb *json_patch(Jsonb *target, const JsonPatch *patch, AddHook before_add, uint64 max_text);

#endif							/* ESGF_STAC_JSON_JSON_PATCH_H */
