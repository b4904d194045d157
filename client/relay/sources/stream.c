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
#include "sources/stream.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "catalogue/skip.h"
#include "lib/log.h"
#include "lib/wait.h"

/* A server that was asked to answer should have done so by then. */
#define ANSWER_MS 5000

/* While the sink keeps us waiting, so much is read of what comes next. */
#define READ_AHEAD_BYTES (4 * 1024 * 1024)

/* After CopyDone the server may still send what it had begun; less when a stop was asked for. */
#define FAREWELL_MS 5000
#define FAREWELL_STOP_MS 400

/* The seconds from the Unix to the PostgreSQL epoch. */
#define EPOCH_DISTANCE 946684800

static ExitStatus
stream_lost(Stream *stream, const char *what)
{
	log_line(LOG_ERROR, "stream: %s%s", what, PQerrorMessage(stream->consumer->catalogue->replication));
	return STATUS_DATABASE;
}

/* Confirm what is durable, and perhaps ask the server to answer */
ExitStatus
stream_confirm(Stream *stream, bool answer)
{
	const Consumer *consumer = stream->consumer;
	PGconn	   *replication = consumer->catalogue->replication;
	char		packet[1 + 8 + 8 + 8 + 8 + 1];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	packet[0] = 'r';
	write_number(packet + 1, consumer->received, 8);
	write_number(packet + 9, consumer->durable, 8);
	write_number(packet + 17, consumer->durable, 8);
	write_number(packet + 25, (uint64_t) (now.tv_sec - EPOCH_DISTANCE) * 1000000 + (uint64_t) now.tv_nsec / 1000, 8);
	packet[33] = answer;

	/* One that does not go out at once goes with the next. */
	if (PQputCopyData(replication, packet, sizeof(packet)) < 0 || PQflush(replication) < 0)
		return stream_lost(stream, "could not send a status packet: ");
	stream->reported = consumer->durable;
	stream->reported_at = monotonic_ms();
	return STATUS_RUNNING;
}

/* Tell the server that we live */
ExitStatus
stream_report(Stream *stream)
{
	if (monotonic_ms() < stream->reported_at + stream->settings->status_interval * 1000)
		return STATUS_RUNNING;
	return stream_confirm(stream, false);
}

/* Let the server go on sending; what is not read yet it has said, too */
static void
read_ahead(Stream *stream)
{
	PGconn	   *replication = stream->consumer->catalogue->replication;
	int			available;

	if (ioctl(PQsocket(replication), FIONREAD, &available) != 0 || available == 0)
		return;
	stream->heard_at = monotonic_ms();
	if (stream->ahead >= READ_AHEAD_BYTES)
		return;
	stream->ahead += (size_t) available;
	PQconsumeInput(replication);	/* a failure is noticed later */
}

/*
 * Is the connection for queries lost? A server that stops ends those first, and
 * then waits until we have confirmed everything.
 */
static bool
queries_lost(Stream *stream)
{
	PGconn	   *sql = stream->consumer->catalogue->sql;
	struct pollfd one = {PQsocket(sql), POLLIN, 0};

	/* Whoever asks something sees for himself. */
	if (PQtransactionStatus(sql) == PQTRANS_ACTIVE)
		return false;
	if (poll(&one, 1, 0) > 0 && database_receive(sql))
		PQisBusy(sql);			/* has it say why */
	return PQstatus(sql) == CONNECTION_BAD;
}

/* Let go of the stream without a word */
void
stream_end(Stream *stream)
{
	Catalogue  *catalogue = stream->consumer->catalogue;

	PQfinish(catalogue->replication);
	catalogue->replication = NULL;
	stream->streaming = false;
}

/*
 * A server that says nothing is asked to, at half of its time at the latest, and
 * left if it does not answer: one that hangs keeps its connections.
 */
static ExitStatus
check_silence(Stream *stream)
{
	const StreamSettings *settings = stream->settings;
	int64_t		half = settings->server_timeout * 1000 / 2;
	int64_t		quiet = settings->status_interval * 1000;
	int64_t		now = monotonic_ms();

	if (stream->asked_at <= stream->heard_at)
	{
		if (now < stream->heard_at + (quiet < half ? quiet : half))
			return STATUS_RUNNING;
		stream->asked_at = now;
		return stream_confirm(stream, true);
	}
	if (now < stream->heard_at + 2 * half || now < stream->asked_at + half)
		return STATUS_RUNNING;
	log_line(LOG_ERROR, "stream: the server has said nothing for %d s, and is left", (int) ((now - stream->heard_at) / 1000));
	return STATUS_DATABASE;
}

/*
 * Whatever keeps us waiting, keep the stream alive. Without the database we
 * could confirm nothing: let its server stop.
 */
void
stream_attend(Stream *stream)
{
	if (!stream->streaming)
		return;
	read_ahead(stream);
	if (queries_lost(stream))
		log_line(LOG_ERROR, "database: the connection is lost");
	else if (check_silence(stream) == STATUS_RUNNING && stream_report(stream) == STATUS_RUNNING)
		return;
	stream_end(stream);
}

static void
receive_up_to(Consumer *consumer, uint64_t position)
{
	if (position > consumer->received)
		consumer->received = position;
}

/* Is everything that was asked for received? */
static bool
past_end(const Stream *stream, uint64_t position)
{
	return stream->settings->endpos != 0 && position >= stream->settings->endpos;
}

/* A keepalive: the server tells where it is, and may ask where we are */
static ExitStatus
take_keepalive(Stream *stream, const char *bytes, size_t length, StreamNews *news)
{
	if (length < 1 + 8 + 8 + 1)
		return stream_lost(stream, "a keepalive is cut short");
	stream->server_end = read_number(bytes + 1, 8);
	if (!stream->in_transaction)
	{
		receive_up_to(stream->consumer, stream->server_end);
		stream->ended = past_end(stream, stream->server_end);
	}
	if (bytes[17])
	{
		*news = NEWS_QUESTION;
		stream->reported = 0;
	}
	return STATUS_RUNNING;
}

/* One message of pgoutput; the bytes are ours now, or the event's */
static ExitStatus
take_data(Stream *stream, char *bytes, size_t length, StreamNews *news, Event *event)
{
	Message		message;
	Buffer		problem = {0};

	if (length < 1 + 8 + 8 + 8 + 1 ||
		!pgoutput_decode(&stream->decoder, bytes + 25, length - 25, &message, &problem))
	{
		log_problem("bad-message", "stream: %s", problem.length > 0 ? problem.data : "a message is cut short");
		buffer_free(&problem);
		PQfreemem(bytes);
		return STATUS_CATALOGUE;
	}
	stream->server_end = read_number(bytes + 9, 8);
	switch (message.kind)
	{
		case MESSAGE_BEGIN:
			stream->ended = past_end(stream, message.position);
			stream->in_transaction = !stream->ended;
			stream->xid = 0;
			stream->begun_at = message.committed_at + EPOCH_DISTANCE * INT64_C(1000000);
			break;
		case MESSAGE_EVENT:
			*news = NEWS_EVENT;
			*event = message.event;
			stream->xid = message.event.xid;
			event->memory = bytes;
			event->release = PQfreemem;
			return STATUS_RUNNING;
		case MESSAGE_COMMIT:
			stream->in_transaction = false;
			if (stream->xid != 0)
				consumer_arrived(stream->consumer, stream->xid);
			receive_up_to(stream->consumer, message.position);
			stream->consumer->received_end = message.position;
			stream->committed_at = message.committed_at + EPOCH_DISTANCE * INT64_C(1000000);
			stream->ended = past_end(stream, message.position);
			break;
		case MESSAGE_OTHER:
			break;
	}
	PQfreemem(bytes);
	return STATUS_RUNNING;
}

/* The server ended the copy: why? */
static ExitStatus
server_ended(Stream *stream)
{
	PGconn	   *replication = stream->consumer->catalogue->replication;
	PGresult   *result = PQgetResult(replication);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	log_line(LOG_ERROR, "stream: the server ended it: %s",
			 result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(replication));

	/* A limit of the program, no memory, or an internal error. */
	if (state != NULL && (strncmp(state, "54", 2) == 0 || strncmp(state, "53", 2) == 0 || strncmp(state, "XX", 2) == 0))
		skip_tell(stream->consumer, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	PQclear(result);
	return STATUS_DATABASE;
}

/* Take the next that the server has sent, if anything has come */
ExitStatus
stream_next(Stream *stream, StreamNews *news, Event *event)
{
	PGconn	   *replication = stream->consumer->catalogue->replication;
	char	   *bytes;
	int			length;
	ExitStatus	status = STATUS_RUNNING;

	*news = NEWS_NONE;
	if (!stream->streaming)
		return STATUS_DATABASE;
	length = PQgetCopyData(replication, &bytes, 1);
	if (length == 0)
	{
		/* What has come must be looked at before more is waited for. */
		stream->ahead = 0;
		if (!database_receive(replication))
			return stream_lost(stream, "");
		length = PQgetCopyData(replication, &bytes, 1);
	}
	if (length == 0)
		return STATUS_RUNNING;
	stream->heard_at = monotonic_ms();
	if (length == -1)
		return server_ended(stream);
	if (length < 0)
		return stream_lost(stream, "");
	*news = NEWS_SMALL;
	if (bytes[0] == 'w')
		return take_data(stream, bytes, (size_t) length, news, event);
	if (bytes[0] == 'k')
		status = take_keepalive(stream, bytes, (size_t) length, news);
	PQfreemem(bytes);
	return status;
}

/*
 * Wait for the server until a time; true if it has sent something. (What TLS
 * holds back comes by the next round.)
 */
bool
stream_wait(Stream *stream, int64_t until)
{
	Wait		wait = wait_begin(NULL);
	bool		sends = false;

	do
		sends = wait_on(&wait, PQsocket(stream->consumer->catalogue->replication), POLLIN, until - monotonic_ms());
	while (!sends && stream->streaming && !stop_requested && monotonic_ms() < until);
	if (sends)
		stream->heard_at = monotonic_ms();
	return sends;
}

/* Has the server been asked, and not answered when it should have? */
bool
stream_is_silent(const Stream *stream)
{
	return stream->streaming && stream->asked_at > stream->heard_at && monotonic_ms() > stream->asked_at + ANSWER_MS;
}

/* Begin to stream from where the last confirmation stands */
ExitStatus
stream_start(Stream *stream)
{
	Consumer   *consumer = stream->consumer;
	const Catalogue *catalogue = consumer->catalogue;
	Buffer		problem = {0};
	Buffer		command = {0};
	bool		started;

	stream->decoder = (Decoder)
	{
		.stream = catalogue->settings->stream
	};
	stream->in_transaction = false;
	stream->ended = false;
	stream->asked_at = 0;
	if (consumer->row.confirmed > consumer->durable)
		consumer->durable = consumer->row.confirmed;
	consumer->received = consumer->durable;

	buffer_printf(&command, "START_REPLICATION SLOT \"%s\" LOGICAL " LSN_FORMAT
				  " (proto_version '1', publication_names '\"%s\"')",
				  catalogue->settings->slot, LSN_PARTS(consumer->durable), catalogue->settings->slot);
	started = database_do(catalogue->replication, &problem, command.data);
	buffer_free(&command);
	if (!started)
		return database_lost(&problem);
	log_line(LOG_NOTE, "streaming from " LSN_FORMAT, LSN_PARTS(consumer->durable));
	stream->streaming = true;
	stream->reported = 0;
	stream->reported_at = stream->heard_at = monotonic_ms();
	return STATUS_RUNNING;
}

/* Take leave, so that the server has heard our last confirmation */
void
stream_finish(Stream *stream)
{
	PGconn	   *replication = stream->consumer->catalogue->replication;
	int64_t		deadline = monotonic_ms() + (stop_requested ? FAREWELL_STOP_MS : FAREWELL_MS);
	Wait		wait = wait_begin(NULL);
	char	   *bytes;
	int			length = 0;

	/* From now on nobody may send a status packet. */
	stream->streaming = false;
	if (PQputCopyEnd(replication, NULL) <= 0)
		return;
	while (length >= 0 && monotonic_ms() < deadline && PQflush(replication) >= 0 && database_receive(replication))
	{
		length = PQgetCopyData(replication, &bytes, 1);
		if (length > 0)
			PQfreemem(bytes);
		else if (length == 0)
			wait_on(&wait, PQsocket(replication), POLLIN, deadline - monotonic_ms());
	}
}
