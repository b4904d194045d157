/*
 * stream.c
 *		Reads the slot: "Streaming Replication Protocol" in PostgreSQL's
 *		documentation.
 *
 * The server sends data ('w') and keepalives ('k'); we answer with status
 * packets ('r') that confirm what is durable. A keepalive's position counts as
 * received too, so that an idle stream holds no WAL: the server sends it after
 * every transaction that ends before it.
 */
#include "relay/relay.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "lib/log.h"

/* Events are made durable, and confirmed, that often while they flow. */
#define SETTLE_INTERVAL_MS 1000

/* A server that was asked to answer and does not for so long is lost. */
#define SILENCE_MS 30000

/* While the sink keeps us waiting, so much is read of what comes next. */
#define READ_AHEAD_BYTES (4 * 1024 * 1024)

/* After CopyDone the server may still send what it had begun; less when a stop was asked for. */
#define FAREWELL_MS 5000
#define FAREWELL_STOP_MS 400

/* Before, a horizon may take so long. */
#define COVER_MS 300

/* The seconds from the Unix to the PostgreSQL epoch. */
#define EPOCH_DISTANCE 946684800

/* The clocks and the state of one reading. */
typedef struct Reading
{
	Relay	   *relay;
	int64_t		settled_at;
	int64_t		asked_at;		/* when an answer was asked for */
	bool		ended;			/* endpos is reached, or a stop was asked for */
} Reading;

static ExitStatus
stream_lost(Relay *relay, const char *what)
{
	log_line(LOG_ERROR, "stream: %s%s", what, PQerrorMessage(relay->replication));
	return STATUS_DATABASE;
}

/* Confirm what is durable */
static ExitStatus
send_status(Relay *relay, bool answer)
{
	char		packet[1 + 8 + 8 + 8 + 8 + 1];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	packet[0] = 'r';
	write_number(packet + 1, relay->received, 8);
	write_number(packet + 9, relay->durable, 8);
	write_number(packet + 17, relay->durable, 8);
	write_number(packet + 25, (uint64_t) (now.tv_sec - EPOCH_DISTANCE) * 1000000 + (uint64_t) now.tv_nsec / 1000, 8);
	packet[33] = answer;

	/* One that does not go out at once goes with the next. */
	if (PQputCopyData(relay->replication, packet, sizeof(packet)) < 0 || PQflush(relay->replication) < 0)
		return stream_lost(relay, "could not send a status packet: ");
	relay->reported = relay->durable;
	relay->reported_at = monotonic_ms();
	return STATUS_RUNNING;
}

/* Tell the server that we live */
static ExitStatus
report(Relay *relay)
{
	if (monotonic_ms() < relay->reported_at + relay->options.status_interval * 1000)
		return STATUS_RUNNING;
	return send_status(relay, false);
}

/* Let the server go on sending */
static void
read_ahead(Relay *relay)
{
	int			available;

	if (relay->ahead >= READ_AHEAD_BYTES ||
		ioctl(PQsocket(relay->replication), FIONREAD, &available) != 0 || available == 0)
		return;
	relay->ahead += (size_t) available;
	PQconsumeInput(relay->replication); /* a failure is noticed later */
}

/*
 * Is the connection for queries lost? A server that stops ends those first, and
 * then waits until we have confirmed everything.
 */
static bool
queries_lost(Relay *relay)
{
	struct pollfd one = {PQsocket(relay->sql), POLLIN, 0};

	/* Whoever asks something sees for himself. */
	if (PQtransactionStatus(relay->sql) == PQTRANS_ACTIVE)
		return false;
	if (poll(&one, 1, 0) > 0 && database_receive(relay->sql))
		PQisBusy(relay->sql);	/* has it say why */
	return PQstatus(relay->sql) == CONNECTION_BAD;
}

static void
end_streaming(Relay *relay)
{
	PQfinish(relay->replication);
	relay->replication = NULL;
	relay->streaming = false;
}

/*
 * Whatever keeps us waiting, keep the stream alive. Without the database we
 * could confirm nothing: let its server stop.
 */
void
stream_attend(Relay *relay)
{
	if (!relay->streaming)
		return;
	read_ahead(relay);
	if (queries_lost(relay))
		log_line(LOG_ERROR, "database: the connection is lost");
	else if (report(relay) == STATUS_RUNNING)
		return;
	end_streaming(relay);
}

/*
 * Make durable what was received, write down how far that is, and confirm it.
 * Between transactions is also the time to look after dead letters.
 */
static ExitStatus
settle(Reading *reading)
{
	Relay	   *relay = reading->relay;
	ExitStatus	status = batch_settle(relay);

	if (status == STATUS_RUNNING)
		status = consumer_advance(relay);
	if (status == STATUS_RUNNING && !relay->streaming)
		status = STATUS_DATABASE;
	if (status == STATUS_RUNNING)
		status = relay->durable > relay->reported ? send_status(relay, false) : report(relay);
	if (status == STATUS_RUNNING && !relay->in_transaction && !relay->ending)
		status = redrive(relay);
	metrics_tick(relay);
	relay->metrics.flowing = false;
	reading->settled_at = monotonic_ms();
	return status;
}

static void
receive_up_to(Relay *relay, uint64_t position)
{
	if (position > relay->received)
		relay->received = position;
}

/* Is everything that was asked for received? */
static bool
past_end(const Relay *relay, uint64_t position)
{
	return relay->options.endpos != 0 && position >= relay->options.endpos;
}

static ExitStatus
take_keepalive(Reading *reading, const char *bytes, size_t length)
{
	Relay	   *relay = reading->relay;
	uint64_t	position;

	if (length < 1 + 8 + 8 + 1)
		return stream_lost(relay, "a keepalive is cut short");
	position = read_number(bytes + 1, 8);
	relay->metrics.server_end = position;
	if (!relay->in_transaction)
	{
		receive_up_to(relay, position);
		reading->ended = past_end(relay, position);
	}

	/* A server that shuts down waits until we have confirmed everything. */
	if (bytes[17])
	{
		relay->reported = 0;
		return settle(reading);
	}
	return STATUS_RUNNING;
}

/* Take one message of pgoutput; the bytes are ours now */
static ExitStatus
take_data(Reading *reading, char *bytes, size_t length)
{
	Relay	   *relay = reading->relay;
	Message		message;
	Buffer		problem = {0};

	if (length < 1 + 8 + 8 + 8 + 1 ||
		!pgoutput_decode(&relay->decoder, bytes + 25, length - 25, &message, &problem))
	{
		log_problem("bad-message", "stream: %s", problem.length > 0 ? problem.data : "a message is cut short");
		buffer_free(&problem);
		PQfreemem(bytes);
		return STATUS_SLOT;
	}
	relay->metrics.server_end = read_number(bytes + 9, 8);
	switch (message.kind)
	{
		case MESSAGE_BEGIN:
			reading->ended = past_end(relay, message.position);
			relay->in_transaction = !reading->ended;
			relay->metrics.begun_at = message.committed_at + EPOCH_DISTANCE * INT64_C(1000000);
			break;
		case MESSAGE_EVENT:
			message.event.memory = bytes;
			message.event.release = PQfreemem;
			redrive_note(relay, &message.event);
			if (relay->metrics.oldest_at == 0)
				relay->metrics.oldest_at = relay->metrics.begun_at;
			relay->metrics.flowing = true;
			return batch_add(relay, &message.event);
		case MESSAGE_COMMIT:
			relay->in_transaction = false;
			receive_up_to(relay, message.position);
			relay->received_end = message.position;
			relay->metrics.committed_at = message.committed_at + EPOCH_DISTANCE * INT64_C(1000000);
			reading->ended = past_end(relay, message.position);
			break;
		case MESSAGE_OTHER:
			break;
	}
	PQfreemem(bytes);
	return STATUS_RUNNING;
}

/* The server ended the copy: why? */
static ExitStatus
server_ended(Relay *relay)
{
	PGresult   *result = PQgetResult(relay->replication);

	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	log_line(LOG_ERROR, "stream: the server ended it: %s",
			 result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(relay->replication));

	/* A limit of the program, no memory, or an internal error. */
	if (state != NULL && (strncmp(state, "54", 2) == 0 || strncmp(state, "53", 2) == 0 || strncmp(state, "XX", 2) == 0))
		skip_tell(relay, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	PQclear(result);
	return STATUS_DATABASE;
}

/* Is it time to settle, even if nothing comes in? */
static bool
settle_due(const Reading *reading)
{
	return monotonic_ms() >= reading->settled_at + SETTLE_INTERVAL_MS;
}

/* The server is quiet: deliver, and see whether it is still there */
static ExitStatus
use_the_quiet(Reading *reading)
{
	Relay	   *relay = reading->relay;
	int64_t		interval = relay->options.status_interval * 1000;
	ExitStatus	status = batch_deliver(relay);

	if (status == STATUS_RUNNING && settle_due(reading))
		status = settle(reading);
	if (status == STATUS_RUNNING && !relay->streaming)
		status = STATUS_DATABASE;
	if (status != STATUS_RUNNING)
		return status;

	if (reading->asked_at > relay->heard_at)
		return monotonic_ms() < reading->asked_at + SILENCE_MS ? STATUS_RUNNING :
			stream_lost(relay, "the server has fallen silent");
	if (monotonic_ms() >= relay->heard_at + interval)
	{
		reading->asked_at = monotonic_ms();
		status = send_status(relay, true);
	}
	return status;
}

/*
 * Wait for the server until a time; true if it has sent something. (What TLS
 * holds back comes by the next round.)
 */
static bool
server_sends(Relay *relay, int64_t until)
{
	Wait		wait = wait_begin(NULL);
	bool		sends = false;

	do
		sends = wait_on(&wait, PQsocket(relay->replication), POLLIN, until - monotonic_ms());
	while (!sends && relay->streaming && !stop_requested && monotonic_ms() < until);
	if (sends)
		relay->heard_at = monotonic_ms();
	return sends;
}

/* Wait for the server; while more is on its way the batch goes on growing */
static ExitStatus
wait_for_server(Reading *reading)
{
	Relay	   *relay = reading->relay;
	ExitStatus	status = STATUS_RUNNING;

	if (!server_sends(relay, relay->batch_count > 0 ? relay->gather_until : 0) && relay->streaming)
	{
		status = use_the_quiet(reading);
		if (status == STATUS_RUNNING)
			server_sends(relay, reading->settled_at + SETTLE_INTERVAL_MS);
	}
	return status;
}

/* Take what the server has sent, or wait for more */
static ExitStatus
take_message(Reading *reading)
{
	Relay	   *relay = reading->relay;
	char	   *bytes;
	int			length;
	ExitStatus	status = STATUS_RUNNING;

	if (!relay->streaming)
		return STATUS_DATABASE;
	length = PQgetCopyData(relay->replication, &bytes, 1);
	if (length == 0)
	{
		/* What has come must be looked at before more is waited for. */
		relay->ahead = 0;
		if (!database_receive(relay->replication))
			return stream_lost(relay, "");
		length = PQgetCopyData(relay->replication, &bytes, 1);
	}
	if (length == 0)
		return wait_for_server(reading);
	relay->heard_at = monotonic_ms();
	if (length == -1)
		return server_ended(relay);
	if (length < 0)
		return stream_lost(relay, "");
	if (bytes[0] == 'w')
		status = take_data(reading, bytes, (size_t) length);
	else
	{
		if (bytes[0] == 'k')
			status = take_keepalive(reading, bytes, (size_t) length);
		PQfreemem(bytes);
	}

	/* A flood leaves no time to wait, but must be confirmed too. */
	if (status == STATUS_RUNNING && settle_due(reading))
		status = settle(reading);
	return status;
}

/* Begin to stream from where the last confirmation stands */
ExitStatus
stream_start(Relay *relay)
{
	Buffer		problem = {0};
	Buffer		command = {0};
	bool		started;

	relay->decoder = (Decoder)
	{
		.stream = relay->options.stream
	};
	relay->in_transaction = false;
	relay->ending = false;
	if (relay->consumer.confirmed > relay->durable)
		relay->durable = relay->consumer.confirmed;
	relay->received = relay->durable;

	buffer_printf(&command, "START_REPLICATION SLOT \"%s\" LOGICAL " LSN_FORMAT
				  " (proto_version '1', publication_names '\"%s\"')",
				  relay->options.slot, LSN_PARTS(relay->durable), relay->options.slot);
	started = database_do(relay->replication, &problem, command.data);
	buffer_free(&command);
	if (!started)
		return database_lost(&problem);
	log_line(LOG_NOTE, "streaming from " LSN_FORMAT, LSN_PARTS(relay->durable));
	relay->streaming = true;
	relay->reported = 0;
	relay->reported_at = relay->heard_at = monotonic_ms();
	consumer_well(relay);
	return consumer_cover(relay);
}

/* Take leave, so that the server has heard our last confirmation */
static void
stream_finish(Relay *relay)
{
	int64_t		deadline = monotonic_ms() + (stop_requested ? FAREWELL_STOP_MS : FAREWELL_MS);
	Wait		wait = wait_begin(NULL);
	char	   *bytes;
	int			length = 0;

	/* From now on nobody may send a status packet. */
	relay->streaming = false;
	if (PQputCopyEnd(relay->replication, NULL) <= 0)
		return;
	while (length >= 0 && monotonic_ms() < deadline && PQflush(relay->replication) >= 0 && database_receive(relay->replication))
	{
		length = PQgetCopyData(relay->replication, &bytes, 1);
		if (length > 0)
			PQfreemem(bytes);
		else if (length == 0)
			wait_on(&wait, PQsocket(relay->replication), POLLIN, deadline - monotonic_ms());
	}
}

/*
 * About to stop, have what is delivered covered by a horizon: so whoever looks
 * sees no lag, and a slot that is lost meanwhile costs no repetition. On an idle
 * stream that takes a moment; on a busy one it is given up.
 */
static ExitStatus
stream_cover(Reading *reading)
{
	Relay	   *relay = reading->relay;
	int64_t		deadline = monotonic_ms() + COVER_MS;
	ExitStatus	status = consumer_cover(relay);

	if (status == STATUS_RUNNING && relay->candidate.position > relay->received)
		status = send_status(relay, true);
	while (status == STATUS_RUNNING && !reading->ended && relay->candidate.position > relay->received &&
		   monotonic_ms() < deadline)
		status = take_message(reading);
	while (status == STATUS_RUNNING && relay->in_transaction && !stop_due())
		status = take_message(reading);
	return status;
}

/* Stream until there is a reason to end */
ExitStatus
stream_run(Relay *relay)
{
	Reading		reading = {.relay = relay};
	ExitStatus	status = STATUS_RUNNING;

	while (status == STATUS_RUNNING && !reading.ended)
	{
		if (stop_requested && (!relay->in_transaction || stop_due()))
			break;
		if (reload_requested && !stop_requested)
			status = heed_signals(relay);
		if (status == STATUS_RUNNING)
			status = take_message(&reading);
	}
	if (status == STATUS_RUNNING && stop_requested && !relay->in_transaction)
		status = stream_cover(&reading);
	relay->reported = 0;
	relay->ending = status == STATUS_RUNNING;
	if (relay->ending)
		status = settle(&reading);

	/* What came before the connection was lost need not come again. */
	if (status == STATUS_DATABASE)
	{
		end_streaming(relay);
		batch_settle(relay);
	}
	if (status != STATUS_RUNNING)
		return status;
	stream_finish(relay);
	log_line(LOG_NOTE, "stopped; durable up to " LSN_FORMAT, LSN_PARTS(relay->durable));
	return STATUS_STOPPED;
}
