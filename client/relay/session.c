/*
 * session.c
 *		From connecting to losing a connection: steps, each of which may end it.
 */
#include "relay/relay.h"

#include "catalogue/history.h"
#include "catalogue/slot.h"

/* ---------------------------------------------------------------- steps */

/* What a verification waits for */
static ExitStatus
deliver(void *relay, uint64_t position)
{
	return stream_reach(relay, position);
}

static ExitStatus
connect_for_queries(Relay *relay)
{
	return catalogue_connect(&relay->catalogue, &relay->catalogue.sql);
}

static ExitStatus
check_catalogue(Relay *relay)
{
	return catalogue_check(&relay->catalogue);
}

static ExitStatus
connect_for_stream(Relay *relay)
{
	ExitStatus	status = history_connect(&relay->catalogue);

	if (status == STATUS_RUNNING)
		relay->stream.server_end = relay->catalogue.server_position;
	return status;
}

/* A worker has no stream */
static ExitStatus
do_work(Relay *relay)
{
	relay->is_served = relay->options.iteration.only;
	return relay->is_served ? work_run(relay) : STATUS_RUNNING;
}

static ExitStatus
load_consumer(Relay *relay)
{
	return consumer_load(&relay->consumer);
}

static ExitStatus
learn_lag(Relay *relay)
{
	metrics_ask(relay);
	return STATUS_RUNNING;
}

static ExitStatus
open_sink(Relay *relay)
{
	ExitStatus	status;

	relay->metrics.obstacle = "sink";
	status = sink_open(&relay->delivery);
	relay->metrics.obstacle = "database";
	return status;
}

static ExitStatus
check_history(Relay *relay)
{
	return history_check(&relay->consumer, relay->delivery.sink);
}

/* The sink was fed from another history: note that before slot and consumer, made anew, hide it */
static ExitStatus
note_cure(Relay *relay)
{
	Verification *verification = &relay->verification;
	Sink	   *sink = relay->delivery.sink;

	verification->diverged = relay->consumer.cures;
	if (!verification->diverged)
		return STATUS_RUNNING;
	buffer_clear(&verification->witness);
	if (sink->kind->newest != NULL)
		sink->kind->newest(sink, &verification->witness);
	return verification_begin(verification);
}

static ExitStatus
prepare_slot(Relay *relay)
{
	ExitStatus	status = slot_prepare(&relay->consumer);

	relay->is_served = status == STATUS_RUNNING;
	return status;
}

static ExitStatus
send_missed(Relay *relay)
{
	relay->metrics.delivering = true;
	return send_source(relay, &relay->replay);
}

static ExitStatus
send_snapshot(Relay *relay)
{
	return send_source(relay, &relay->snapshot.source);
}

static ExitStatus
start_stream(Relay *relay)
{
	ExitStatus	status = stream_start(&relay->stream);

	if (status != STATUS_RUNNING)
		return status;
	standstill_over(&relay->consumer);
	status = horizon_cover(&relay->consumer, batch_in_hand(&relay->delivery));

	/* By that the WAL goes on behind the horizon to be. */
	return status == STATUS_RUNNING ? consumer_save(&relay->consumer) : status;
}

/* Where another relay reads the stream: compare beside it */
static ExitStatus
verify_beside(Relay *relay)
{
	bool		active;
	uint64_t	confirmed;
	ExitStatus	status;

	if (!relay->options.verify.wanted)
		return STATUS_RUNNING;
	status = slot_confirmed(&relay->catalogue, &active, &confirmed);
	if (status != STATUS_RUNNING || !active)
		return status;
	relay->metrics.delivering = true;
	relay->verification.deliver = NULL;
	return verification_run(&relay->verification);
}

/* Where no other does: this one does, and delivers first what the slot holds */
static ExitStatus
verify_alone(Relay *relay)
{
	ExitStatus	status;
	ExitStatus	left;

	if (!relay->options.verify.wanted)
		return STATUS_RUNNING;
	relay->verification.deliver = deliver;
	status = stream_reach(relay, relay->stream.server_end);
	if (status == STATUS_RUNNING)
		status = verification_run(&relay->verification);
	left = status == STATUS_STOPPED || status == STATUS_DRIFT ? stream_take_leave(relay, STATUS_RUNNING) : status;
	return left == STATUS_STOPPED ? status : left;
}

/* In their order; without a sink, the slot is all. */
static const struct
{
	ExitStatus	(*take) (Relay *relay);
	bool		needs_sink;
}			steps[] = {
	{connect_for_queries, false},
	{check_catalogue, false},
	{do_work, true},
	{verify_beside, true},
	{connect_for_stream, false},
	{load_consumer, false},
	{learn_lag, false},
	{open_sink, true},
	{check_history, false},
	{note_cure, true},
	{prepare_slot, false},
	{send_missed, true},
	{send_snapshot, true},
	{start_stream, true},
	{verify_alone, true},
	{stream_run, true},
};

/* Lose all connections; the sink stays open unless it failed */
static void
end_session(Relay *relay)
{
	batch_drop(&relay->delivery);
	consumer_drop(&relay->consumer);
	redrive_forget(&relay->redrive);
	iterations_forget(&relay->iterations);
	rules_forget(&relay->rules);
	relay->stream.streaming = false;
	relay->metrics.delivering = false;
	metrics_report(relay);
	catalogue_disconnect(&relay->catalogue);
}

/* Connect, check, and stream until something ends it */
ExitStatus
session_run(Relay *relay)
{
	ExitStatus	status = STATUS_RUNNING;

	relay->is_served = false;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == STATUS_RUNNING; i++)
		if (relay->options.catalogue.has_sink || !steps[i].needs_sink)
			status = steps[i].take(relay);
	end_session(relay);
	return status == STATUS_RUNNING ? STATUS_STOPPED : status;
}
