/*
 * status.h
 *		Why something ended, up to the program itself: its exit status is part of
 *		the contract, see doc/relay.md and doc/ingester.md.
 */
#ifndef LIB_STATUS_H
#define LIB_STATUS_H

typedef enum ExitStatus
{
	STATUS_STOPPED = 0,
	STATUS_INTERNAL = 1,
	STATUS_USAGE = 2,
	STATUS_DATABASE = 3,		/* it cannot be reached, or not now */
	STATUS_CATALOGUE = 4,		/* what it holds is not as it must be */
	STATUS_ENDPOINT = 5,		/* what we read from or write to beside it */
	STATUS_DRIFT = 6,			/* what was compared differs */
	STATUS_RUNNING,				/* no exit: all is well */
} ExitStatus;

#endif							/* LIB_STATUS_H */
