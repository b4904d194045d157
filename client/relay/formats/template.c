/*
 * template.c
 *		Fills the placeholders {collection} and {item_id} of a name.
 */
#include "formats/template.h"

#include <string.h>

#define COLLECTION "{collection}"
#define ITEM_ID "{item_id}"

static bool
begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* Are all its placeholders known? Only the name of an item may hold {item_id} */
bool
template_valid(const char *template, bool of_item)
{
	for (const char *brace = strpbrk(template, "{}"); brace != NULL; brace = strpbrk(brace, "{}"))
	{
		if (begins_with(brace, COLLECTION))
			brace += strlen(COLLECTION);
		else if (of_item && begins_with(brace, ITEM_ID))
			brace += strlen(ITEM_ID);
		else
			return false;
	}
	return true;
}

/* Append the name that a valid template has for an event */
void
template_expand(Buffer *name, const char *template, const Event *event)
{
	while (*template != '\0')
	{
		size_t		plain = strcspn(template, "{");

		buffer_append(name, template, plain);
		template += plain;
		if (begins_with(template, COLLECTION))
		{
			buffer_text(name, event->collection_id);
			template += strlen(COLLECTION);
		}
		else if (begins_with(template, ITEM_ID))
		{
			buffer_text(name, event->item_id);
			template += strlen(ITEM_ID);
		}
	}
}
