/*
 * producer.c
 *		Writes to topics of Kafka, in order.
 */
#include "lib/producer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* More than a message needs beside key and value, and a request beside messages. */
#define MESSAGE_OVERHEAD 512
#define REQUEST_OVERHEAD 1024

/* A broker that takes so long is asked less often. */
#define LONG_WAIT_MS 1000

/* No such text: of a part that a message does not have. */
#define NOWHERE SIZE_MAX

struct RoundMessage
{
	int			number;
	size_t		topic;			/* where in the texts */
	size_t		key;
	size_t		key_length;
	size_t		value;
	size_t		value_length;
	rd_kafka_headers_t *headers;
	int			partition;
	rd_kafka_resp_err_t error;
};

static const Pair defaults[] = {
	{"message.max.bytes", "100000000"}, /* the topic's limit decides, but on
										 * more a broker breaks the connection */
	{"reconnect.backoff.max.ms", "1000"},
	{"socket.keepalive.enable", "true"},
	{"topic.metadata.propagation.max.ms", "3000"},	/* then a topic is missing */
	{NULL, NULL},
};

static const Pair own[] = {
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
	{NULL, NULL},
};

static const KafkaProperties producer_properties = {.type = RD_KAFKA_PRODUCER,.defaults = defaults,.own = own};

bool
producer_options_valid(const Pairs *options, Buffer *problem)
{
	return kafka_options_valid(&producer_properties, options, problem);
}

/* Called while we wait: a message was delivered, or failed */
static void
note_answer(rd_kafka_t *handle, const rd_kafka_message_t *report, void *opaque)
{
	Producer   *producer = opaque;
	RoundMessage *message = report->_private;

	(void) handle;
	message->error = report->err;
	producer->unanswered--;
}

/* Open a producer, and wait for a broker; false and a problem if none answers */
bool
producer_open(Producer *producer, const char *brokers, const char *topic, const Pairs *options, Buffer *problem)
{
	rd_kafka_conf_t *properties = kafka_make_properties(&producer_properties, options, problem);
	char		value[KAFKA_PROPERTY_SIZE];

	if (properties == NULL)
		return false;
	producer->most_bytes = strtoul(kafka_property(properties, "batch.size", value), NULL, 10);
	producer->most_messages = atoi(kafka_property(properties, "batch.num.messages", value));
	rd_kafka_conf_set_dr_msg_cb(properties, note_answer);
	if (!kafka_open(&producer->client, RD_KAFKA_PRODUCER, properties, brokers, problem))
		return false;
	if (kafka_await_broker(&producer->client, topic))
		return true;
	kafka_tell_trouble(&producer->client, problem);
	return false;
}

void
producer_close(Producer *producer)
{
	kafka_close(&producer->client);
	producer_begin(producer);
	free(producer->messages);
	buffer_free(&producer->texts);
}

/* Could messages be sent to these topics? None is, and none of them is made */
bool
producer_try(const char *brokers, const char *const *topics, int topic_count, const Pairs *options, Buffer *problem)
{
	Producer	producer = {0};
	bool		good = producer_open(&producer, brokers, NULL, options, problem);

	for (int i = 0; i < topic_count && good; i++)
		good = kafka_find_topic(&producer.client, topics[i], problem);
	producer_close(&producer);
	return good;
}

/* ---------------------------------------------------------------- rounds */

/* Begin a round */
void
producer_begin(Producer *producer)
{
	for (int i = 0; i < producer->count; i++)
		if (producer->messages[i].headers != NULL)
			rd_kafka_headers_destroy(producer->messages[i].headers);
	producer->count = 0;
	producer->bytes = REQUEST_OVERHEAD;
	buffer_clear(&producer->texts);
}

/* Has the round room for so many messages more, of so many bytes? The first has it always */
bool
producer_has_room(const Producer *producer, size_t bytes, int messages)
{
	return producer->count == 0 ||
		(producer->bytes + bytes + (size_t) messages * MESSAGE_OVERHEAD <= producer->most_bytes &&
		 producer->count + messages <= producer->most_messages);
}

/* Keep a text of the round; where it stands */
static size_t
keep_text(Producer *producer, MessagePart part)
{
	size_t		place = producer->texts.length;

	if (part.data == NULL)
		return NOWHERE;
	buffer_append(&producer->texts, part.data, part.length);
	buffer_append(&producer->texts, "", 1);
	return place;
}

/* Add a message to the round */
void
producer_add(Producer *producer, const Message *message)
{
	MessagePart topic = {message->topic, strlen(message->topic)};

	if (producer->count == producer->space)
	{
		producer->space = producer->space > 0 ? 2 * producer->space : 512;
		producer->messages = reallocate(producer->messages, (size_t) producer->space * sizeof(RoundMessage));
	}
	producer->messages[producer->count++] = (RoundMessage)
	{
		.number = message->number,
			.topic = keep_text(producer, topic),
			.key = keep_text(producer, message->key),
			.key_length = message->key.length,
			.value = keep_text(producer, message->value),
			.value_length = message->value.length,
			.headers = message->headers,
			.partition = message->partition
	};

	/* What the key is made of may stand in headers, too. */
	producer->bytes += 2 * message->key.length + message->value.length + MESSAGE_OVERHEAD;
}

/* Where a text of the round is now; NULL if there is none */
static char *
text_at(const Producer *producer, size_t place)
{
	return place != NOWHERE ? producer->texts.data + place : NULL;
}

/* Queue a message; false if the producer does not take it */
static bool
queue_message(Producer *producer, RoundMessage *message)
{
	rd_kafka_headers_t *headers = message->headers != NULL ? rd_kafka_headers_copy(message->headers) : rd_kafka_headers_new(0);

	/* The first time, this asks for the topic's partitions at once. */
	rd_kafka_topic_t *topic = rd_kafka_topic_new(producer->client.handle, text_at(producer, message->topic), NULL);

	message->error = rd_kafka_producev(producer->client.handle, RD_KAFKA_V_RKT(topic),
									   RD_KAFKA_V_PARTITION(message->partition > 0 ? message->partition - 1 : RD_KAFKA_PARTITION_UA),
									   RD_KAFKA_V_KEY(text_at(producer, message->key), message->key_length),
									   RD_KAFKA_V_VALUE(text_at(producer, message->value), message->value_length),
									   RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(message), RD_KAFKA_V_END);
	rd_kafka_topic_destroy(topic);
	if (message->error == RD_KAFKA_RESP_ERR_NO_ERROR)
		producer->unanswered++;
	else
		rd_kafka_headers_destroy(headers);
	return message->error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Wait for the answers to all that was queued */
static bool
await_answers(Producer *producer, Buffer *problem)
{
	KafkaClient *client = &producer->client;
	Wait		wait = wait_begin("the brokers");

	while (producer->unanswered > 0)
	{
		rd_kafka_flush(client->handle, monotonic_ms() < wait.since + LONG_WAIT_MS ? KAFKA_SLICE_MS : KAFKA_LONG_SLICE_MS);
		if (producer->unanswered > 0 &&
			!producer->waits(producer->owner, &wait, client->trouble.length > 0 ? client->trouble.data : NULL))
		{
			kafka_tell_trouble(client, problem);
			return false;
		}
	}
	buffer_clear(&client->trouble);
	return true;
}

/* Send the round once; behind a message that is not queued none may be */
static bool
send_once(Producer *producer, Buffer *problem)
{
	bool		queued = true;

	for (int i = 0; i < producer->count; i++)
	{
		if (queued)
			queued = queue_message(producer, &producer->messages[i]);
		else
			producer->messages[i].error = RD_KAFKA_RESP_ERR__QUEUE_FULL;
	}
	return await_answers(producer, problem);
}

/* Is that error of a message that was sent alone its own fault? */
static bool
refused_for_good(const Producer *producer, rd_kafka_resp_err_t error)
{
	switch (error)
	{
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_INVALID_RECORD:
		case RD_KAFKA_RESP_ERR__QUEUE_FULL:
			return true;
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
			return producer->refuses_topics;
		default:
			return false;
	}
}

/* What to make of a message's error; false: the brokers are down */
static bool
judge_error(Producer *producer, const RoundMessage *message, Buffer *problem)
{
	char		fatal[512] = "";

	rd_kafka_fatal_error(producer->client.handle, fatal, sizeof(fatal));
	buffer_printf(problem, "topic %s: %s%s%s", text_at(producer, message->topic), rd_kafka_err2str(message->error),
				  fatal[0] != '\0' ? ": " : "", fatal);
	if (!refused_for_good(producer, message->error))
		return false;
	producer->refuse(producer->owner, message->number, problem->data);
	buffer_free(problem);
	return true;
}

/* Send the round; what fails in company is tried again alone, and judged then. False and a problem: the brokers are down */
bool
producer_send(Producer *producer, Buffer *problem)
{
	if (!send_once(producer, problem))
		return false;
	for (int i = 0; i < producer->count; i++)
	{
		RoundMessage *message = &producer->messages[i];

		if (message->error != RD_KAFKA_RESP_ERR_NO_ERROR && producer->count > 1)
		{
			queue_message(producer, message);
			if (!await_answers(producer, problem))
				return false;
		}
		if (message->error != RD_KAFKA_RESP_ERR_NO_ERROR && !judge_error(producer, message, problem))
			return false;
	}
	return true;
}
