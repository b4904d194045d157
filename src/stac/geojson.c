/*
 * stac/geojson.c
 *		Geometries and bounding boxes: see stac/geojson.h.
 *
 * A line is an array of positions; a ring is a line of at least four positions
 * that ends where it began.  The coordinates of each type of geometry are a
 * position, or arrays of arrays of them, so many levels deep.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "stac/geojson.h"

/* Collections within collections; the federation's consumers stop at 255. */
#define NESTING_MAX 32

#define COLLECTION_TYPE "GeometryCollection"

typedef struct GeometryType
{
	const char *name;
	int			nesting;		/* arrays around a position */
	uint32		line_min;		/* the positions of a line, at least */
	bool		ring;			/* its lines are rings */
} GeometryType;

static const GeometryType geometry_types[] = {
	{"Point", 0, 0, false},
	{"Polygon", 2, 4, true},
	{"LineString", 1, 2, false},
	{"MultiPoint", 1, 0, false},
	{"MultiPolygon", 3, 4, true},
	{"MultiLineString", 2, 2, false},
};

static const GeometryType *
find_geometry_type(const JsonbSlice *name)
{
	for (size_t i = 0; i < lengthof(geometry_types); i++)
	{
		if (slice_is_string(name, geometry_types[i].name))
			return &geometry_types[i];
	}
	return NULL;
}

static void
check_geometry_type(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (find_geometry_type(node) == NULL && !slice_is_string(node, COLLECTION_TYPE))
		add_problem(problems, place, "must be a type of geometry, such as Polygon");
}

/* In the order of jsonb's keys, and of the members below. */
enum
{
	GEOMETRY_BBOX,
	GEOMETRY_TYPE,
	GEOMETRY_GEOMETRIES,
	GEOMETRY_COORDINATES,
	GEOMETRY_MEMBERS
};

static const Member geometry_members[GEOMETRY_MEMBERS] = {
	MEMBER("bbox", OPTIONAL, check_bbox),
	MEMBER("type", REQUIRED, check_geometry_type),
	MEMBER("geometries", OPTIONAL, NULL),
	MEMBER("coordinates", OPTIONAL, NULL),
};

typedef struct Position
{
	uint32		count;			/* of its numbers, 2 or 3; 0: it is none */
	const char *numbers[3];
} Position;

static bool check_geometry_at(const JsonbSlice *node, int level,
							  const Place *place, ProblemList *problems);

static inline int
compare_numbers(const char *a, const char *b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, PointerGetDatum(a),
											 PointerGetDatum(b)));
}

/* Write a number that lives as long as the backend. */
static const char *
make_limit(const char *text)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Datum		number = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
											 ObjectIdGetDatum(InvalidOid),
											 Int32GetDatum(-1));

	MemoryContextSwitchTo(old);
	return DatumGetPointer(number);
}

/* Is it a number that a reader's double can hold? */
static bool
is_finite_number(const JsonbSlice *node)
{
	static const char *largest = NULL;
	static const char *smallest = NULL;

	if (!JBE_ISNUMERIC(node->type))
		return false;
	if (smallest == NULL)
	{
		largest = make_limit("1.7976931348623157e308");
		smallest = make_limit("-1.7976931348623157e308");
	}
	return compare_numbers(node->data, largest) <= 0 &&
		compare_numbers(node->data, smallest) >= 0;
}

/* Read at most "max" finite numbers of an array; 0 where it holds anything else. */
static uint32
read_numbers(const JsonbSlice *node, const char **numbers, uint32 max)
{
	JsonbCursor elements;
	JsonbSlice	element;
	uint32		count = 0;

	if (!slice_is_array(node) || JsonContainerSize(slice_container(node)) > max)
		return 0;
	cursor_init(&elements, slice_container(node), 0);
	while (elements_next(&elements, &element))
	{
		if (!is_finite_number(&element))
			return 0;
		numbers[count++] = element.data;
	}
	return count;
}

/* West may be east of east, where the box crosses the antimeridian. */
void
check_bbox(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	const char *numbers[6];
	uint32		count = read_numbers(node, numbers, lengthof(numbers));
	uint32		half = count / 2;

	if (count != 4 && count != 6)
		add_problem(problems, place, "must be an array of 4 or 6 finite numbers");
	else
	{
		if (compare_numbers(numbers[1], numbers[1 + half]) > 0)
			add_problem(problems, place, "must have its south not above its north");
		if (count == 6 && compare_numbers(numbers[2], numbers[2 + half]) > 0)
			add_problem(problems, place, "must have its lowest not above its highest altitude");
	}
}

static Position
check_position(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	Position	position;

	position.count = read_numbers(node, position.numbers, lengthof(position.numbers));
	if (position.count < 2)
	{
		add_problem(problems, place, "must be a position, an array of 2 or 3 finite numbers");
		position.count = 0;
	}
	return position;
}

static bool
same_position(const Position *a, const Position *b)
{
	if (a->count != b->count)
		return false;
	for (uint32 i = 0; i < a->count; i++)
	{
		if (compare_numbers(a->numbers[i], b->numbers[i]) != 0)
			return false;
	}
	return true;
}

/* A line or ring; true where one of its positions has an altitude. */
static bool
check_line(const JsonbSlice *node, const GeometryType *type,
		   const Place *place, ProblemList *problems)
{
	Place		here = {place};
	JsonbCursor elements;
	JsonbSlice	element;
	Position	first = {0};
	Position	last = {0};
	bool		altitude = false;

	if (JsonContainerSize(slice_container(node)) < type->line_min)
		add_problem(problems, place, type->ring ?
					"must be a linear ring of at least 4 positions" :
					"must be a line of at least 2 positions");

	cursor_init(&elements, slice_container(node), 0);
	for (; elements_next(&elements, &element); here.index++)
	{
		CHECK_FOR_INTERRUPTS();
		last = check_position(&element, &here, problems);
		if (here.index == 0)
			first = last;
		altitude |= last.count == 3;
	}

	if (type->ring && first.count > 0 && last.count > 0 && !same_position(&first, &last))
		add_problem(problems, place, "must be a linear ring that ends where it begins");
	return altitude;
}

/* Coordinates "nesting" levels above a position; true as check_line. */
static bool
check_coordinates(const JsonbSlice *node, const GeometryType *type, int nesting,
				  const Place *place, ProblemList *problems)
{
	Place		here = {place};
	JsonbCursor elements;
	JsonbSlice	element;
	bool		altitude = false;

	if (nesting == 0)
		return check_position(node, place, problems).count == 3;
	if (!slice_is_array(node))
	{
		add_problem(problems, place, "must be an array");
		return false;
	}
	if (nesting == 1)
		return check_line(node, type, place, problems);

	cursor_init(&elements, slice_container(node), 0);
	for (; elements_next(&elements, &element); here.index++)
		altitude |= check_coordinates(&element, type, nesting - 1, &here, problems);
	return altitude;
}

/* The geometries of a collection, all with an altitude or all without. */
static bool
check_geometries(const JsonbSlice *node, int level, const Place *place, ProblemList *problems)
{
	Place		here = {place};
	JsonbCursor elements;
	JsonbSlice	element;
	uint32		altitudes = 0;
	uint64		before = problems->count;

	if (!slice_is_array(node))
	{
		add_problem(problems, place, "must be an array");
		return false;
	}
	if (level > NESTING_MAX)
	{
		add_problem(problems, place, "must not be nested so deeply");
		return false;
	}

	cursor_init(&elements, slice_container(node), 0);
	for (; elements_next(&elements, &element); here.index++)
		altitudes += check_geometry_at(&element, level, &here, problems);

	if (altitudes > 0 && altitudes < here.index && problems->count == before)
		add_problem(problems, place, "must all have altitudes, or none of them");
	return altitudes > 0;
}

/* A geometry inside "level" collections; true where it has an altitude. */
static bool
check_geometry_at(const JsonbSlice *node, int level, const Place *place, ProblemList *problems)
{
	JsonbSlice	found[GEOMETRY_MEMBERS];
	const JsonbSlice *type_name = &found[GEOMETRY_TYPE];
	const GeometryType *type;
	Place		geometries = MEMBER_PLACE(place, "geometries");
	Place		coordinates = MEMBER_PLACE(place, "coordinates");

	if (!slice_is_object(node))
	{
		add_problem(problems, place, "must be a geometry object");
		return false;
	}
	check_members(slice_container(node), geometry_members, GEOMETRY_MEMBERS,
				  found, place, problems);

	if (slice_is_string(type_name, COLLECTION_TYPE))
	{
		if (is_given(&found[GEOMETRY_GEOMETRIES]))
			return check_geometries(&found[GEOMETRY_GEOMETRIES], level + 1,
									&geometries, problems);
		add_problem(problems, &geometries, "is missing");
	}
	else if ((type = find_geometry_type(type_name)) != NULL)
	{
		if (is_given(&found[GEOMETRY_COORDINATES]))
			return check_coordinates(&found[GEOMETRY_COORDINATES], type, type->nesting,
									 &coordinates, problems);
		add_problem(problems, &coordinates, "is missing");
	}
	return false;
}

void
check_geometry(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_geometry_at(node, 0, place, problems);
}
