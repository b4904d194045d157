/*
 * change/compare.h
 *		What changed between two versions of an item's document?
 *
 * What is a location, a stamp, the content of an asset: change/location.h. What
 * is the same: change/same.h.
 */
#ifndef ESGF_STAC_CHANGE_COMPARE_H
#define ESGF_STAC_CHANGE_COMPARE_H

#include "nodes/pg_list.h"

#include "base/problems.h"
#include "change/location.h"

typedef enum LocationFate
{
	LOCATION_ADDED, LOCATION_ALTERED, LOCATION_REMOVED
} LocationFate;

typedef struct LocationChange
{
	LocationFate fate;
	Location	location;		/* as it is now; a removed one as it was */
} LocationChange;

typedef struct Change
{
	List	   *locations;		/* of LocationChange */
	Location   *doubled;		/* a second location of an asset at one node,
								 * or NULL */
	bool		citation;		/* links appended, of these kinds */
	bool		errata;
	List	   *gone;			/* of Location: assets that may have gone with
								 * their one node */
	char	   *other;			/* JSON pointer of the first that changed
								 * besides, or NULL */
} Change;

extern void compare_documents(const Jsonb *old, const Jsonb *new, Change *change);
extern void find_changed_content(const Jsonb *old, const Jsonb *new, ProblemList *problems);
extern bool only_removes_replicas(const Change *change);
extern void note_location(Change *change, LocationFate fate, const Location *location);

#endif							/* ESGF_STAC_CHANGE_COMPARE_H */
