/*
 * stac/shape.c
 *		What a JSON object must look like, as tables: see stac/shape.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "stac/shape.h"

/* The object lacks this member. */
static void
check_absent(const Member *member, const Place *place, ProblemList *problems)
{
	Place		here = {place, member->name, member->length, 0};

	if (member->presence != OPTIONAL)
		add_problem(problems, &here, "is missing");
}

/* The object has this member. */
static void
check_present(const Member *member, const JsonbSlice *value,
			  const Place *place, ProblemList *problems)
{
	Place		here = {place, member->name, member->length, 0};

	if (member->check == NULL)
		return;
	if (JBE_ISNULL(value->type) && member->presence != REQUIRED)
		return;
	member->check(value, &here, problems);
}

/*
 * Check an object's members against a table.  "found", unless NULL, gets the
 * node of each member of the table.
 */
void
check_members(const JsonbContainer *object, const Member *members, int count,
			  JsonbSlice *found, const Place *place, ProblemList *problems)
{
	MemberCursor given;
	int			m = 0;

	if (found)
		memset(found, 0, sizeof(JsonbSlice) * count);

	members_init(&given, object);
	while (m < count && members_next(&given))
	{
		int			order = -1;

		while (m < count && (order = compare_keys(members[m].name, members[m].length, given.key.data, given.key.len)) < 0)
			check_absent(&members[m++], place, problems);
		if (order != 0)
			continue;

		check_present(&members[m], &given.value, place, problems);
		if (found)
			found[m] = given.value;
		m++;
	}
	while (m < count)
		check_absent(&members[m++], place, problems);
}

/* An object whose members follow a table. */
void
check_object(const JsonbSlice *node, const Member *members, int count,
			 const Place *place, ProblemList *problems)
{
	if (!slice_is_object(node))
		add_problem(problems, place, "must be an object");
	else
		check_members(slice_container(node), members, count, NULL, place, problems);
}

/* An array, each of whose elements passes a check. */
void
check_elements(const JsonbSlice *node, Check check, const Place *place, ProblemList *problems)
{
	Place		here = {place};
	JsonbCursor elements;
	JsonbSlice	element;

	if (!slice_is_array(node))
	{
		add_problem(problems, place, "must be an array");
		return;
	}
	cursor_init(&elements, slice_container(node), 0);
	for (; elements_next(&elements, &element); here.index++)
	{
		CHECK_FOR_INTERRUPTS();
		check(&element, &here, problems);
	}
}

/* An object, each of whose values passes a check, whatever its keys. */
void
check_values(const JsonbSlice *node, Check check, const Place *place, ProblemList *problems)
{
	MemberCursor given;

	if (!slice_is_object(node))
	{
		add_problem(problems, place, "must be an object");
		return;
	}
	members_init(&given, slice_container(node));
	while (members_next(&given))
	{
		Place		here = {place, given.key.data, given.key.len, 0};

		CHECK_FOR_INTERRUPTS();
		check(&given.value, &here, problems);
	}
}

void
check_boolean(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISBOOL(node->type))
		add_problem(problems, place, "must be true or false");
}

void
check_string(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISSTRING(node->type))
		add_problem(problems, place, "must be a string");
}

/* A string that says something. */
void
check_text(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISSTRING(node->type) || node->len == 0)
		add_problem(problems, place, "must be a string that is not empty");
}

void
check_strings(const JsonbSlice *node, const Place *place, ProblemList *problems)
{
	check_elements(node, check_string, place, problems);
}
