/*
 * kafka.c
 *		A topic of Kafka, or one for each collection.
 *
 * message		what becomes of an event: a line of it, or a tombstone, which has
 *				no value; all messages of an item have the same key. Those of an
 *				event stand in one of the producer's rounds
 */
#include "sinks/sink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/template.h"
#include "lib/producer.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef struct KafkaSink
{
	Sink		sink;
	const SinkSettings *settings;
	char	   *brokers;
	const char *topics;			/* a template */
	Producer	producer;
	Event	   *events;			/* of the batch */

	Buffer		lines;			/* of the event that is added */
	Buffer		topic;
	Buffer		key;
} KafkaSink;

static bool
kafka_check(const SinkSettings *settings, Buffer *problem)
{
	const char *topics = kafka_target_topic(settings->target, problem);

	if (topics == NULL)
		return false;
	if (!event_template_valid(topics, false) || !kafka_topic_valid(topics, "{}"))
	{
		buffer_text(problem, "no name for a topic");
		return false;
	}
	return producer_options_valid(&settings->options, problem);
}

static bool
waits(void *owner, Wait *wait, const char *problem)
{
	return sink_waits(owner, wait, problem);
}

static void
refuse(void *owner, int number, const char *problem)
{
	KafkaSink  *sink = owner;

	event_refuse(&sink->events[number], EVENT_REFUSED, problem);
}

static void
kafka_sink_close(Sink *opened)
{
	KafkaSink  *sink = (KafkaSink *) opened;

	producer_close(&sink->producer);
	free(sink->brokers);
	buffer_free(&sink->lines);
	buffer_free(&sink->topic);
	buffer_free(&sink->key);
	free(sink);
}

static Sink *
kafka_sink_open(const SinkSettings *settings, const char *source, Buffer *problem)
{
	KafkaSink  *sink = allocate(sizeof(KafkaSink));
	bool		varies;

	(void) source;
	sink->sink.kind = &sink_kafka;
	sink->settings = settings;
	if (!kafka_split_target(settings->target, &sink->brokers, &sink->topics))
		abort();				/* kafka_check() has seen it */
	varies = strchr(sink->topics, '{') != NULL;
	sink->producer.owner = sink;
	sink->producer.waits = waits;
	sink->producer.refuse = refuse;
	sink->producer.refuses_topics = varies;
	if (producer_open(&sink->producer, sink->brokers, varies ? NULL : sink->topics, &settings->options, problem))
		return &sink->sink;
	kafka_sink_close(&sink->sink);
	return NULL;
}

static bool
kafka_try(const SinkSettings *settings, bool beside, Buffer *problem)
{
	char	   *brokers;
	const char *topic;
	bool		good;

	(void) beside;
	if (!kafka_split_target(settings->target, &brokers, &topic))
		abort();				/* kafka_check() has seen it */
	good = producer_try(brokers, &topic, strchr(topic, '{') == NULL, &settings->options, problem);
	free(brokers);
	return good;
}

/* ---------------------------------------------------------------- messages */

/* Columns of the outbox, by their names; what is null has no header */
static rd_kafka_headers_t *
make_headers(const Event *event)
{
	bool		of_item = event->item_id != NULL;
	bool		of_job = event->collection_id == NULL;
	char		version[32];
	const char *const columns[][2] = {
		{"id", event->id},
		{"type", event->type},
		{"aggregatetype", of_item || of_job ? event->collection_id : "collection"},
		{"aggregateid", of_item ? event->item_id : event->collection_id},
		{"version", of_job ? NULL : version},
		{"occurred_at", event->time},
		{"iteration-job-id", event->job_id},
	};
	rd_kafka_headers_t *headers = rd_kafka_headers_new(COUNT_OF(columns));

	snprintf(version, sizeof(version), "%" PRId64, event->version);
	for (size_t i = 0; i < COUNT_OF(columns); i++)
		if (columns[i][1] != NULL)
			rd_kafka_header_add(headers, columns[i][0], -1, columns[i][1], -1);
	return headers;
}

/* What the messages of an event have in common */
static void
name_event(KafkaSink *sink, const Event *event)
{
	buffer_clear(&sink->topic);
	event_template_expand(&sink->topic, sink->topics, event);
	buffer_clear(&sink->key);
	buffer_text(&sink->key, event->collection_id);
	if (event->item_id != NULL)
		buffer_printf(&sink->key, "/%s", event->item_id);
	buffer_clear(&sink->lines);
	format_event(&sink->lines, event, sink->settings->format);
}

/* Add a message of the event; a tombstone has no value */
static void
add_message(KafkaSink *sink, int place, const char *value, size_t length)
{
	Message		message = {
		.number = place,
		.topic = sink->topic.data,
		.key = {sink->key.data, sink->key.length},
		.value = {value, length},
		.headers = make_headers(&sink->events[place])
	};

	producer_add(&sink->producer, &message);
}

static int
count_lines(const Buffer *lines)
{
	int			count = 0;

	for (size_t i = 0; i < lines->length; i++)
		count += lines->data[i] == '\n';
	return count;
}

/* Add the messages of an event to the round; false if it is for the next one */
static bool
add_event(KafkaSink *sink, int place)
{
	const Event *event = &sink->events[place];
	bool		tombstone = sink->settings->tombstones && event->document == NULL && !event->without_document;
	int			messages;

	name_event(sink, event);
	if (!kafka_topic_valid(sink->topic.data, ""))
	{
		event_refuse(&sink->events[place], EVENT_REFUSED, "no topic can have the name of its collection");
		return true;
	}

	/* Both names stand in the key, and in headers. */
	messages = count_lines(&sink->lines) + tombstone;
	if (!producer_has_room(&sink->producer, sink->lines.length + 2 * (size_t) messages * sink->key.length, messages))
		return false;
	for (size_t start = 0; start < sink->lines.length;)
	{
		const char *line = sink->lines.data + start;
		size_t		length = (size_t) ((const char *) memchr(line, '\n', sink->lines.length - start) - line);

		add_message(sink, place, line, length);
		start += length + 1;
	}
	if (tombstone)
		add_message(sink, place, NULL, 0);
	return true;
}

static bool
kafka_write(Sink *opened, Event *events, int count, Buffer *problem)
{
	KafkaSink  *sink = (KafkaSink *) opened;

	sink->events = events;
	for (int next = 0; next < count;)
	{
		producer_begin(&sink->producer);
		while (next < count && add_event(sink, next))
			next++;
		if (!producer_send(&sink->producer, problem))
			return false;
	}
	return true;
}

/*
 * In each partition, so that who has read the last one of a job in all of them
 * has all of its lines. Where topics have collections' names, none is said.
 */
static bool
kafka_control(Sink *opened, const Event *event, Buffer *problem)
{
	KafkaSink  *sink = (KafkaSink *) opened;
	Event		said = *event;
	int			partitions;

	if (strchr(sink->topics, '{') != NULL)
		return true;
	partitions = kafka_partitions(&sink->producer.client, sink->topics, problem);
	if (partitions == 0)
		return false;
	said.outcome = EVENT_DONE;
	sink->events = &said;
	buffer_clear(&sink->lines);
	format_event(&sink->lines, event, sink->settings->format);
	producer_begin(&sink->producer);
	for (int partition = 1; partition <= partitions; partition++)
	{
		Message		message = {
			.topic = sink->topics,
			.key = {event->job_id, strlen(event->job_id)},
			.value = {sink->lines.data, sink->lines.length - 1},
			.headers = make_headers(event),
			.partition = partition
		};

		producer_add(&sink->producer, &message);
	}
	if (!producer_send(&sink->producer, problem))
		return false;
	if (said.outcome != EVENT_DONE)
		buffer_text(problem, said.problem);
	free(said.problem);
	return problem->length == 0;
}

const SinkKind sink_kafka = {
	.scheme = "kafka",
	.syntax = "kafka:BROKERS/TOPIC         messages of a Kafka topic; TOPIC may contain {collection}",
	.takes_format = true,
	.takes_tombstones = true,
	.takes_options = true,
	.check = kafka_check,
	.open = kafka_sink_open,
	.try = kafka_try,
	.place = "/",
	.write = kafka_write,
	.control = kafka_control,
	.close = kafka_sink_close,
};
