/*
 * registry/rows.h
 *		What the table schema says, as it is committed now.
 *
 * registered	a URL that has a revision which is not retired; the newest of
 *				these is the one that is meant by the URL.
 */
#ifndef ESGF_STAC_REGISTRY_ROWS_H
#define ESGF_STAC_REGISTRY_ROWS_H

#include "common/sha2.h"
#include "json/slice.h"

/* Bytes of a URL. */
#define SCHEMA_URL_MAX 2000

/* Bytes of the text of a schema's document. */
#define SCHEMA_DOCUMENT_MAX 33554432

/* The revision that is registered, rather than one that is told by its number. */
#define REGISTERED 0

/* A row, but for its document. */
typedef struct SchemaRow
{
	JsonKey		url;
	int			number;			/* of the revision; 0: there is no row */
	uint8		sha256[PG_SHA256_DIGEST_LENGTH];
	const char *cv_version;		/* NULL: none */
	bool		assert_formats;
} SchemaRow;

extern SchemaRow find_row(JsonKey url, int number);
extern SchemaRow find_referred(JsonKey url);
extern bool same_row(const SchemaRow *a, const SchemaRow *b);
extern Jsonb *read_schema_document(const SchemaRow *row);
extern uint64 rows_as_of(void);

#endif							/* ESGF_STAC_REGISTRY_ROWS_H */
