/*
 * arrivals.h
 *		Since when what is not performed of a partition has been waiting: a log says
 *		where it ends, and not when what stands there came.
 */
#ifndef INGEST_SOURCES_ARRIVALS_H
#define INGEST_SOURCES_ARRIVALS_H

#include <stdint.h>

#define ARRIVALS_MOST 32

/* By then, all below that offset was there. */
typedef struct Arrival
{
	int64_t		end;
	double		at;				/* seconds since 1970 */
} Arrival;

typedef struct Arrivals
{
	Arrival		arrivals[ARRIVALS_MOST];	/* in their order */
	int			count;
} Arrivals;

extern void arrivals_note(Arrivals *arrivals, int64_t position, int64_t end, double now);
extern double arrivals_oldest(const Arrivals *arrivals, int64_t position);

#endif							/* INGEST_SOURCES_ARRIVALS_H */
