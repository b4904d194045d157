/*
 * inbox/rows.h
 *		The rows of sources, their partitions and the inbox, read and written with
 *		the rights of the tables' owner.
 */
#ifndef ESGF_STAC_INBOX_ROWS_H
#define ESGF_STAC_INBOX_ROWS_H

#include "inbox/message.h"

/* A partition, whose locked row is whose turn it is. */
typedef struct Partition
{
	const Source *source;
	int			number;
	int64		next_offset;	/* 0: nothing was performed of it */
	int64		results_offset; /* likewise; 0: nobody sends outcomes */
} Partition;

extern Source *find_source(text *name, bool *active);
extern void lock_partition(Partition *partition);
extern void move_partition(const Partition *partition, int64 next_offset);
extern int	take_out_known(const Partition *partition, Message **messages, int count);
extern void enter_messages(const Partition *partition, Message **messages, int count);
extern void write_outcomes(const Partition *partition, Message **messages, int count);
extern Message **lock_refused(const Source *source, Datum partition, Datum offset, const char *nulls, int *count);
extern void write_retried(Message *message);

#endif							/* ESGF_STAC_INBOX_ROWS_H */
