/*
 * history.h
 *		The last hour of a program: how many events a second, and how late they
 *		were, in equal steps of time.
 */
#ifndef LIB_HISTORY_H
#define LIB_HISTORY_H

#include <stdint.h>

#define HISTORY_STEPS 240
#define HISTORY_STEP_SECONDS 15

/* One step, or the one under way. */
typedef struct Step
{
	double		rate;			/* events a second */
	double		lag;			/* seconds: the most that was seen */
} Step;

typedef struct History
{
	Step		steps[HISTORY_STEPS];
	int			count;			/* of those that are over: the newest last */
	Step		current;
	double		begun_at;		/* of the current one; 0: none was */
	double		begun_events;
} History;

extern void history_note(History *history, double now, double events, double lag);
extern double history_rate(const History *history);
extern int	history_steps(const History *history, Step *steps);

#endif							/* LIB_HISTORY_H */
