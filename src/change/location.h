/*
 * change/location.h
 *		The assets of an item, and where data nodes hold them.
 *
 * location		where one data node holds one asset: the primary location is the
 *				asset's own href, alternate:name, protocol and file:local_path,
 *				any other an entry of its `alternate`. All else in an asset
 *				describes its content.
 * stamp		`created` and `updated` of the item, of an asset, of a location:
 *				clients write "now" into them at each try, so they alone are no
 *				change.
 * data file	an asset with role `data`, without role `virtual`, other than the
 *				keys `globus` and `reference_file`.
 */
#ifndef ESGF_STAC_CHANGE_LOCATION_H
#define ESGF_STAC_CHANGE_LOCATION_H

#include "json/edit.h"

/* The node of a primary location that names none. */
#define ANY_NODE "*"

typedef struct Asset
{
	JsonKey		key;
	const JsonbContainer *object;
} Asset;

typedef struct Location
{
	JsonKey		asset;
	JsonKey		node;
	bool		primary;
	const JsonbContainer *object;	/* the asset, or the entry of its
									 * alternate */
} Location;

/* A way over the locations of an asset. */
typedef struct LocationWalk
{
	Asset		asset;
	MemberCursor alternates;
	bool		at_primary;
} LocationWalk;

#define LOCATION_MEMBERS 4
#define STAMP_MEMBERS 2

extern const JsonKey location_members[LOCATION_MEMBERS];
extern const JsonKey stamp_members[STAMP_MEMBERS];

extern const JsonbContainer *assets_of(const Jsonb *document);
extern bool find_asset(const JsonbContainer *assets, JsonKey key, Asset *asset);
extern MemberCursor begin_assets(const JsonbContainer *assets);
extern bool next_asset(MemberCursor *walk, Asset *asset);
extern bool is_data_file(const Asset *asset);
extern char *asset_pointer(JsonKey key);

extern bool is_any_node(JsonKey node);
extern bool is_stamp(JsonKey key);
extern bool is_location_member(JsonKey key);
extern Location primary_location(const Asset *asset);
extern bool find_location(const Asset *asset, JsonKey node, Location *location);
extern void begin_locations(LocationWalk *locations, const Asset *asset);
extern bool next_location(LocationWalk *locations, Location *location);
extern char *location_pointer(const Location *location);

#endif							/* ESGF_STAC_CHANGE_LOCATION_H */
