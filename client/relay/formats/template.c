/*
 * template.c
 *		Names made of an event.
 */
#include "formats/template.h"

/* Are all its placeholders known? Only the name of an item may hold {item_id} */
bool
event_template_valid(const char *template, bool of_item)
{
	const Placeholder known[] = {{"{collection}", NULL}, {of_item ? "{item_id}" : NULL, NULL}, {NULL, NULL}};

	return template_valid(template, known);
}

/* Append the name that a valid template has for an event */
void
event_template_expand(Buffer *name, const char *template, const Event *event)
{
	const Placeholder known[] = {{"{collection}", event->collection_id}, {"{item_id}", event->item_id}, {NULL, NULL}};

	template_expand(name, template, known);
}
