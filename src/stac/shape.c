/*
 * stac/shape.c
 *		What a JSON object must look like, as tables: see stac/shape.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "stac/shape.h"

Cursor
elements_of(const JsonbContainer *array)
{
	uint32		count = JsonContainerSize(array);
	Cursor		cursor = {array, (const char *) &array->children[count], 0, count, 0};

	return cursor;
}

Cursor
keys_of(const JsonbContainer *object)
{
	uint32		count = JsonContainerSize(object);
	Cursor		cursor = {object, (const char *) &object->children[2 * count], 0, count, 0};

	return cursor;
}

/* Values stand behind all keys, in their order. */
Cursor
values_of(const JsonbContainer *object)
{
	uint32		count = JsonContainerSize(object);
	Cursor		cursor = keys_of(object);

	cursor.next = count;
	cursor.end = 2 * count;
	cursor.offset = getJsonbOffset(object, count);
	return cursor;
}

/* Compare a member's name with a key in the order of jsonb's keys. */
static int
compare_name(const Member *member, const JsonNode *key)
{
	if (member->length != (int) key->length)
		return member->length < (int) key->length ? -1 : 1;
	return memcmp(member->name, key->data, key->length);
}

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
check_present(const Member *member, const JsonNode *value,
			  const Place *place, ProblemList *problems)
{
	Place		here = {place, member->name, member->length, 0};

	if (member->check == NULL)
		return;
	if (JBE_ISNULL(value->entry) && member->presence != REQUIRED)
		return;
	member->check(value, &here, problems);
}

/*
 * Check an object's members against a table.  "found", unless NULL, gets the
 * node of each member of the table.
 */
void
check_members(const JsonbContainer *object, const Member *members, int count,
			  JsonNode *found, const Place *place, ProblemList *problems)
{
	Cursor		keys = keys_of(object);
	Cursor		values = values_of(object);
	JsonNode	key;
	JsonNode	value;
	int			m = 0;

	if (found)
		memset(found, 0, sizeof(JsonNode) * count);

	while (m < count && next_node(&keys, &key) && next_node(&values, &value))
	{
		int			order = -1;

		while (m < count && (order = compare_name(&members[m], &key)) < 0)
			check_absent(&members[m++], place, problems);
		if (order != 0)
			continue;

		check_present(&members[m], &value, place, problems);
		if (found)
			found[m] = value;
		m++;
	}
	while (m < count)
		check_absent(&members[m++], place, problems);
}

/* An object whose members follow a table. */
void
check_object(const JsonNode *node, const Member *members, int count,
			 const Place *place, ProblemList *problems)
{
	if (!node_is_object(node))
		add_problem(problems, place, "must be an object");
	else
		check_members(node_container(node), members, count, NULL, place, problems);
}

/* An array, each of whose elements passes a check. */
void
check_elements(const JsonNode *node, Check check, const Place *place, ProblemList *problems)
{
	Place		here = {place};
	Cursor		elements;
	JsonNode	element;

	if (!node_is_array(node))
	{
		add_problem(problems, place, "must be an array");
		return;
	}
	elements = elements_of(node_container(node));
	for (; next_node(&elements, &element); here.index++)
	{
		CHECK_FOR_INTERRUPTS();
		check(&element, &here, problems);
	}
}

/* An object, each of whose values passes a check, whatever its keys. */
void
check_values(const JsonNode *node, Check check, const Place *place, ProblemList *problems)
{
	Cursor		keys;
	Cursor		values;
	JsonNode	key;
	JsonNode	value;

	if (!node_is_object(node))
	{
		add_problem(problems, place, "must be an object");
		return;
	}
	keys = keys_of(node_container(node));
	values = values_of(node_container(node));
	while (next_node(&keys, &key) && next_node(&values, &value))
	{
		Place		here = {place, key.data, key.length, 0};

		CHECK_FOR_INTERRUPTS();
		check(&value, &here, problems);
	}
}

void
check_boolean(const JsonNode *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISBOOL(node->entry))
		add_problem(problems, place, "must be true or false");
}

void
check_string(const JsonNode *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISSTRING(node->entry))
		add_problem(problems, place, "must be a string");
}

/* A string that says something. */
void
check_text(const JsonNode *node, const Place *place, ProblemList *problems)
{
	if (!JBE_ISSTRING(node->entry) || node->length == 0)
		add_problem(problems, place, "must be a string that is not empty");
}

void
check_strings(const JsonNode *node, const Place *place, ProblemList *problems)
{
	check_elements(node, check_string, place, problems);
}
