/*
 * base/limits.h
 *		Bounds on what a caller sends: doc/limits.md tells of all of them. None
 *		keeps anybody from retracting, deleting or removing, whatever is stored.
 */
#ifndef ESGF_STAC_BASE_LIMITS_H
#define ESGF_STAC_BASE_LIMITS_H

#include "base/compat.h"

/* Bytes of a name: of an item, a collection, a data node, a request, a principal, a batch. */
#define NAME_MAX_LENGTH 255
#define TOO_LONG_A_NAME "must not be longer than 255 bytes"

/* Bytes of the reason of a change. */
#define REASON_MAX_LENGTH 4000

/* Bytes of the text of an identity's publisher: it stands on every event. */
#define PUBLISHER_MAX 4000

/* Data nodes, and institutions, that one change brings; principals of one identity. */
#define NAMES_MAX 1000

/* Bytes of the text of a collection's own document; of its items' it has a setting. */
#define COLLECTION_DOCUMENT_MAX 268435456

/* Bytes of the text of a request with an idempotency key. */
#define REQUEST_MAX 268435456

pg_noreturn extern void document_too_large(const char *table, uint64 max);
extern void check_length(const char *member, const text *value, int max);

#endif							/* ESGF_STAC_BASE_LIMITS_H */
