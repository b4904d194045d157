/*
 * suspects.c
 *		Events that failed, or may be to blame for a failure, and come again in
 *		another session: what is held against them is remembered till then.
 */
#include "delivery/suspects.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct Suspect
{
	char	   *collection_id;
	char	   *item_id;		/* NULL for an event of the collection */
	int64_t		version;
	int			attempts;
	int			suspicion;
};

static void
forget(Suspects *suspects, int place)
{
	free(suspects->list[place].collection_id);
	free(suspects->list[place].item_id);
	suspects->list[place] = suspects->list[--suspects->count];
}

/* Keep what is held against an event whose memory goes, and against so many at most */
void
suspects_remember(Suspects *suspects, const Event *event, int most)
{
	if (event->attempts == 0 && event->suspicion == 0)
		return;
	while (suspects->count >= most)
		forget(suspects, suspects->count - 1);
	if (suspects->count == suspects->room)
	{
		suspects->room = 2 * suspects->room + 8;
		suspects->list = reallocate(suspects->list, (size_t) suspects->room * sizeof(Suspect));
	}
	suspects->list[suspects->count++] = (Suspect)
	{
		.collection_id = copy_string(event->collection_id),
			.item_id = event->item_id != NULL ? copy_string(event->item_id) : NULL,
			.version = event->version,
			.attempts = event->attempts,
			.suspicion = event->suspicion
	};
}

static bool
is_that(const Suspect *suspect, const Event *event)
{
	return suspect->version == event->version &&
		(suspect->item_id == NULL) == (event->item_id == NULL) &&
		(event->item_id == NULL || strcmp(suspect->item_id, event->item_id) == 0) &&
		strcmp(suspect->collection_id, event->collection_id) == 0;
}

/* Has an event come before? */
void
suspects_recall(Suspects *suspects, Event *event)
{
	for (int i = 0; i < suspects->count; i++)
	{
		if (is_that(&suspects->list[i], event))
		{
			event->attempts = suspects->list[i].attempts;
			event->suspicion = suspects->list[i].suspicion;
			forget(suspects, i);
			return;
		}
	}
}
