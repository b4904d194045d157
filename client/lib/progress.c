/*
 * progress.c
 *		How far something long has come, as people read it.
 */
#include "lib/progress.h"

#include "lib/wait.h"

/* Append a number as people read it */
void
append_count(Buffer *text, int64_t count)
{
	if (count >= 1000)
	{
		append_count(text, count / 1000);
		buffer_printf(text, ",%03d", (int) (count % 1000));
	}
	else
		buffer_printf(text, "%d", (int) count);
}

/* Append how long the rest will take, if that can be told; the beginning is a time of monotonic_ms() */
void
append_time_left(Buffer *text, int64_t done, int64_t left, int64_t begun_at)
{
	int64_t		seconds;

	if (left <= 0 || done <= 0)
		return;
	seconds = left * (monotonic_ms() - begun_at) / done / 1000 + 1;
	if (seconds < 100)
		buffer_printf(text, ", %d s left", (int) seconds);
	else if (seconds < 6000)
		buffer_printf(text, ", %d min left", (int) (seconds + 59) / 60);
	else
		buffer_printf(text, ", %d h left", (int) (seconds + 3599) / 3600);
}
