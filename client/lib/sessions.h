/*
 * sessions.h
 *		A program's life: session after session, each from connecting to losing a
 *		connection, until there is nothing to try again.
 */
#ifndef LIB_SESSIONS_H
#define LIB_SESSIONS_H

#include <stdbool.h>

#include "lib/status.h"

/* How far a session came. */
typedef enum SessionReach
{
	REACHED_NOTHING,			/* no server was there to work with */
	REACHED_DATABASE,
	REACHED_PROGRESS,			/* it got something done */
} SessionReach;

typedef struct Sessions
{
	void	   *program;

	/* Where nothing is in hand: obey the signals that came. */
	ExitStatus	(*heed_signals) (void *program);

	/* One session. */
	ExitStatus	(*run) (void *program, SessionReach *reach);

	/* Is a session that was lost the last one? */
	bool		(*is_last) (const void *program);

	/* Several times a second, whatever is waited for. */
	void		(*attend) (void *program);
} Sessions;

extern bool sessions_prepare(void);
extern ExitStatus sessions_run(const Sessions *sessions);

#endif							/* LIB_SESSIONS_H */
