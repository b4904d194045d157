/*
 * template.c
 *		Names with placeholders.
 */
#include "lib/template.h"

#include <string.h>

/* The placeholder with which a text begins; NULL if there is none */
static const Placeholder *
find_placeholder(const char *text, const Placeholder *known)
{
	for (; known->name != NULL; known++)
		if (strncmp(text, known->name, strlen(known->name)) == 0)
			return known;
	return NULL;
}

/* Is each brace one of a placeholder that is known? */
bool
template_valid(const char *template, const Placeholder *known)
{
	for (const char *brace = strpbrk(template, "{}"); brace != NULL; brace = strpbrk(brace, "{}"))
	{
		const Placeholder *found = find_placeholder(brace, known);

		if (found == NULL)
			return false;
		brace += strlen(found->name);
	}
	return true;
}

/* Append the name that a valid template makes */
void
template_expand(Buffer *name, const char *template, const Placeholder *known)
{
	while (*template != '\0')
	{
		size_t		plain = strcspn(template, "{");
		const Placeholder *found = find_placeholder(template + plain, known);

		buffer_append(name, template, plain);
		template += plain;
		if (found != NULL)
		{
			buffer_text(name, found->value);
			template += strlen(found->name);
		}
	}
}
