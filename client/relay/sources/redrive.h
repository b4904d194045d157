/*
 * redrive.h
 *		Items whose dead letters get a second chance, in rounds: their current
 *		states are sent once the stream has passed a position and queries see what
 *		had been committed before it.
 */
#ifndef SOURCES_REDRIVE_H
#define SOURCES_REDRIVE_H

#include "formats/event.h"
#include "sources/source.h"

typedef struct Redrive
{
	Source		source;
	uint64_t	position;		/* 0: no round is under way */
	char	   *pending;		/* those commits */
	PGresult   *items;			/* with their versions then */
	bool	   *overtaken;		/* the stream brought a later version since */
	Buffer		keys;			/* what is sent of the round */
} Redrive;

extern void redrive_note(Redrive *redrive, const Event *event);
extern void redrive_forget(Redrive *redrive);

#endif							/* SOURCES_REDRIVE_H */
