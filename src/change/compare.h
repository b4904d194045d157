/*
 * change/compare.h
 *		What changed between two versions of an item's document?
 *
 * Stamps are `created` and `updated` of the item, of an asset, of a location:
 * clients write "now" into them at each try, so they alone are no change.
 * Flags are `latest` and `retracted` of the item.
 *
 * A location is where one data node holds one asset: the primary location is
 * the asset's own href, alternate:name, protocol and file:local_path, any other
 * an entry of its `alternate`. All else in an asset describes its content. A
 * data file is an asset with role `data`, without role `virtual`, other than
 * the keys `globus` and `reference_file`.
 */
#ifndef ESGF_STAC_CHANGE_COMPARE_H
#define ESGF_STAC_CHANGE_COMPARE_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "base/problems.h"
#include "json/edit.h"

/* The node of a primary location that names none. */
#define ANY_NODE "*"

typedef struct Location
{
	JsonKey		asset;
	JsonKey		node;
	bool		primary;
	JsonbContainer *object;		/* the asset, or the entry of its alternate */
} Location;

/* A way over the locations of an asset. */
typedef struct LocationWalk
{
	JsonKey		asset;
	JsonbContainer *object;
	JsonbIterator *alternates;	/* NULL: none */
	bool		at_primary;
} LocationWalk;

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
	Location   *doubled;		/* a second location of an asset at one node, or NULL */
	bool		citation;		/* links appended, of these kinds */
	bool		errata;
	List	   *gone;			/* of Location: assets that may have gone with their one node */
	char	   *other;			/* JSON pointer of the first that changed besides, or NULL */
} Change;

extern bool same_but_for_stamps(const Jsonb *a, const Jsonb *b);
extern bool same_but_for_stamps_and_flags(const Jsonb *a, const Jsonb *b);
extern void find_changed_content(const Jsonb *old, const Jsonb *new, ProblemList *problems);
extern void compare_documents(const Jsonb *old, const Jsonb *new, Change *change);
extern bool only_removes_replicas(const Change *change);
extern void begin_locations(LocationWalk *locations, JsonKey asset, JsonbContainer *object);
extern bool next_location(LocationWalk *locations, Location *location);
extern bool find_location(JsonKey asset, JsonbContainer *object, JsonKey node, Location *location);
extern bool same_content(JsonbContainer *old, JsonbContainer *new);
extern bool same_location(const Location *a, const Location *b);
extern bool is_data_file(JsonKey key, const JsonbContainer *asset);
extern char *location_pointer(const Location *location);

#endif							/* ESGF_STAC_CHANGE_COMPARE_H */
