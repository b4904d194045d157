/*
 * json/without_nulls.c
 *		A document without the members that are null, at any depth; a null that
 *		is an element of an array stays.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "json/edit.h"
#include "json/writer.h"

/* Is a child left out? */
static bool
is_null_member(const JsonbContainer *container, uint32 index)
{
	return JsonContainerIsObject(container) && JBE_ISNULL(container->children[index]);
}

/* Where the values of a container begin among its children. */
static uint32
first_value(const JsonbContainer *container)
{
	return JsonContainerIsObject(container) ? JsonContainerSize(container) : 0;
}

/* Has a container a member to be left out, itself or below? */
static bool
has_null_members(const JsonbContainer *container)
{
	JsonbSlice	value;

	check_stack_depth();
	for (uint32 i = first_value(container); i < container_entries(container); i++)
	{
		if (is_null_member(container, i))
			return true;
		if (!JBE_ISCONTAINER(container->children[i]))
			continue;
		container_child(container, i, &value);
		if (has_null_members(slice_container(&value)))
			return true;
	}
	return false;
}

/* Can a container only be copied? Its children's children are not looked at, lest each level look at all below it. */
static bool
is_copied(const JsonbContainer *container)
{
	for (uint32 i = first_value(container); i < container_entries(container); i++)
		if (is_null_member(container, i) || JBE_ISCONTAINER(container->children[i]))
			return false;
	return true;
}

/* Write the keys of the members that stay. */
static void
write_keys(JsonbWriter *writer, JsonbFrame *frame, const JsonbContainer *object)
{
	uint32		count = JsonContainerSize(object);
	JsonbCursor keys;
	JsonbSlice	key;

	cursor_init(&keys, object, 0);
	for (uint32 i = 0; i < count; i++)
	{
		cursor_next(&keys, &key);
		if (!is_null_member(object, count + i))
			writer_child(writer, frame, &key);
	}
}

/* How many elements or members stay? */
static uint32
count_kept(const JsonbContainer *container)
{
	uint32		kept = JsonContainerSize(container);

	for (uint32 i = first_value(container); i < container_entries(container); i++)
		kept -= is_null_member(container, i);
	return kept;
}

/* Write what stays of a container. */
static void
write_container(JsonbWriter *writer, JsonbFrame *parent, const JsonbContainer *container)
{
	JsonbFrame	frame;
	JsonbCursor values;
	JsonbSlice	value;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	writer_begin(writer, &frame, parent, count_kept(container) | (container->header & ~JB_CMASK));
	if (JsonContainerIsObject(container))
		write_keys(writer, &frame, container);
	cursor_init(&values, container, first_value(container));
	while (values.index < container_entries(container))
	{
		bool		left_out = is_null_member(container, values.index);

		cursor_next(&values, &value);
		if (left_out)
			continue;
		if (value.type == JENTRY_ISCONTAINER && !is_copied(slice_container(&value)))
			write_container(writer, &frame, slice_container(&value));
		else
			writer_child(writer, &frame, &value);
	}
	writer_end(writer, &frame);
}

/* The document itself, where nothing goes. */
Jsonb *
without_null_members(Jsonb *document)
{
	JsonbWriter writer;

	if (!has_null_members(&document->root))
		return document;
	writer_init(&writer, VARSIZE(document));
	write_container(&writer, NULL, &document->root);
	return writer_finish(&writer);
}
