/*
 * main.c
 *		esgf_stac_relay: streams the events of one stream to one sink, session
 *		after session, until it is told to stop.
 */
#include "relay/relay.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/program.h"
#include "lib/wait.h"

const char *const program_name = "esgf_stac_relay";

/* The wait before a new session doubles from the one to the other. */
#define FIRST_WAIT_MS 200
#define LONGEST_WAIT_MS 30000

/* Whatever is waited for: look after the stream, and what the operator watches */
static void
attend(void *cared_for)
{
	static bool within = false;
	Relay	   *relay = cared_for;

	stream_attend(&relay->stream);

	/* What metrics ask for is waited for, too. */
	if (within)
		return;
	within = true;
	metrics_tick(relay);
	within = false;
}

/* Read the configuration again, and open the sink anew: its file may have been moved away */
static ExitStatus
reload(Relay *relay)
{
	bool		connected = relay->catalogue.sql != NULL;
	ExitStatus	status = connected ? batch_settle(&relay->delivery) : STATUS_RUNNING;

	if (status != STATUS_RUNNING)
		return status;
	metrics_settled(relay);
	reload_requested = false;
	options_reload(&relay_options, &relay->options);
	log_start("stream", relay->options.catalogue.stream, relay->options.verbose);
	sink_close(&relay->delivery);
	batch_free(&relay->delivery);
	log_line(LOG_NOTE, "read the configuration, and opened the sink, anew");
	return connected ? sink_open(&relay->delivery) : STATUS_RUNNING;
}

/* Where nothing is in hand but what may be delivered: obey the signals that came */
ExitStatus
heed_signals(Relay *relay)
{
	if (stop_requested)
		return STATUS_STOPPED;
	return reload_requested ? reload(relay) : STATUS_RUNNING;
}

/* Wait before the next session; many relays must not come all at once */
static void
back_off(int64_t *pause)
{
	int64_t		jittered = *pause / 2 + random() % (*pause / 2 + 1);
	Wait		wait = wait_begin(NULL);

	log_line(LOG_NOTE, "trying again in %d ms", (int) jittered);
	while (!stop_requested && !reload_requested && monotonic_ms() < wait.since + jittered)
		wait_on(&wait, -1, 0, wait.since + jittered - monotonic_ms());
	*pause = *pause * 2 < LONGEST_WAIT_MS ? *pause * 2 : LONGEST_WAIT_MS;
}

/* Run sessions until there is nothing to try again */
static ExitStatus
run(Relay *relay)
{
	int64_t		pause = FIRST_WAIT_MS;

	while (heed_signals(relay) == STATUS_RUNNING)
	{
		uint64_t	durable = relay->consumer.durable;
		ExitStatus	status;

		relay->metrics.sessions++;
		status = session_run(relay);

		if (relay->consumer.durable > durable)
			pause = FIRST_WAIT_MS;
		if (stop_requested && status != STATUS_INTERNAL)
			return STATUS_STOPPED;
		if (relay->options.catalogue.no_loop || relay->delivery.sink_is_gone || (status != STATUS_DATABASE && status != STATUS_SINK))
			return status;
		back_off(&pause);
	}
	return STATUS_STOPPED;
}

/*
 * No connection may have the number of a descriptor that was closed when we
 * were started: lines would go there. False: stdout was, and is needed.
 */
static bool
keep_descriptors(void)
{
	bool		has_stdout = true;

	for (int file = STDIN_FILENO; file <= STDERR_FILENO; file++)
	{
		if (fcntl(file, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", file == STDERR_FILENO ? O_WRONLY : O_RDONLY) != file)
			_exit(STATUS_INTERNAL);
		has_stdout = has_stdout && file != STDOUT_FILENO;
	}
	return has_stdout;
}

/* Make the parts known to those that need them */
static void
assemble(Relay *relay)
{
	relay->catalogue.settings = &relay->options.catalogue;
	relay->consumer.catalogue = &relay->catalogue;
	relay->delivery.settings = &relay->options.delivery;
	relay->delivery.consumer = &relay->consumer;
	relay->stream.settings = &relay->options.stream;
	relay->stream.consumer = &relay->consumer;
	relay->replay = (Source) {&source_replay, &relay->consumer};
	relay->snapshot.source = (Source) {&source_snapshot, &relay->consumer};
	relay->redrive.source = (Source) {&source_redrive, &relay->consumer};
}

int
main(int argc, char **argv)
{
	static Relay relay;
	bool		has_stdout = keep_descriptors();
	OptionsOutcome outcome = options_read(&relay_options, &relay.options, argc, argv);
	ExitStatus	status;

	if (outcome != OPTIONS_GOOD)
		return outcome == OPTIONS_ANSWERED ? STATUS_STOPPED : STATUS_USAGE;
	if (!has_stdout && relay.options.delivery.sink.name != NULL && strcmp(relay.options.delivery.sink.name, "ndjson:-") == 0)
	{
		log_line(LOG_ERROR, "stdout is closed, and is the sink");
		return STATUS_SINK;
	}
	assemble(&relay);
	log_start("stream", relay.options.catalogue.stream, relay.options.verbose);
	srandom((unsigned int) time(NULL) ^ (unsigned int) getpid());
	wait_set_signals();
	wait_look_after(attend, &relay);

	/* event.c reads dates of this form, whatever the database prefers. */
	setenv("PGDATESTYLE", "ISO", 1);
	setenv("PGTZ", "UTC", 1);

	status = run(&relay);
	sink_close(&relay.delivery);
	batch_free(&relay.delivery);
	return (int) status;
}
