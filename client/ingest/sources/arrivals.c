/*
 * arrivals.c
 *		Since when what is not performed of a partition has been waiting.
 */
#include "ingest/sources/arrivals.h"

#include <string.h>

/* Forget what is performed */
static void
drop_performed(Arrivals *arrivals, int64_t position)
{
	int			done = 0;

	while (done < arrivals->count && arrivals->arrivals[done].end <= position)
		done++;
	arrivals->count -= done;
	memmove(&arrivals->arrivals[0], &arrivals->arrivals[done], (size_t) arrivals->count * sizeof(Arrival));
}

/* Make room: of each two, the first tells when something came, and the second will do without */
static void
thin_out(Arrivals *arrivals)
{
	for (int i = 0; i < ARRIVALS_MOST / 2; i++)
		arrivals->arrivals[i] = arrivals->arrivals[2 * i];
	arrivals->count = ARRIVALS_MOST / 2;
}

/* A partition is performed up to a position, and ends there, now */
void
arrivals_note(Arrivals *arrivals, int64_t position, int64_t end, double now)
{
	drop_performed(arrivals, position);
	if (end <= position || (arrivals->count > 0 && end <= arrivals->arrivals[arrivals->count - 1].end))
		return;
	if (arrivals->count == ARRIVALS_MOST)
		thin_out(arrivals);
	arrivals->arrivals[arrivals->count++] = (Arrival)
	{
		.end = end,.at = now
	};
}

/* When the oldest was seen of what stands at a position or behind it, in seconds since 1970; 0: nothing does */
double
arrivals_oldest(const Arrivals *arrivals, int64_t position)
{
	for (int i = 0; i < arrivals->count; i++)
		if (arrivals->arrivals[i].end > position)
			return arrivals->arrivals[i].at;
	return 0;
}
