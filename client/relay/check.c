/*
 * check.c
 *		--check: tries, in the order of a run, what a run needs of database and
 *		sink, tells all that it lacks, and changes nothing.
 */
#include "relay/relay.h"

#include "catalogue/history.h"
#include "catalogue/slot.h"
#include "lib/log.h"
#include "lib/wait.h"

typedef struct Check
{
	Relay	   *relay;
	ExitStatus	status;			/* of the first fault: a run would end with it */
	bool		beside;			/* another relay reads the stream */
} Check;

static bool
passed(Check *check, ExitStatus status)
{
	if (check->status == STATUS_RUNNING)
		check->status = status;
	return status == STATUS_RUNNING;
}

/* The slot, and whether the server's history is the one that was delivered */
static void
try_slot(Check *check)
{
	Relay	   *relay = check->relay;

	if (!passed(check, history_connect(&relay->catalogue)))
		relay->catalogue.replication = NULL;
	if (!passed(check, consumer_load(&relay->consumer)))
		return;
	if (relay->catalogue.replication != NULL)
		passed(check, history_check(&relay->consumer, NULL));
	passed(check, slot_check(&relay->consumer, &check->beside));
}

/* Login, extension, catalogue, stream and publication */
static void
try_database(Check *check)
{
	Relay	   *relay = check->relay;
	CatalogueSettings *settings = relay->catalogue.settings;
	bool		no_loop = settings->no_loop;
	bool		good;

	if (!passed(check, catalogue_connect(&relay->catalogue, &relay->catalogue.sql)))
		return;

	/* A version to wait for is a fault here. */
	settings->no_loop = true;
	good = passed(check, catalogue_check(&relay->catalogue));
	settings->no_loop = no_loop;
	if (good && !relay->options.iteration.only)
		try_slot(check);
}

/* A sink that is tried is waited for only for as long as a server may need to answer */
static bool
keep_waiting(void *owner, Wait *wait, const char *problem)
{
	(void) owner;
	return problem == NULL && !stop_requested && wait_seconds(wait) < 10;
}

static bool
opens(const SinkKind *kind, const SinkSettings *settings, Buffer *problem)
{
	Sink	   *sink = kind->open(settings, "", problem);
	bool		reached;

	if (sink == NULL)
		return false;
	sink->waits = keep_waiting;
	reached = kind->reach == NULL || kind->reach(sink, problem);
	kind->close(sink);
	return reached;
}

static void
try_sink(Check *check)
{
	const DeliverySettings *settings = &check->relay->options.delivery;
	const SinkKind *kind = settings->sink_kind;
	Buffer		problem = {0};
	bool		good = kind->try != NULL ? kind->try(&settings->sink, check->beside, &problem) : opens(kind, &settings->sink, &problem);

	if (!good)
		log_line(LOG_ERROR, "sink is down: %s", problem.data);
	passed(check, good ? STATUS_RUNNING : STATUS_ENDPOINT);
	buffer_free(&problem);
}

/* Try everything; where options are wrong, what they leave to be tried */
ExitStatus
check_run(Relay *relay, bool options_good)
{
	Check		check = {.relay = relay,.status = options_good ? STATUS_RUNNING : STATUS_USAGE};
	const CatalogueSettings *settings = &relay->options.catalogue;

	if (settings->slot[0] != '\0')
		try_database(&check);
	catalogue_disconnect(&relay->catalogue);
	if (relay->options.delivery.sink_kind != NULL && !relay->options.iteration.only)
		try_sink(&check);

	/* A run would end there first. Who runs already listens there himself. */
	if (!check.beside && !watch_try(&relay->options.watch))
		check.status = STATUS_USAGE;
	if (check.status != STATUS_RUNNING)
		return check.status;
	log_line(LOG_NOTE, "checked: nothing is wrong");
	return STATUS_STOPPED;
}
