/*
 * history.c
 *		The last hour of a program.
 */
#include "lib/history.h"

#include <string.h>

/* By then a step tells its rate; before, it has that of the last one. */
#define SETTLED_SECONDS 3

/* A step is over; what is older than an hour goes */
static void
keep(History *history, Step step)
{
	if (history->count == HISTORY_STEPS)
		memmove(&history->steps[0], &history->steps[1], (size_t) --history->count * sizeof(Step));
	history->steps[history->count++] = step;
}

/* Note what is so now, by a clock in seconds; more often than steps are long */
void
history_note(History *history, double now, double events, double lag)
{
	double		passed = now - history->begun_at;
	Step	   *current = &history->current;

	if (history->begun_at == 0)
	{
		history->begun_at = now;
		history->begun_events = events;
		passed = 0;
	}
	if (passed >= SETTLED_SECONDS)
		current->rate = (events - history->begun_events) / passed;
	current->lag = lag > current->lag ? lag : current->lag;

	/* Of a machine that slept, too: what the time brought is spread over it. */
	if (passed < HISTORY_STEP_SECONDS)
		return;
	for (int i = 0; i < HISTORY_STEPS && now >= history->begun_at + HISTORY_STEP_SECONDS; i++)
	{
		keep(history, *current);
		history->begun_at += HISTORY_STEP_SECONDS;
	}
	if (now >= history->begun_at + HISTORY_STEP_SECONDS)
		history->begun_at = now;
	history->begun_events = events;
	current->lag = lag;
}

/* Events a second in the last minute, or since the beginning */
double
history_rate(const History *history)
{
	int			count = history->count < 4 ? history->count : 4;
	double		sum = count == 0 ? history->current.rate : 0;

	for (int i = history->count - count; i < history->count; i++)
		sum += history->steps[i].rate / count;
	return sum;
}

/* All steps, of which the last is under way; how many */
int
history_steps(const History *history, Step *steps)
{
	int			first = history->count == HISTORY_STEPS ? 1 : 0;
	int			count = history->count - first;

	memcpy(steps, &history->steps[first], (size_t) count * sizeof(Step));
	steps[count++] = history->current;
	return count;
}
