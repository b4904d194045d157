/*
 * change/completeness.h
 *		Does a change leave replicas whole, and of the content that they are of?
 */
#ifndef ESGF_STAC_CHANGE_COMPLETENESS_H
#define ESGF_STAC_CHANGE_COMPLETENESS_H

#include "change/compare.h"

extern void check_replicas(const Jsonb *old, const Jsonb *new, const Change *change, bool complete);
extern void check_replica_content(const Jsonb *document, const Change *change);

#endif							/* ESGF_STAC_CHANGE_COMPLETENESS_H */
