/*
 * kafka.c
 *		A topic of Kafka, or one for each collection, written by librdkafka.
 *
 * message		what becomes of an event: a line of it, or a tombstone, which has
 *				no value; all messages of an item have the same key
 * record batch	messages of one partition that travel together: the broker takes
 *				or refuses them as a whole
 * round		messages that are sent at once, and answered before the next are
 *
 * After a refusal the producer goes on with the partition's next record batch,
 * and what is tried again comes too late. Hence a round is so small that it is
 * one record batch in each partition; and what was refused is tried again
 * before the next round, each message alone, for most of them may only have
 * travelled with a bad one.
 *
 * While a broker is away the producer is kept, and waits: a new one would not
 * know what the old one has on its way, and could be overtaken by it.
 */
#include "sinks/sink.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "formats/template.h"

/* More than a message needs beside key and value, and a request beside messages. */
#define MESSAGE_OVERHEAD 512
#define REQUEST_OVERHEAD 1024

/* To open the sink, a broker must have answered by then. */
#define OPEN_MS 10000

/*
 * How long librdkafka may keep us from the rest of the relay: which reads on
 * while a broker works, but has little to do while none is there.
 */
#define SLICE_MS 1
#define LONG_SLICE_MS 100
#define LONG_WAIT_MS 1000

#define PROPERTY_SIZE 64
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Message
{
	int			event;			/* its place in the batch */
	size_t		start;			/* where in the values its own is */
	size_t		length;
	bool		tombstone;
	rd_kafka_resp_err_t error;
} Message;

typedef struct KafkaSink
{
	Sink		sink;
	const SinkSettings *settings;
	char	   *brokers;
	const char *topics;			/* a template */
	rd_kafka_t *producer;
	size_t		most_bytes;		/* of a round */
	int			most_messages;

	Message    *messages;		/* the round */
	int			count;
	int			space;
	size_t		bytes;
	Buffer		values;
	int			unanswered;

	Buffer		topic;			/* of the message being sent */
	Buffer		key;
	Buffer		trouble;		/* what the producer last complained of */
	bool		all_down;		/* that no broker could be reached */
} KafkaSink;

/* What an operator may change. */
static const SinkOption defaults[] = {
	{"client.id", "esgf_stac_relay"},
	{"message.max.bytes", "100000000"}, /* the topic's limit decides, but on
										 * more a broker breaks the connection */
	{"reconnect.backoff.max.ms", "1000"},
	{"socket.keepalive.enable", "true"},
	{"topic.metadata.propagation.max.ms", "3000"},	/* then a topic is missing */
};

/* What our promises rest on. */
static const SinkOption own[] = {
	{"enable.idempotence", "true"},
	{"linger.ms", "900000"},	/* a round is flushed */
	{"message.timeout.ms", "0"},	/* none gives up waiting for a broker */
	{"partitioner", "murmur2_random"},	/* that of Kafka's Java clients */

	/* These are so by default. */
	{"acks", NULL},
	{"bootstrap.servers", NULL},
	{"delivery.report.only.error", NULL},
	{"enable.gapless.guarantee", NULL},
	{"retries", NULL},
	{"transactional.id", NULL},
};

/* BROKERS/TOPIC: no topic has a slash */
static bool
split_target(const char *target, char **brokers, const char **topics)
{
	const char *slash = strrchr(target, '/');

	if (slash == NULL || slash == target || slash[1] == '\0')
		return false;
	*brokers = copy_string(target);
	(*brokers)[slash - target] = '\0';
	*topics = slash + 1;
	return true;
}

/* Kafka's own rule, but for some characters more */
static bool
topic_valid(const char *name, const char *more)
{
	size_t		length = 0;

	for (char c; (c = name[length]) != '\0'; length++)
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  strchr("._-", c) != NULL || strchr(more, c) != NULL))
			return false;
	return length >= 1 && length <= 249 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* ---------------------------------------------------------------- producer */

static bool
set_properties(rd_kafka_conf_t *properties, const SinkOption *options, size_t count, Buffer *problem)
{
	char		message[512];

	for (size_t i = 0; i < count; i++)
	{
		if (options[i].value != NULL &&
			rd_kafka_conf_set(properties, options[i].name, options[i].value, message, sizeof(message)) != RD_KAFKA_CONF_OK)
		{
			buffer_text(problem, message);
			return false;
		}
	}
	return true;
}

/* A property as librdkafka writes it; empty if it is not set */
static const char *
get_property(const rd_kafka_conf_t *properties, const char *name, char value[PROPERTY_SIZE])
{
	size_t		size = PROPERTY_SIZE;

	value[0] = '\0';
	rd_kafka_conf_get(properties, name, value, &size);
	return value;
}

/* Are our own properties what they were? They have other names, too */
static bool
own_properties_kept(const rd_kafka_conf_t *before, const rd_kafka_conf_t *after, Buffer *problem)
{
	char		values[2][PROPERTY_SIZE];

	for (size_t i = 0; i < COUNT_OF(own); i++)
	{
		if (strcmp(get_property(before, own[i].name, values[0]), get_property(after, own[i].name, values[1])) != 0)
		{
			buffer_printf(problem, "\"%s\" is set by the relay, and cannot be changed", own[i].name);
			return false;
		}
	}
	return true;
}

/* The properties of a producer; NULL and a problem if the options are wrong */
static rd_kafka_conf_t *
make_properties(const SinkSettings *settings, Buffer *problem)
{
	rd_kafka_conf_t *ours = rd_kafka_conf_new();
	rd_kafka_conf_t *properties;
	bool		good = set_properties(ours, defaults, COUNT_OF(defaults), problem);

	good = good && set_properties(ours, own, COUNT_OF(own), problem);
	properties = rd_kafka_conf_dup(ours);
	good = good && set_properties(properties, settings->options.list, (size_t) settings->options.count, problem) &&
		own_properties_kept(ours, properties, problem);
	rd_kafka_conf_destroy(ours);
	if (good)
		return properties;
	rd_kafka_conf_destroy(properties);
	return NULL;
}

/* Make a producer, which takes the properties; NULL and a problem if they do not go together */
static rd_kafka_t *
make_producer(rd_kafka_conf_t *properties, Buffer *problem)
{
	char		message[512];
	rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, properties, message, sizeof(message));

	if (producer != NULL)
		return producer;
	rd_kafka_conf_destroy(properties);
	buffer_text(problem, message);
	return NULL;
}

/* Would these options make a producer? */
static bool
options_valid(const SinkSettings *settings, Buffer *problem)
{
	rd_kafka_conf_t *properties = make_properties(settings, problem);
	rd_kafka_t *producer;

	if (properties == NULL)
		return false;
	rd_kafka_conf_set_log_cb(properties, NULL);
	producer = make_producer(properties, problem);
	if (producer == NULL)
		return false;
	rd_kafka_destroy(producer);
	return true;
}

static bool
kafka_check(const SinkSettings *settings, Buffer *problem)
{
	char	   *brokers;
	const char *topics;

	if (!split_target(settings->target, &brokers, &topics))
	{
		buffer_text(problem, "no /TOPIC behind the brokers");
		return false;
	}
	free(brokers);
	if (!template_valid(topics, false) || !topic_valid(topics, "{}"))
	{
		buffer_text(problem, "no name for a topic");
		return false;
	}
	return options_valid(settings, problem);
}

/* Called by librdkafka's threads: a property has no effect. What else matters, we tell */
static void
pass_log(const rd_kafka_t *producer, int level, const char *facility, const char *text)
{
	(void) producer;
	(void) level;
	log_line(strcmp(facility, "CONFWARN") == 0 ? LOG_WARNING : LOG_DETAIL, "librdkafka: %s: %s", facility, text);
}

/* Called while we wait: something is wrong. That all brokers are down is no cause */
static void
note_trouble(rd_kafka_t *producer, int error, const char *reason, void *opaque)
{
	KafkaSink  *sink = opaque;

	(void) producer;
	sink->all_down = error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
	if (sink->all_down && sink->trouble.length > 0)
		return;
	buffer_clear(&sink->trouble);
	buffer_text(&sink->trouble, reason);
}

/* Called while we wait: a message was delivered, or failed */
static void
note_answer(rd_kafka_t *producer, const rd_kafka_message_t *report, void *opaque)
{
	KafkaSink  *sink = opaque;
	Message    *message = report->_private;

	(void) producer;
	message->error = report->err;
	sink->unanswered--;
}

static void
tell_trouble(const KafkaSink *sink, Buffer *problem)
{
	buffer_text(problem, sink->trouble.length > 0 ? sink->trouble.data : "no broker answers");
}

/*
 * Wait until a broker answers, and, to have it early, tells of the topic; one
 * that is missing may yet be made.
 */
static bool
await_broker(KafkaSink *sink)
{
	rd_kafka_topic_t *topic = strchr(sink->topics, '{') == NULL ? rd_kafka_topic_new(sink->producer, sink->topics, NULL) : NULL;
	Wait		wait = wait_begin("a broker to answer");
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TRANSPORT;

	while (error != RD_KAFKA_RESP_ERR_NO_ERROR && !sink->all_down && !stop_requested && monotonic_ms() < wait.since + OPEN_MS)
	{
		const struct rd_kafka_metadata *metadata;

		error = rd_kafka_metadata(sink->producer, 0, topic, &metadata, LONG_SLICE_MS);
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
			rd_kafka_metadata_destroy(metadata);
		rd_kafka_poll(sink->producer, 0);
		wait_on(&wait, -1, 0, 0);
	}
	if (topic != NULL)
		rd_kafka_topic_destroy(topic);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
		wait_end(&wait);
	return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void
kafka_close(Sink *opened)
{
	KafkaSink  *sink = (KafkaSink *) opened;

	if (sink->producer != NULL)
		rd_kafka_destroy(sink->producer);
	free(sink->brokers);
	free(sink->messages);
	buffer_free(&sink->values);
	buffer_free(&sink->topic);
	buffer_free(&sink->key);
	buffer_free(&sink->trouble);
	free(sink);
}

static Sink *
kafka_open(const SinkSettings *settings, const char *source, Buffer *problem)
{
	KafkaSink  *sink = allocate(sizeof(KafkaSink));
	rd_kafka_conf_t *properties = make_properties(settings, problem);
	char		value[PROPERTY_SIZE];

	(void) source;
	sink->sink.kind = &sink_kafka;
	sink->settings = settings;
	if (properties == NULL || !split_target(settings->target, &sink->brokers, &sink->topics))
		abort();				/* kafka_check() has seen them */
	sink->most_bytes = strtoul(get_property(properties, "batch.size", value), NULL, 10);
	sink->most_messages = atoi(get_property(properties, "batch.num.messages", value));

	rd_kafka_conf_set(properties, "bootstrap.servers", sink->brokers, NULL, 0);
	rd_kafka_conf_set_opaque(properties, sink);
	rd_kafka_conf_set_log_cb(properties, pass_log);
	rd_kafka_conf_set_error_cb(properties, note_trouble);
	rd_kafka_conf_set_dr_msg_cb(properties, note_answer);
	sink->producer = make_producer(properties, problem);
	if (sink->producer != NULL && await_broker(sink))
		return &sink->sink;
	if (sink->producer != NULL)
		tell_trouble(sink, problem);
	kafka_close(&sink->sink);
	return NULL;
}

/* ---------------------------------------------------------------- rounds */

/* Append a message of an event; its value is to follow */
static Message *
add_message(KafkaSink *sink, int place)
{
	Message    *message;

	if (sink->count == sink->space)
	{
		sink->space = sink->space > 0 ? 2 * sink->space : 512;
		sink->messages = reallocate(sink->messages, (size_t) sink->space * sizeof(Message));
	}
	message = &sink->messages[sink->count++];
	memset(message, 0, sizeof(*message));
	message->event = place;
	return message;
}

/* Append the messages of an event */
static void
add_messages(KafkaSink *sink, const Event *event, int place)
{
	size_t		start = sink->values.length;

	format_event(&sink->values, event, sink->settings->format);
	while (start < sink->values.length)
	{
		const char *line = sink->values.data + start;
		const char *newline = memchr(line, '\n', sink->values.length - start);
		Message    *message = add_message(sink, place);

		message->start = start;
		message->length = (size_t) (newline - line);
		start += message->length + 1;
	}
	if (sink->settings->tombstones && event->document == NULL)
		add_message(sink, place)->tombstone = true;
}

/* Add an event to the round; false if it is for the next one */
static bool
add_event(KafkaSink *sink, const Event *event, int place)
{
	int			count = sink->count;
	size_t		length = sink->values.length;
	size_t		names = strlen(event->collection_id) + (event->item_id != NULL ? strlen(event->item_id) : 0);
	size_t		bytes;

	add_messages(sink, event, place);

	/* Both names stand in the key, and in headers. */
	bytes = sink->values.length - length + (size_t) (sink->count - count) * (2 * names + MESSAGE_OVERHEAD);
	if (count > 0 && (sink->bytes + bytes > sink->most_bytes || sink->count > sink->most_messages))
	{
		sink->count = count;
		sink->values.length = length;
		return false;
	}
	sink->bytes += bytes;
	return true;
}

static void
name_topic(KafkaSink *sink, const Event *event)
{
	buffer_clear(&sink->topic);
	template_expand(&sink->topic, sink->topics, event);
}

/* Make a round of the events from here on; where the next one begins */
static int
fill_round(KafkaSink *sink, Event *events, int next, int count)
{
	sink->count = 0;
	sink->bytes = REQUEST_OVERHEAD;
	buffer_clear(&sink->values);
	for (; next < count; next++)
	{
		name_topic(sink, &events[next]);
		if (!topic_valid(sink->topic.data, ""))
			event_refuse(&events[next], EVENT_REFUSED, "no topic can have the name of its collection");
		else if (!add_event(sink, &events[next], next))
			break;
	}
	return next;
}

/* Columns of the outbox, by their names; what is null has no header */
static rd_kafka_headers_t *
make_headers(const Event *event)
{
	bool		of_item = event->item_id != NULL;
	char		version[32];
	const char *const columns[][2] = {
		{"id", event->id},
		{"type", event->type},
		{"aggregatetype", of_item ? event->collection_id : "collection"},
		{"aggregateid", of_item ? event->item_id : event->collection_id},
		{"version", version},
		{"occurred_at", event->time},
	};
	rd_kafka_headers_t *headers = rd_kafka_headers_new(COUNT_OF(columns));

	snprintf(version, sizeof(version), "%" PRId64, event->version);
	for (size_t i = 0; i < COUNT_OF(columns); i++)
		if (columns[i][1] != NULL)
			rd_kafka_header_add(headers, columns[i][0], -1, columns[i][1], -1);
	return headers;
}

/* Queue a message; false if the producer does not take it */
static bool
send_message(KafkaSink *sink, Message *message, const Event *event)
{
	rd_kafka_headers_t *headers = make_headers(event);
	char	   *value = message->tombstone ? NULL : sink->values.data + message->start;
	rd_kafka_topic_t *topic;

	name_topic(sink, event);
	buffer_clear(&sink->key);
	buffer_text(&sink->key, event->collection_id);
	if (event->item_id != NULL)
		buffer_printf(&sink->key, "/%s", event->item_id);

	/* The first time, this asks for the topic's partitions at once. */
	topic = rd_kafka_topic_new(sink->producer, sink->topic.data, NULL);
	message->error = rd_kafka_producev(sink->producer, RD_KAFKA_V_RKT(topic),
									   RD_KAFKA_V_KEY(sink->key.data, sink->key.length),
									   RD_KAFKA_V_VALUE(value, message->length),
									   RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(message), RD_KAFKA_V_END);
	rd_kafka_topic_destroy(topic);
	if (message->error == RD_KAFKA_RESP_ERR_NO_ERROR)
		sink->unanswered++;
	else
		rd_kafka_headers_destroy(headers);
	return message->error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Wait for the answers to all that was queued */
static bool
await_answers(KafkaSink *sink, Buffer *problem)
{
	Wait		wait = wait_begin("the brokers");

	while (sink->unanswered > 0)
	{
		rd_kafka_flush(sink->producer, monotonic_ms() < wait.since + LONG_WAIT_MS ? SLICE_MS : LONG_SLICE_MS);
		if (sink->unanswered > 0 && !sink_waits(&sink->sink, &wait, sink->trouble.length > 0 ? sink->trouble.data : NULL))
		{
			tell_trouble(sink, problem);
			return false;
		}
	}
	buffer_clear(&sink->trouble);
	return true;
}

/* Send a round; behind a message that is not queued none may be */
static bool
send_round(KafkaSink *sink, const Event *events, Buffer *problem)
{
	bool		queued = true;

	for (int i = 0; i < sink->count; i++)
	{
		Message    *message = &sink->messages[i];

		if (queued)
			queued = send_message(sink, message, &events[message->event]);
		else
			message->error = RD_KAFKA_RESP_ERR__QUEUE_FULL;
	}
	return await_answers(sink, problem);
}

/* Is that error of a message that was sent alone its own fault? */
static bool
refused_for_good(const KafkaSink *sink, rd_kafka_resp_err_t error)
{
	switch (error)
	{
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_INVALID_RECORD:
		case RD_KAFKA_RESP_ERR__QUEUE_FULL:
			return true;
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
			return strchr(sink->topics, '{') != NULL;	/* its collection's */
		default:
			return false;
	}
}

/* What to make of such an error; false: the sink is down */
static bool
judge_error(KafkaSink *sink, rd_kafka_resp_err_t error, Event *event, Buffer *problem)
{
	char		fatal[512] = "";

	rd_kafka_fatal_error(sink->producer, fatal, sizeof(fatal));
	name_topic(sink, event);
	buffer_printf(problem, "topic %s: %s%s%s", sink->topic.data, rd_kafka_err2str(error), fatal[0] != '\0' ? ": " : "", fatal);
	if (!refused_for_good(sink, error))
		return false;
	event_refuse(event, EVENT_REFUSED, problem->data);
	buffer_free(problem);
	return true;
}

/* Try again what failed in company, each message alone, and judge what then fails */
static bool
settle_round(KafkaSink *sink, Event *events, Buffer *problem)
{
	for (int i = 0; i < sink->count; i++)
	{
		Message    *message = &sink->messages[i];
		Event	   *event = &events[message->event];

		if (message->error != RD_KAFKA_RESP_ERR_NO_ERROR && sink->count > 1)
		{
			send_message(sink, message, event);
			if (!await_answers(sink, problem))
				return false;
		}
		if (message->error != RD_KAFKA_RESP_ERR_NO_ERROR && !judge_error(sink, message->error, event, problem))
			return false;
	}
	return true;
}

static bool
kafka_write(Sink *opened, Event *events, int count, Buffer *problem)
{
	KafkaSink  *sink = (KafkaSink *) opened;

	for (int next = 0; next < count;)
	{
		next = fill_round(sink, events, next, count);
		if (!send_round(sink, events, problem) || !settle_round(sink, events, problem))
			return false;
	}
	return true;
}

const SinkKind sink_kafka = {
	.scheme = "kafka",
	.syntax = "kafka:BROKERS/TOPIC         messages of a Kafka topic; TOPIC may contain {collection}",
	.takes_format = true,
	.takes_tombstones = true,
	.takes_options = true,
	.check = kafka_check,
	.open = kafka_open,
	.write = kafka_write,
	.close = kafka_close,
};
