/*
 * main.c
 *		esgf_stac_relay: streams the events of one stream to one sink, session
 *		after session, until it is told to stop.
 */
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/notify.h"
#include "lib/program.h"
#include "lib/sessions.h"
#include "lib/wait.h"

const char *const program_name = "esgf_stac_relay";
const char *const program_noun = "relay";

/* Whatever is waited for: look after the stream, and what the operator watches */
static void
attend(void *cared_for)
{
	Relay	   *relay = cared_for;
	bool	   *asking = &relay->metrics.asking;

	stream_attend(&relay->stream);

	worker_look();

	/* What metrics ask for is waited for, too. */
	metrics_report(relay);
	if (*asking)
		return;
	*asking = true;
	if (relay->stream.streaming)
		consumer_tell(&relay->consumer);
	metrics_tick(relay);
	*asking = false;
}

/* Read the configuration again, and open the sink anew: its file may have been moved away */
static ExitStatus
reload(Relay *relay)
{
	bool		connected = relay->catalogue.sql != NULL && !relay->options.iteration.only;
	ExitStatus	status;

	/* Its files may have been moved away, too. */
	worker_reload();
	status = connected ? batch_settle(&relay->delivery) : STATUS_RUNNING;
	if (status != STATUS_RUNNING)
		return status;
	metrics_settled(relay);
	iterations_close_sinks(&relay->iterations);
	reload_requested = false;
	options_reload(&relay_options, &relay->options);
	database_set_timeout(relay->options.stream.server_timeout);
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

static ExitStatus
heed(void *program)
{
	return heed_signals(program);
}

/* One session; it gets on if the sink makes anything durable */
static ExitStatus
run_session(void *program, SessionReach *reach)
{
	Relay	   *relay = program;
	uint64_t	durable = relay->consumer.durable;
	ExitStatus	status;

	relay->metrics.sessions++;
	status = session_run(relay);
	relay->metrics.obstacle = status == STATUS_ENDPOINT ? "sink" : "database";
	metrics_report(relay);
	if (relay->consumer.durable > durable && !relay->options.verify.wanted)
		*reach = REACHED_PROGRESS;
	else
		*reach = relay->is_served ? REACHED_DATABASE : REACHED_NOTHING;
	return status;
}

static bool
is_last(const void *program)
{
	const Relay *relay = program;

	return relay->options.catalogue.no_loop || relay->delivery.sink_is_gone;
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
	relay->replay = (Source) {&source_replay, &relay->consumer, &relay->delivery, NULL};
	relay->snapshot.source = (Source) {&source_snapshot, &relay->consumer, &relay->delivery, NULL};
	relay->redrive.source = (Source) {&source_redrive, &relay->consumer, &relay->delivery, NULL};
	relay->iterations.source = (Source) {&source_iteration, &relay->consumer, &relay->delivery, NULL};
	relay->iterations.settings = &relay->options.iteration;
	relay->iterations.delivery = &relay->delivery;
	relay->rules.catalogue = &relay->catalogue;
	relay->metrics.obstacle = "database";
	relay->verification.settings = &relay->options.verify;
	relay->verification.catalogue = &relay->catalogue;
	relay->verification.sink = &relay->options.delivery.sink;
	relay->verification.sink_kind = relay->options.delivery.sink_kind;
	relay->verification.owner = relay;
}

int
main(int argc, char **argv)
{
	static Relay relay;
	const Sessions sessions = {.program = &relay,.heed_signals = heed,.run = run_session,.is_last = is_last,.attend = attend};
	bool		has_stdout = sessions_prepare();
	OptionsOutcome outcome = options_read(&relay_options, &relay.options, argc, argv);
	ExitStatus	status;

	if (outcome == OPTIONS_ANSWERED)
		return STATUS_STOPPED;
	if (outcome == OPTIONS_WRONG && !relay.options.check)
		return STATUS_USAGE;
	if (!has_stdout && relay.options.delivery.sink.name != NULL && strcmp(relay.options.delivery.sink.name, "ndjson:-") == 0)
	{
		log_line(LOG_ERROR, "stdout is closed, and is the sink");
		return STATUS_ENDPOINT;
	}
	assemble(&relay);
	log_start("stream", relay.options.catalogue.stream, relay.options.verbose);

	database_set_timeout(relay.options.stream.server_timeout);

	/* event.c reads dates of this form, whatever the database prefers. */
	setenv("PGDATESTYLE", "ISO", 1);
	setenv("PGTZ", "UTC", 1);

	if (relay.options.check)
		return check_run(&relay, outcome == OPTIONS_GOOD);
	notify_begin();
	worker_begin(&relay, argv);
	if (!worker_is_ours() && !watch_begin(metrics_subject(&relay), &relay.options.watch))
	{
		worker_end();
		return STATUS_USAGE;
	}
	status = sessions_run(&sessions);
	worker_end();
	watch_end();
	sink_close(&relay.delivery);
	batch_free(&relay.delivery);
	return (int) status;
}
