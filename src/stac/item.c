/*
 * stac/item.c
 *		Is this document a STAC item, or a STAC collection?  See stac/item.h.
 *
 * The tables below are in the order of jsonb's keys (see stac/shape.h).  Optional
 * members may be null: clients write their unset members so.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "stac/format.h"
#include "stac/geojson.h"
#include "stac/item.h"
#include "stac/shape.h"

/* The outbox's aggregatetype for collections: no collection may have this id. */
#define RESERVED_ID "collection"

#define CHECK_OBJECT(members) \
	check_object(node, (members), lengthof(members), place, problems)

static void
check_id(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	const char *problem = "must be a string";

	if (JBE_ISSTRING(node->type))
		problem = id_problem(node->data, node->len);
	if (problem)
		add_problem(problems, place, problem);
}

static void
check_collection_id(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (slice_is_string(node, RESERVED_ID))
		add_problem(problems, place, "must not be \"collection\", which names all collections");
	else
		check_id(node, place, problems);
}

static void
check_stac_version(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISSTRING(node->type) || !is_stac_version(node->data, node->len))
		add_problem(problems, place, "must be a version 1.0 or 1.1 of STAC, such as 1.1.0");
}

static void
check_time(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISSTRING(node->type) || !is_time(node->data, node->len))
		add_problem(problems, place, "must be an RFC 3339 time, such as 1850-01-16T12:00:00Z");
}

static void
check_extension(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISSTRING(node->type) || !is_web_url(node->data, node->len))
		add_problem(problems, place, "must be an http or https URL");
}

static void
check_extensions(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_elements(node, check_extension, place, problems);
}

static const Member link_members[] = {
	MEMBER("rel", REQUIRED, check_text),
	MEMBER("href", REQUIRED, check_text),
	MEMBER("type", OPTIONAL, check_string),
	MEMBER("title", OPTIONAL, check_string),
};

static void
check_link(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	CHECK_OBJECT(link_members);
}

static void
check_links(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_elements(node, check_link, place, problems);
}

static const Member provider_members[] = {
	MEMBER("url", OPTIONAL, check_string),
	MEMBER("name", REQUIRED, check_text),
	MEMBER("roles", OPTIONAL, check_strings),
	MEMBER("description", OPTIONAL, check_string),
};

static void
check_provider(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	CHECK_OBJECT(provider_members);
}

static void
check_providers(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_elements(node, check_provider, place, problems);
}

/* A replica's location of an asset. */
static const Member alternate_members[] = {
	MEMBER("href", REQUIRED, check_text),
	MEMBER("title", OPTIONAL, check_string),
	MEMBER("created", OPTIONAL, check_time),
	MEMBER("updated", OPTIONAL, check_time),
	MEMBER("description", OPTIONAL, check_string),
	MEMBER("alternate:name", OPTIONAL, check_text),
};

static void
check_alternate(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	CHECK_OBJECT(alternate_members);
}

static void
check_alternates(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (slice_is_object(node) && JsonContainerSize(slice_container(node)) == 0)
		add_problem(problems, place, "must not be empty");
	else
		check_values(node, check_alternate, place, problems);
}

static const Member asset_members[] = {
	MEMBER("href", REQUIRED, check_text),
	MEMBER("type", OPTIONAL, check_string),
	MEMBER("roles", OPTIONAL, check_strings),
	MEMBER("title", OPTIONAL, check_string),
	MEMBER("created", OPTIONAL, check_time),
	MEMBER("updated", OPTIONAL, check_time),
	MEMBER("alternate", OPTIONAL, check_alternates),
	MEMBER("description", OPTIONAL, check_string),
	MEMBER("alternate:name", OPTIONAL, check_text),
};

static void
check_asset(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	CHECK_OBJECT(asset_members);
}

static void
check_assets(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_values(node, check_asset, place, problems);
}

/* The ground sample distance: positive, also for a reader with doubles. */
static void
check_gsd(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	double		gsd = 0;

	if (JBE_ISNUMERIC(node->type))
		gsd = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
												 PointerGetDatum(node->data)));
	if (!(gsd > 0) || isinf(gsd))
		add_problem(problems, place, "must be a finite number greater than 0");
}

enum
{
	PROPERTIES_DATETIME = 7,
	PROPERTIES_END = 13,
	PROPERTIES_START = 15,
	PROPERTIES_MEMBERS
};

static const Member properties_members[PROPERTIES_MEMBERS] = {
	MEMBER("gsd", OPTIONAL, check_gsd),
	MEMBER("title", OPTIONAL, check_string),
	MEMBER("latest", OPTIONAL, check_boolean),
	MEMBER("created", OPTIONAL, check_time),
	MEMBER("license", OPTIONAL, check_string),
	MEMBER("mission", OPTIONAL, check_string),
	MEMBER("updated", OPTIONAL, check_time),
	[PROPERTIES_DATETIME] = MEMBER("datetime", REQUIRED_OR_NULL, check_time),
	MEMBER("platform", OPTIONAL, check_string),
	MEMBER("providers", OPTIONAL, check_providers),
	MEMBER("retracted", OPTIONAL, check_boolean),
	MEMBER("description", OPTIONAL, check_string),
	MEMBER("instruments", OPTIONAL, check_strings),
	[PROPERTIES_END] = MEMBER("end_datetime", OPTIONAL, check_time),
	MEMBER("constellation", OPTIONAL, check_string),
	[PROPERTIES_START] = MEMBER("start_datetime", OPTIONAL, check_time),
};

static void
check_properties(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	JsonbSlice	found[PROPERTIES_MEMBERS];
	const JsonbSlice *datetime = &found[PROPERTIES_DATETIME];
	bool		start;
	bool		end;
	Place		start_place = MEMBER_PLACE(place, "start_datetime");
	Place		end_place = MEMBER_PLACE(place, "end_datetime");

	if (!slice_is_object(node))
	{
		add_problem(problems, place, "must be an object");
		return;
	}
	check_members(slice_container(node), properties_members, PROPERTIES_MEMBERS,
				  found, place, problems);

	start = is_given(&found[PROPERTIES_START]);
	end = is_given(&found[PROPERTIES_END]);
	if (start || end || (datetime->data && !is_given(datetime)))
	{
		if (!start)
			add_problem(problems, &start_place,
						"must be given if datetime is null or end_datetime is given");
		if (!end)
			add_problem(problems, &end_place,
						"must be given if datetime is null or start_datetime is given");
	}
}

static void
check_feature(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!slice_is_string(node, "Feature"))
		add_problem(problems, place, "must be \"Feature\"");
}

enum
{
	ITEM_BBOX = 1,
	ITEM_GEOMETRY = 5,
	ITEM_MEMBERS = 10
};

static const Member item_members[ITEM_MEMBERS] = {
	MEMBER("id", REQUIRED, check_id),
	[ITEM_BBOX] = MEMBER("bbox", OPTIONAL, check_bbox),
	MEMBER("type", REQUIRED, check_feature),
	MEMBER("links", REQUIRED, check_links),
	MEMBER("assets", REQUIRED, check_assets),
	[ITEM_GEOMETRY] = MEMBER("geometry", REQUIRED_OR_NULL, check_geometry),
	MEMBER("collection", OPTIONAL, check_collection_id),
	MEMBER("properties", REQUIRED, check_properties),
	MEMBER("stac_version", REQUIRED, check_stac_version),
	MEMBER("stac_extensions", OPTIONAL, check_extensions),
};

/* Note all that keeps a document from being a STAC item. */
void
check_stac_item(JsonbContainer *document, ProblemList *problems)
{
	JsonbSlice	found[ITEM_MEMBERS];
	Place		bbox = MEMBER_PLACE(NULL, "bbox");

	if (!JsonContainerIsObject(document))
	{
		add_problem(problems, NULL, "must be an object");
		return;
	}
	check_members(document, item_members, ITEM_MEMBERS, found, NULL, problems);
	if (is_given(&found[ITEM_GEOMETRY]) && !is_given(&found[ITEM_BBOX]))
		add_problem(problems, &bbox, "must be given if geometry is not null");
}

/* An array that is not empty, each of whose elements passes a check. */
static void
check_some(const JsonbSlice *node, Check check, const Place *place, ProblemList *problems)
{
	if (slice_is_array(node) && JsonContainerSize(slice_container(node)) == 0)
		add_problem(problems, place, "must not be empty");
	else
		check_elements(node, check, place, problems);
}

static void
check_boxes(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_some(node, check_bbox, place, problems);
}

static const Member spatial_members[] = {
	MEMBER("bbox", REQUIRED, check_boxes),
};

static void
check_spatial(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	CHECK_OBJECT(spatial_members);
}

/* One end of an interval; null is open. */
static void
check_bound(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISNULL(node->type))
		check_time(node, place, problems);
}

static void
check_interval(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!slice_is_array(node) || JsonContainerSize(slice_container(node)) != 2)
		add_problem(problems, place, "must be an array of two times, or null where open");
	else
		check_elements(node, check_bound, place, problems);
}

static void
check_intervals(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_some(node, check_interval, place, problems);
}

static const Member temporal_members[] = {
	MEMBER("interval", REQUIRED, check_intervals),
};

static void
check_temporal(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	CHECK_OBJECT(temporal_members);
}

static const Member extent_members[] = {
	MEMBER("spatial", REQUIRED, check_spatial),
	MEMBER("temporal", REQUIRED, check_temporal),
};

static void
check_extent(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	CHECK_OBJECT(extent_members);
}

static void
check_collection_type(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!slice_is_string(node, "Collection"))
		add_problem(problems, place, "must be \"Collection\"");
}

static const Member collection_members[] = {
	MEMBER("id", REQUIRED, check_collection_id),
	MEMBER("type", REQUIRED, check_collection_type),
	MEMBER("links", REQUIRED, check_links),
	MEMBER("title", OPTIONAL, check_string),
	MEMBER("assets", OPTIONAL, check_assets),
	MEMBER("extent", REQUIRED, check_extent),
	MEMBER("license", REQUIRED, check_text),
	MEMBER("keywords", OPTIONAL, check_strings),
	MEMBER("providers", OPTIONAL, check_providers),
	MEMBER("description", REQUIRED, check_text),
	MEMBER("stac_version", REQUIRED, check_stac_version),
	MEMBER("stac_extensions", OPTIONAL, check_extensions),
};

/* Note all that keeps a document from being a STAC collection. */
void
check_stac_collection(JsonbContainer *document, ProblemList *problems)
{
	if (!JsonContainerIsObject(document))
		add_problem(problems, NULL, "must be an object");
	else
		check_members(document, collection_members, lengthof(collection_members),
					  NULL, NULL, problems);
}

/* Answer a row for each problem, and a last one for those not shown. */
static Datum
return_problems(FunctionCallInfo fcinfo, const ProblemList *problems)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *rest = problem_rest(problems);
	Datum		values[2];
	bool		nulls[2] = {false, false};
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, problems->shown)
	{
		Problem    *problem = lfirst(cell);

		values[0] = CStringGetTextDatum(problem->pointer);
		values[1] = CStringGetTextDatum(problem->detail);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	if (rest)
	{
		values[1] = CStringGetTextDatum(rest);
		nulls[0] = true;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* validate_item(document jsonb) -> setof (pointer, detail) */
PG_FUNCTION_INFO_V1(esgf_validate_item);
Datum
esgf_validate_item(PG_FUNCTION_ARGS)
{
	ProblemList problems = {0};

	check_stac_item(&PG_GETARG_JSONB_P(0)->root, &problems);
	return return_problems(fcinfo, &problems);
}

/* validate_collection(document jsonb) -> setof (pointer, detail) */
PG_FUNCTION_INFO_V1(esgf_validate_collection);
Datum
esgf_validate_collection(PG_FUNCTION_ARGS)
{
	ProblemList problems = {0};

	check_stac_collection(&PG_GETARG_JSONB_P(0)->root, &problems);
	return return_problems(fcinfo, &problems);
}
