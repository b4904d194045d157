/*
 * rules.c
 *		Calls refresh_rules(), over a connection of its own: nobody waits for it.
 */
#include "catalogue/rules.h"

#include <stdlib.h>

#include "lib/log.h"

/* Items of a call: writers of those may have to wait until it ends. */
#define TELL "SELECT esgf_stac.refresh_rules(2000)"

/* The next call comes after that time: with jobs unfinished, and without; when one failed. */
#define UNFINISHED_MS 100
#define IDLE_MS 2000
#define FAILED_MS 10000

/* An answer is asked after that often. */
#define ANSWER_MS 20

/* Is the stream that of a site? */
static ExitStatus
learn_site(Rules *rules)
{
	Buffer		problem = {0};
	const char *parameters[] = {rules->catalogue->settings->stream};
	PGresult   *result = database_query(rules->catalogue->sql, &problem,
										"SELECT count(node) > 0 FROM esgf_stac.stream WHERE name = $1", 1, parameters);

	if (result == NULL)
		return database_lost(&problem);
	rules->of_site = field_true(result, 0);
	rules->known = true;
	PQclear(result);
	return STATUS_RUNNING;
}

/* What is wrong with rules is no reason to deliver nothing */
static void
complain(Rules *rules, Buffer *problem)
{
	log_line(LOG_WARNING, "rules of sites are not told to items: %s", problem->data);
	buffer_free(problem);
	rules_forget(rules);
	rules->due = monotonic_ms() + FAILED_MS;
}

/* Take the answer: so many jobs are unfinished */
static void
take_answer(Rules *rules)
{
	Buffer		problem = {0};
	PGresult   *answer = database_result(rules->connection, "refresh_rules()", &problem);

	rules->asking = false;
	if (answer == NULL)
	{
		complain(rules, &problem);
		return;
	}
	rules->due = monotonic_ms() + (strtol(PQgetvalue(answer, 0, 0), NULL, 10) > 0 ? UNFINISHED_MS : IDLE_MS);
	PQclear(answer);
}

/* Have rules told, if that is due; asked as often as it wants */
ExitStatus
rules_tell(Rules *rules)
{
	Buffer		problem = {0};
	ExitStatus	status = rules->known ? STATUS_RUNNING : learn_site(rules);

	if (status != STATUS_RUNNING || !rules->of_site)
		return status;
	if (rules->asking && database_has_answer(rules->connection))
		take_answer(rules);
	if (rules->asking || monotonic_ms() < rules->due)
		return STATUS_RUNNING;
	if (rules->connection == NULL)
		status = catalogue_connect(rules->catalogue, &rules->connection);
	if (status == STATUS_RUNNING && database_send(rules->connection, &problem, TELL, 0, NULL))
		rules->asking = true;
	else if (status == STATUS_RUNNING)
		complain(rules, &problem);
	return status;
}

/* When does it want to be asked again? */
int64_t
rules_due(const Rules *rules)
{
	if (!rules->of_site)
		return INT64_MAX;
	return rules->asking ? monotonic_ms() + ANSWER_MS : rules->due;
}

/* Lose the connection; the next call goes on where this one ends */
void
rules_forget(Rules *rules)
{
	PQfinish(rules->connection);
	rules->connection = NULL;
	rules->known = rules->asking = false;
	rules->due = 0;
}
