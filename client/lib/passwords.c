/*
 * passwords.c
 *		Finds passwords. Where a text is not as it should be, too much is one.
 */
#include "lib/passwords.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

/* password and sslpassword, of libpq */
#define SETTING "password"
#define BLANKS " \t\n\r\f\v"

/* A part of a text. */
typedef struct Part
{
	const char *start;			/* NULL: there is none */
	size_t		length;
} Part;

static bool
is_url(const char *text)
{
	return strstr(text, "://") != NULL;
}

/* That of USER:PASSWORD@HOST, whatever the scheme */
static Part
in_authority(const char *text)
{
	const char *authority = strstr(text, "://");
	const char *colon = authority != NULL ? strchr(authority + 3, ':') : NULL;
	const char *at = colon != NULL ? strrchr(colon, '@') : NULL;

	return at != NULL ? (Part) {colon + 1, (size_t) (at - colon - 1)} : (Part) {NULL, 0};
}

/* The length of a value of a connection string: in quotes, or up to a blank; a backslash is for what follows */
static size_t
value_length(const char *value)
{
	bool		quoted = *value == '\'';
	size_t		length = quoted ? 1 : 0;

	while (value[length] != '\0' && (quoted ? value[length] != '\'' : strchr(BLANKS, value[length]) == NULL))
		length += value[length] == '\\' && value[length + 1] != '\0' ? 2 : 1;
	return length + (quoted && value[length] == '\'' ? 1 : 0);
}

/* That of the first setting from there on; behind the last # is the name of a table */
static Part
in_setting(const char *from, bool url)
{
	for (const char *name = strstr(from, SETTING); name != NULL; name = strstr(name + 1, SETTING))
	{
		const char *value = name + strlen(SETTING);
		const char *table = strrchr(value, '#');
		size_t		length;

		value += strspn(value, BLANKS);
		if (*value++ != '=')
			continue;
		if (!url)
			value += strspn(value, BLANKS);
		length = url ? strcspn(value, "&") : value_length(value);
		if (table >= value && length > (size_t) (table - value))
			length = (size_t) (table - value);
		return (Part) {value, length};
	}
	return (Part) {NULL, 0};
}

/* The first password from there on */
static Part
next_password(const char *text, const char *from)
{
	Part		authority = in_authority(text);
	Part		setting = in_setting(from, is_url(text));

	return authority.start != NULL && authority.start >= from && (setting.start == NULL || authority.start < setting.start) ? authority : setting;
}

/* Have no message show one */
void
passwords_hide(const char *text)
{
	for (Part part = next_password(text, text); part.start != NULL; part = next_password(text, part.start + part.length))
	{
		char	   *password = copy_string(part.start);

		password[part.length] = '\0';
		log_secret(password);
		free(password);
	}
}

/* Append the text, however short its passwords are, without them */
void
passwords_leave_out(Buffer *shown, const char *text)
{
	const char *from = text;

	for (Part part = next_password(text, from); part.start != NULL; part = next_password(text, from))
	{
		buffer_append(shown, from, (size_t) (part.start - from));
		buffer_text(shown, "***");
		from = part.start + part.length;
	}
	buffer_text(shown, from);
}
