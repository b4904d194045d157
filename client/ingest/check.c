/*
 * check.c
 *		--check: tries, in the order of a run, what a run needs of database, results
 *		and log, tells all that it lacks, and changes nothing.
 */
#include "ingest/ingest.h"

#include "lib/log.h"
#include "lib/wait.h"

/* The first fault is what a run would end with */
static bool
passed(ExitStatus *first, ExitStatus status)
{
	if (*first == STATUS_RUNNING)
		*first = status;
	return status == STATUS_RUNNING;
}

/* Something beside the database, if that is a problem */
static ExitStatus
tell(const char *what, bool good, Buffer *problem)
{
	if (!good)
		log_line(LOG_ERROR, "%s: %s", what, problem->data);
	buffer_free(problem);
	return good ? STATUS_RUNNING : STATUS_ENDPOINT;
}

static ExitStatus
try_results(const Options *options)
{
	Buffer		problem = {0};

	if (options->results_kind == NULL)
		return STATUS_RUNNING;
	return tell("results are down", options->results_kind->try(&options->results, &problem), &problem);
}

/* A file is opened, and compared with what the database knows; who follows one may be there before it */
static ExitStatus
try_log(Ingest *ingest)
{
	const SourceKind *kind = ingest->options.source_kind;
	const SourceSettings *settings = &ingest->options.source;
	Buffer		problem = {0};
	bool		gone = false;

	if (kind == NULL)
		return STATUS_RUNNING;
	if (kind->try != NULL)
		return tell("source is down", kind->try(settings, &problem), &problem);
	ingest->source = kind->open(settings, "", &gone, &problem);
	if (ingest->source == NULL && !gone)
	{
		log_line(LOG_WARNING, "source: %s", problem.data);
		buffer_free(&problem);
		return STATUS_RUNNING;
	}
	return tell("source is down", ingest->source != NULL, &problem);
}

/* Try everything; where options are wrong, what they leave to be tried */
ExitStatus
check_run(Ingest *ingest, bool options_good)
{
	ExitStatus	status = options_good ? STATUS_RUNNING : STATUS_USAGE;
	const CatalogueSettings *settings = &ingest->options.catalogue;
	bool		connected;

	if (!watch_try(&ingest->options.watch))
		passed(&status, STATUS_USAGE);
	connected = passed(&status, handshake_connect(settings->dbname, NULL, &ingest->catalogue.sql)) &&
		passed(&status, handshake_check(ingest->catalogue.sql, true));
	passed(&status, try_results(&ingest->options));
	passed(&status, try_log(ingest));
	if (connected && settings->source != NULL)
		passed(&status, position_check(&ingest->catalogue, ingest->source != NULL && !ingest->source->once ? ingest->source : NULL));
	session_close_source(ingest);
	PQfinish(ingest->catalogue.sql);
	if (status != STATUS_RUNNING)
		return status;
	log_line(LOG_NOTE, "checked: nothing is wrong");
	return STATUS_STOPPED;
}
