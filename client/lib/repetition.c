/*
 * repetition.c
 *		What was said lately, and in which try it came up last.
 */
#include "lib/repetition.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/wait.h"

/* So often it is said all the same. */
#define SAY_AGAIN_MS 60000

/* So many messages are known; a new one takes the place of what was said first. */
#define MESSAGES 16

typedef struct Said
{
	char	   *message;		/* NULL: none */
	int64_t		at;
	int			try;			/* in which it came up last */
} Said;

static Said said[MESSAGES];
static int	this_try;
static bool succeeds;			/* this try */

/* From here on it is tried again: what the last try did not say would be news */
void
repetition_next_try(void)
{
	this_try++;
	succeeds = false;
}

/* Whatever comes now is news */
void
repetition_forget(void)
{
	for (int i = 0; i < MESSAGES; i++)
	{
		free(said[i].message);
		said[i] = (Said)
		{
			0
		};
	}
}

/* The try succeeds: what goes wrong later is news, though that may come again and again, too */
void
repetition_success(void)
{
	if (!succeeds)
		repetition_forget();
	succeeds = true;
}

/* What two messages have in common that differ in numbers alone; to be freed */
static char *
without_numbers(const char *message)
{
	char	   *text = copy_string(message);
	char	   *end = text;

	for (; *message != '\0'; message++)
		if (!isdigit((unsigned char) *message))
			*end++ = *message;
	*end = '\0';
	return text;
}

/* Where that is known, or the place for it */
static Said *
find(const char *message)
{
	Said	   *oldest = &said[0];

	for (int i = 0; i < MESSAGES; i++)
	{
		if (said[i].message != NULL && strcmp(said[i].message, message) == 0)
			return &said[i];
		if (said[i].message == NULL || (oldest->message != NULL && said[i].at < oldest->at))
			oldest = &said[i];
	}
	return oldest;
}

/* Was that said in this try or the last one, less than a minute ago? If not, it is now */
bool
repetition_of(const char *message, bool but_for_numbers)
{
	char	   *text = but_for_numbers ? without_numbers(message) : copy_string(message);
	Said	   *known = find(text);
	int64_t		now = monotonic_ms();
	bool		repeats = known->message != NULL && strcmp(known->message, text) == 0 &&
	known->try >= this_try - 1 && now < known->at + SAY_AGAIN_MS;

	free(repeats ? text : known->message);
	if (!repeats)
		*known = (Said)
	{
		.message = text,.at = now
	};
	known->try = this_try;
	return repeats;
}
