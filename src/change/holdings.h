/*
 * change/holdings.h
 *		Which data nodes have how many of an item's data files?
 *
 * successor	a node that has every data file, and could take over as primary
 *				location from one that leaves.
 */
#ifndef ESGF_STAC_CHANGE_HOLDINGS_H
#define ESGF_STAC_CHANGE_HOLDINGS_H

#include "change/location.h"
#include "json/key_table.h"

typedef struct Holdings
{
	uint32		data_files;
	KeyTable   *nodes;			/* each with the number of those that it has */
} Holdings;

/* The two nodes, first by name, that could take over from another. */
typedef struct Successors
{
	int			count;
	JsonKey		nodes[2];
} Successors;

/* Does a node come before another, by their names? */
static inline bool
comes_before(JsonKey a, JsonKey b)
{
	return compare_bytes(a.data, a.len, b.data, b.len) < 0;
}

extern Holdings count_holdings(const JsonbContainer *files, const JsonbContainer *assets);
extern uint32 files_at(const Holdings *holdings, JsonKey node);
extern void find_successors(const JsonbContainer *old, const JsonbContainer *new, Successors *successors);
extern bool choose_successor(const Successors *successors, JsonKey leaving, JsonKey *successor);
extern void refuse_last_replica(const Location *location);

#endif							/* ESGF_STAC_CHANGE_HOLDINGS_H */
