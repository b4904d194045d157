/*
 * change/replica.h
 *		Replicas: what one data node holds of an item, all its locations
 *		together.
 */
#ifndef ESGF_STAC_CHANGE_REPLICA_H
#define ESGF_STAC_CHANGE_REPLICA_H

#include "utils/jsonb.h"

#include "change/compare.h"

extern void check_alternates_form(const Jsonb *alternates);
extern Jsonb *add_replica(Jsonb *document, const text *node, Jsonb *alternates);
extern Jsonb *remove_replica(Jsonb *document, const text *node, Change *change, const Location **last);

#endif							/* ESGF_STAC_CHANGE_REPLICA_H */
