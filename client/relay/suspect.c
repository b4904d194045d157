/*
 * suspect.c
 *		Events that failed, or may be to blame for a failure, and come again in
 *		another session: what is held against them is remembered till then.
 */
#include "relay/relay.h"

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
forget(Relay *relay, int place)
{
	free(relay->suspects[place].collection_id);
	free(relay->suspects[place].item_id);
	relay->suspects[place] = relay->suspects[--relay->suspect_count];
}

/* Keep what is held against an event whose memory goes; of a batch of them, if need be */
void
suspect_remember(Relay *relay, const Event *event)
{
	if (event->attempts == 0 && event->suspicion == 0)
		return;
	while (relay->suspect_count >= relay->options.batch)
		forget(relay, 0);
	if (relay->suspect_room < relay->options.batch) /* which SIGHUP may raise */
	{
		relay->suspect_room = relay->options.batch;
		relay->suspects = reallocate(relay->suspects, (size_t) relay->suspect_room * sizeof(Suspect));
	}
	relay->suspects[relay->suspect_count++] = (Suspect)
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
suspect_recall(Relay *relay, Event *event)
{
	for (int i = 0; i < relay->suspect_count; i++)
	{
		if (is_that(&relay->suspects[i], event))
		{
			event->attempts = relay->suspects[i].attempts;
			event->suspicion = relay->suspects[i].suspicion;
			forget(relay, i);
			return;
		}
	}
}
