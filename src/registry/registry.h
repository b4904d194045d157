/*
 * registry/registry.h
 *		Which schema is in force at that URL, and of which revision?
 *
 * in force		the newest revision of a URL that is not retired, once all that it
 *				refers to is there.
 * drawn		what a revision draws on by reference, be it by way of others: the
 *				revisions that are in force at the URLs that are meant.
 *
 * Revisions are compiled when they are asked for, and kept by the backend until
 * they, or what they draw on, are others. An answer is good until another one is
 * asked for: of two schemas that judge one document, one is asked for when the
 * other has judged.
 */
#ifndef ESGF_STAC_REGISTRY_REGISTRY_H
#define ESGF_STAC_REGISTRY_REGISTRY_H

#include "registry/rows.h"
#include "schema/schema.h"

typedef struct Revision
{
	const char *url;
	int			number;
	const uint8 *sha256;		/* of the document's text, 32 bytes */
	const char *cv_version;		/* NULL: none */
	Schema	   *schema;			/* NULL in one that is drawn */
	int			drawn_count;
	struct Revision *drawn;		/* in the order in which they were met */
} Revision;

extern const Revision *find_revision(const char *url, int len, int number);
extern const Revision *require_revision(const char *url, int len, int number);
pg_noreturn extern void schema_missing(JsonKey url, int number);
extern const UnmetReference *check_revision(const char *url, int len, int number);
extern const UnmetReference *unmet_references(const char *url, int len);

#endif							/* ESGF_STAC_REGISTRY_REGISTRY_H */
