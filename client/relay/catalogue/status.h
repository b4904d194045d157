/*
 * status.h
 *		Why something ended, up to the relay itself: its exit status is part of
 *		the contract, see doc/relay.md.
 */
#ifndef CATALOGUE_STATUS_H
#define CATALOGUE_STATUS_H

typedef enum ExitStatus
{
	STATUS_STOPPED = 0,
	STATUS_INTERNAL = 1,
	STATUS_USAGE = 2,
	STATUS_DATABASE = 3,
	STATUS_SLOT = 4,
	STATUS_SINK = 5,
	STATUS_RUNNING,				/* no exit: all is well */
} ExitStatus;

#endif							/* CATALOGUE_STATUS_H */
