/*
 * snapshot.h
 *		Every published item, to seed an empty index.
 */
#ifndef SOURCES_SNAPSHOT_H
#define SOURCES_SNAPSHOT_H

#include "sources/source.h"

typedef struct Snapshot
{
	Source		source;
	int64_t		sent;			/* in this session */
	int64_t		begun_at;
	int64_t		told_at;		/* how far it is */
} Snapshot;

extern void snapshot_progress(const Snapshot *snapshot, Buffer *text);

#endif							/* SOURCES_SNAPSHOT_H */
