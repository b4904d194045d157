/*
 * standstill.c
 *		Why the stream stands still, in its row of the table consumer, for whoever
 *		watches the catalogue and not the relay.
 */
#include "catalogue/consumer.h"

#include <stdlib.h>

#include "lib/log.h"
#include "lib/wait.h"

/* A problem that lasts is written down that often. */
#define REMIND_MS 30000

/* Write down why the stream stands still, or that it does not; no error if that cannot be done now */
static void
tell_problem(Consumer *consumer)
{
	const Catalogue *catalogue = consumer->catalogue;
	Standstill *standstill = &consumer->standstill;
	Buffer		problem = {0};
	const char *parameters[] = {catalogue->settings->stream, standstill->problem};

	/* Something else may be under way there. */
	if (!consumer->row.known || PQtransactionStatus(catalogue->sql) != PQTRANS_IDLE)
		return;
	PQclear(database_query(catalogue->sql, &problem,
						   "UPDATE esgf_stac.consumer SET problem = left($2, 1000), problem_at = CASE WHEN $2 IS NOT NULL THEN now() END"
						   " WHERE stream = $1", 2, parameters));
	buffer_free(&problem);
	consumer->row.problem_told = standstill->problem != NULL;
	standstill->told_at = monotonic_ms();
}

/* The stream stands still; what is told of that has no secrets in it, as in the log */
void
standstill_tell(Consumer *consumer, const char *what, const char *problem)
{
	Buffer		text = {0};

	buffer_printf(&text, "%s: ", what);
	log_text(&text, problem, "");
	free(consumer->standstill.problem);
	consumer->standstill.problem = text.data;
	consumer->standstill.stuck = false;
	tell_problem(consumer);
}

/* It does until that event is behind us, whatever the sink takes meanwhile */
void
standstill_at_event(Consumer *consumer)
{
	consumer->standstill.stuck = true;
	consumer->standstill.stuck_at = consumer->delivered;
}

/* It still does: who reads the row believes it for two minutes */
void
standstill_remind(Consumer *consumer)
{
	if (consumer->standstill.problem != NULL && monotonic_ms() >= consumer->standstill.told_at + REMIND_MS)
		tell_problem(consumer);
}

/* It does not, or no more */
void
standstill_over(Consumer *consumer)
{
	Standstill *standstill = &consumer->standstill;

	if (standstill->stuck && consumer->delivered <= standstill->stuck_at)
		return;
	standstill->stuck = false;
	free(standstill->problem);
	standstill->problem = NULL;
	if (consumer->row.problem_told)
		tell_problem(consumer);
}
