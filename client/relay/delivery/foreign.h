/*
 * foreign.h
 *		What others write into the sink: a version there that is none of ours.
 *
 * A sink that has a later version than an event's takes the event for done. So
 * it should, after a repetition; but where that version was never given, somebody
 * else has written it, or gave it in a history that is lost.
 */
#ifndef DELIVERY_FOREIGN_H
#define DELIVERY_FOREIGN_H

#include "catalogue/catalogue.h"
#include "formats/event.h"

typedef struct Foreign
{
	int64_t		versions;		/* met, since the program began */
	int64_t		told_at;		/* in the log; 0: never */
} Foreign;

extern ExitStatus foreign_note(Foreign *foreign, const Catalogue *catalogue, const Event *events, int count);

#endif							/* DELIVERY_FOREIGN_H */
