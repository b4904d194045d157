/*
 * limits.h
 *		Bounds on what a caller sends: doc/limits.md tells of all of them. None
 *		keeps anybody from retracting, deleting or removing, whatever is stored.
 */
#ifndef ESGF_STAC_LIMITS_H
#define ESGF_STAC_LIMITS_H

#include "postgres.h"

/* Bytes of a name: of an item, a collection, a data node, a request, a principal, a batch. */
#define NAME_MAX_LENGTH 255
#define TOO_LONG_A_NAME "must not be longer than 255 bytes"

/* Bytes of the reason of a change. */
#define REASON_MAX_LENGTH 4000

/* Data nodes, and institutions, that one change brings; principals of one identity. */
#define NAMES_MAX 1000

extern void check_length(const char *member, const text *value, int max);

#endif							/* ESGF_STAC_LIMITS_H */
