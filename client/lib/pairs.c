/*
 * pairs.c
 *		An option that may be repeated, each time as NAME=VALUE.
 */
#include "lib/pairs.h"

#include <string.h>

#include "lib/buffer.h"
#include "lib/log.h"

/* Add those of a text, one a line */
static bool
parse_pairs(void *field, const char *text)
{
	Pairs	   *pairs = field;

	while (*text != '\0')
	{
		size_t		length = strcspn(text, "\n");
		char	   *line = copy_string(text);
		char	   *equals;

		line[length] = '\0';
		equals = strchr(line, '=');
		if (equals == NULL || equals == line)
			return false;
		*equals = '\0';
		pairs->list = reallocate(pairs->list, (size_t) (pairs->count + 1) * sizeof(Pair));
		pairs->list[pairs->count++] = (Pair)
		{
			.name = line,.value = equals + 1
		};
		text += length + (text[length] == '\n');
	}
	return true;
}

static bool
same_pairs(const void *one, const void *other)
{
	const Pairs *pairs[] = {one, other};
	bool		same = pairs[0]->count == pairs[1]->count;

	for (int i = 0; same && i < pairs[0]->count; i++)
		same = strcmp(pairs[0]->list[i].name, pairs[1]->list[i].name) == 0 &&
			strcmp(pairs[0]->list[i].value, pairs[1]->list[i].value) == 0;
	return same;
}

const OptionType pairs_type = {.size = sizeof(Pairs),.parse = parse_pairs,.same = same_pairs,.secret = true};

/* The value of one; NULL if it was not given */
const char *
pairs_value(const Pairs *pairs, const char *name)
{
	const char *value = NULL;

	for (int i = 0; i < pairs->count; i++)
		if (strcmp(pairs->list[i].name, name) == 0)
			value = pairs->list[i].value;
	return value;
}

/* The first name that is not in that list, which NULL ends; NULL if there is none */
const char *
pairs_unknown(const Pairs *pairs, const char *const *names)
{
	for (int i = 0; i < pairs->count; i++)
	{
		const char *const *name = names;

		while (*name != NULL && strcmp(*name, pairs->list[i].name) != 0)
			name++;
		if (*name == NULL)
			return pairs->list[i].name;
	}
	return NULL;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t		length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Is the value secret, by its name? */
static bool
is_secret(const Pair *pair)
{
	static const char *const ends[] = {"password", "secret", "-key", ".key.pem", "oauthbearer.config"};

	for (size_t j = 0; j < sizeof(ends) / sizeof(ends[0]); j++)
		if (ends_with(pair->name, ends[j]))
			return true;
	return false;
}

bool
pairs_name_secret(const Pairs *pairs)
{
	for (int i = 0; i < pairs->count; i++)
		if (is_secret(&pairs->list[i]))
			return true;
	return false;
}

/* Have no message show a secret of these */
void
pairs_hide_secrets(const Pairs *pairs)
{
	for (int i = 0; i < pairs->count; i++)
		if (is_secret(&pairs->list[i]))
			log_secret(pairs->list[i].value);
}
