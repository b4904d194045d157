/*
 * suspects.h
 *		Events that failed, or may be to blame for a failure, and come again in
 *		another session: what is held against them is remembered till then.
 */
#ifndef DELIVERY_SUSPECTS_H
#define DELIVERY_SUSPECTS_H

#include "formats/event.h"

typedef struct Suspect Suspect;

typedef struct Suspects
{
	Suspect    *list;
	int			count;
	int			room;
} Suspects;

extern void suspects_remember(Suspects *suspects, const Event *event, int most);
extern void suspects_recall(Suspects *suspects, Event *event);

#endif							/* DELIVERY_SUSPECTS_H */
