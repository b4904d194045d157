/*
 * main.c
 *		esgf_stac_ingest: has the database perform the events of one source,
 *		session after session, until it is told to stop or a file is at its end.
 */
#include "ingest/ingest.h"

#include <string.h>

#include "lib/log.h"
#include "lib/notify.h"
#include "lib/program.h"
#include "lib/sessions.h"

const char *const program_name = "esgf_stac_ingest";
const char *const program_noun = "ingester";

/* Whatever is waited for: look after the source, and what the operator watches */
static void
attend(void *program)
{
	Ingest	   *ingest = program;

	if (ingest->source != NULL && ingest->source->kind->attend != NULL)
		ingest->source->kind->attend(ingest->source);
	metrics_tick(ingest);
}

/* Between sessions: read the configuration again, and open results anew, whose files may have been moved away */
static ExitStatus
heed_signals(void *program)
{
	Ingest	   *ingest = program;

	if (stop_requested)
		return STATUS_STOPPED;
	if (!reload_requested)
		return STATUS_RUNNING;
	reload_requested = false;
	options_reload(&ingest_options, &ingest->options);
	database_set_timeout(ingest->options.server_timeout);
	log_start("source", ingest->options.catalogue.source, ingest->options.verbose);
	session_close_results(ingest);
	ingest->catalogue.limit = ingest->options.catalogue.batch;
	log_line(LOG_NOTE, "read the configuration, and opened the results, anew");
	return STATUS_RUNNING;
}

/* One session; it gets on if it performs anything */
static ExitStatus
run_session(void *program, SessionReach *reach)
{
	Ingest	   *ingest = program;
	int64_t		events = ingest->catalogue.events;
	ExitStatus	status;

	ingest->metrics.sessions++;
	status = session_run(ingest);
	if (status == STATUS_DATABASE)
		ingest->metrics.obstacle = "database";
	if (ingest->catalogue.events > events)
		*reach = REACHED_PROGRESS;
	else
		*reach = ingest->is_served ? REACHED_DATABASE : REACHED_NOTHING;
	return status;
}

static bool
is_last(const void *program)
{
	const Ingest *ingest = program;

	return ingest->options.no_loop || ingest->gone;
}

int
main(int argc, char **argv)
{
	static Ingest ingest;
	const Sessions sessions = {.program = &ingest,.heed_signals = heed_signals,.run = run_session,.is_last = is_last,.attend = attend};
	bool		has_stdout = sessions_prepare();
	OptionsOutcome outcome = options_read(&ingest_options, &ingest.options, argc, argv);
	ExitStatus	status;

	if (outcome == OPTIONS_ANSWERED)
		return STATUS_STOPPED;
	if (outcome == OPTIONS_WRONG && !ingest.options.check)
		return STATUS_USAGE;
	if (!has_stdout && ingest.options.results.name != NULL && strcmp(ingest.options.results.name, "ndjson:-") == 0)
	{
		log_line(LOG_ERROR, "stdout is closed, and results are to go there");
		return STATUS_ENDPOINT;
	}
	ingest.catalogue.settings = &ingest.options.catalogue;
	ingest.catalogue.limit = ingest.options.catalogue.batch;
	log_start("source", ingest.options.catalogue.source, ingest.options.verbose);
	database_set_timeout(ingest.options.server_timeout);
	if (ingest.options.check)
		return check_run(&ingest, outcome == OPTIONS_GOOD);
	notify_begin();
	ingest.metrics.obstacle = "database";
	if (!watch_begin(metrics_subject(&ingest), &ingest.options.watch))
		return STATUS_USAGE;
	status = sessions_run(&sessions);
	watch_end();
	session_close_results(&ingest);
	session_close_source(&ingest);
	return (int) status;
}
