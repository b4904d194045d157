/*
 * kafka.c
 *		A topic of Kafka, read by librdkafka.
 *
 * The group only shares out partitions among several of us: positions are the
 * database's, and are read at each assignment. So two who both believe that a
 * partition is theirs do no harm. Each partition has a queue of its own, of which
 * librdkafka fills no more than a part of QUEUE_BYTES.
 */
#include "ingest/sources/source.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/kafka.h"
#include "lib/log.h"

/* What all queues may hold, and what each may at least. */
#define QUEUE_BYTES (16 * 1024 * 1024)
#define LEAST_QUEUE_BYTES (64 * 1024)

/* A broker is asked for so long, and again, until it has said where a log ends. */
#define ASK_MS 1000

/* A broker that was started anew may not know yet where a log ends: so long it is asked. */
#define SETTLE_MS 3000

/* That brokers are away is looked into so often. */
#define PROBE_MS 1000

typedef struct KafkaPartition
{
	Partition	partition;
	rd_kafka_queue_t *queue;
	rd_kafka_message_t *held;	/* taken, but there was no room */
} KafkaPartition;

typedef struct KafkaSource
{
	Source		source;
	KafkaClient client;
	char	   *brokers;
	const char *topic;
	char	   *cluster;
	rd_kafka_queue_t *group_queue;
	int			wake[2];		/* a pipe, into which queues write that
								 * something came */
	int			next;			/* which partition's turn it was */
	Buffer		failure;		/* what ends the session */
	Wait		away;			/* since there is trouble with the brokers */
	int64_t		probed_at;
} KafkaSource;

static const Pair defaults[] = {
	{"reconnect.backoff.max.ms", "1000"},
	{"socket.keepalive.enable", "true"},
	{"session.timeout.ms", "6000"}, /* of whoever dies, partitions are free
									 * then; brokers allow no less */
	{"heartbeat.interval.ms", "2000"},
	{"check.crcs", "true"},
	{"receive.message.max.bytes", "1000000000"},	/* a large event passes */
	{"fetch.max.bytes", "16777216"},
	{NULL, NULL},
};

static const Pair own[] = {
	{"isolation.level", "read_committed"},
	{"enable.auto.commit", "false"},	/* positions are the database's */
	{"enable.auto.offset.store", "false"},
	{"enable.partition.eof", "true"},
	{"auto.offset.reset", "error"}, /* no event is passed over */
	{"partition.assignment.strategy", "range,roundrobin"},
	{"allow.auto.create.topics", "false"},

	/* These are so by default. */
	{"bootstrap.servers", NULL},
	{NULL, NULL},
};

static const KafkaProperties consumer_properties = {.type = RD_KAFKA_CONSUMER,.defaults = defaults,.own = own};

static bool
consumer_check(const SourceSettings *settings, Buffer *problem)
{
	const char *topic = kafka_target_topic(settings->target, problem);

	if (topic == NULL)
		return false;
	if (!kafka_topic_valid(topic, ""))
	{
		buffer_text(problem, "no name for a topic");
		return false;
	}
	return kafka_options_valid(&consumer_properties, &settings->options, problem);
}

/* ---------------------------------------------------------------- partitions */

static void
release_partition(KafkaPartition *one)
{
	if (one->held != NULL)
		rd_kafka_message_destroy(one->held);
	if (one->queue != NULL)
		rd_kafka_queue_destroy(one->queue);
	one->held = NULL;
	one->queue = NULL;
}

/* All partitions are taken from us */
static void
lose_partitions(KafkaSource *source)
{
	for (int i = 0; i < source->source.partition_count; i++)
	{
		source->source.partitions[i]->lost = true;
		release_partition((KafkaPartition *) source->source.partitions[i]);
	}
}

/* A partition is ours: what comes of it is to wait in a queue of its own */
static void
gain_partition(KafkaSource *source, int number)
{
	KafkaPartition *one = (KafkaPartition *) source_add_partition(&source->source, number, sizeof(KafkaPartition));

	one->queue = rd_kafka_queue_get_partition(source->client.handle, source->topic, number);
	rd_kafka_queue_forward(one->queue, NULL);
	rd_kafka_queue_io_event_enable(one->queue, source->wake[1], "q", 1);
}

/* Called while we attend: the group has shared out its partitions anew */
static void
rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	KafkaSource *source = (KafkaSource *) ((char *) opaque - offsetof(KafkaSource, client));

	lose_partitions(source);
	if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		for (int i = 0; i < list->cnt; i++)
			gain_partition(source, list->elems[i].partition);
	else
		rd_kafka_assign(handle, NULL);
	log_line(LOG_DETAIL, "partitions of ours: %d", error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? list->cnt : 0);

	/* Where there is none, none will be asked for its position. */
	if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && list->cnt == 0)
		rd_kafka_assign(handle, list);
}

/* ---------------------------------------------------------------- opening */

static void
consumer_close(Source *opened)
{
	KafkaSource *source = (KafkaSource *) opened;

	lose_partitions(source);
	if (source->group_queue != NULL)
		rd_kafka_queue_destroy(source->group_queue);
	if (source->client.handle != NULL)
		rd_kafka_consumer_close(source->client.handle);
	kafka_close(&source->client);
	for (int i = 0; i < 2; i++)
		if (source->wake[i] > STDERR_FILENO)
			close(source->wake[i]);
	source_free_partitions(opened);
	free(source->brokers);
	free(source->cluster);
	buffer_free(&source->failure);
	free(source);
}

/* How many partitions has the topic? 0 and a problem: the broker knows none */
static int
count_partitions(KafkaSource *source, Buffer *problem)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(source->client.handle, source->topic, NULL);
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t error = rd_kafka_metadata(source->client.handle, 0, topic, &metadata, ASK_MS);
	int			count = 0;

	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_topic_destroy(topic);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		buffer_printf(problem, "topic %s: %s", source->topic, rd_kafka_err2str(error));
	return error == RD_KAFKA_RESP_ERR_NO_ERROR ? count : 0;
}

/* Which cluster is that? */
static bool
learn_cluster(KafkaSource *source, Buffer *problem)
{
	char	   *cluster = rd_kafka_clusterid(source->client.handle, ASK_MS);

	if (cluster == NULL)
	{
		buffer_text(problem, "the brokers do not say which cluster they are");
		return false;
	}
	source->cluster = copy_string(cluster);
	rd_kafka_mem_free(source->client.handle, cluster);
	return true;
}

/* Make a consumer whose queues, of so many partitions, hold no more than they may */
static bool
make_consumer(KafkaSource *source, const SourceSettings *settings, const char *group, int partitions, Buffer *problem)
{
	size_t		share = (size_t) QUEUE_BYTES / (size_t) (partitions > 0 ? partitions : 1);
	char		bytes[32];
	char		kilobytes[32];
	const Pair	more[] = {{"group.id", group}, {"fetch.message.max.bytes", bytes}, {"queued.max.messages.kbytes", kilobytes}};
	Pairs		options = {0};
	rd_kafka_conf_t *properties;

	if (share < LEAST_QUEUE_BYTES)
		share = LEAST_QUEUE_BYTES;
	snprintf(bytes, sizeof(bytes), "%zu", share < 1024 * 1024 ? share : 1024 * 1024);
	snprintf(kilobytes, sizeof(kilobytes), "%zu", share / 1024);

	/* What the operator says comes last. */
	options.count = 3 + settings->options.count;
	options.list = allocate((size_t) options.count * sizeof(Pair));
	memcpy(options.list, more, sizeof(more));
	if (settings->options.count > 0)
		memcpy(options.list + 3, settings->options.list, (size_t) settings->options.count * sizeof(Pair));
	properties = kafka_make_properties(&consumer_properties, &options, problem);
	free(options.list);
	if (properties == NULL)
		return false;
	rd_kafka_conf_set_rebalance_cb(properties, rebalance);
	return kafka_open(&source->client, RD_KAFKA_CONSUMER, properties, source->brokers, problem);
}

/* The share of a partition is known when the topic is: so the first consumer only asks */
static bool
open_consumer(KafkaSource *source, const SourceSettings *settings, const char *group, Buffer *problem)
{
	int			partitions;

	if (!make_consumer(source, settings, group, 1, problem))
		return false;
	if (!kafka_await_broker(&source->client, source->topic))
	{
		kafka_tell_trouble(&source->client, problem);
		return false;
	}
	partitions = count_partitions(source, problem);
	if (partitions == 0 || !learn_cluster(source, problem))
		return false;
	kafka_close(&source->client);
	return make_consumer(source, settings, group, partitions, problem);
}

/* Have the group share out the topic's partitions */
static bool
join_group(KafkaSource *source, Buffer *problem)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t error;

	rd_kafka_topic_partition_list_add(topics, source->topic, RD_KAFKA_PARTITION_UA);
	rd_kafka_poll_set_consumer(source->client.handle);
	source->group_queue = rd_kafka_queue_get_consumer(source->client.handle);
	rd_kafka_queue_io_event_enable(source->group_queue, source->wake[1], "g", 1);
	error = rd_kafka_subscribe(source->client.handle, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		buffer_text(problem, rd_kafka_err2str(error));
	return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static Source *
consumer_open(const SourceSettings *settings, const char *group, bool *gone, Buffer *problem)
{
	KafkaSource *source = allocate(sizeof(KafkaSource));

	*gone = false;
	source->source.kind = &source_kafka;
	source->away = wait_begin(NULL);
	if (!kafka_split_target(settings->target, &source->brokers, &source->topic))
		abort();				/* consumer_check() has seen it */
	if (pipe2(source->wake, O_CLOEXEC | O_NONBLOCK) != 0)
		out_of_memory();
	if (open_consumer(source, settings, group, problem) && join_group(source, problem))
		return &source->source;
	consumer_close(&source->source);
	return NULL;
}

/* Have the brokers the topic? Nobody joins the group */
static bool
consumer_try(const SourceSettings *settings, Buffer *problem)
{
	KafkaSource *source = allocate(sizeof(KafkaSource));
	bool		good;

	source->wake[0] = source->wake[1] = -1;
	if (!kafka_split_target(settings->target, &source->brokers, &source->topic))
		abort();				/* consumer_check() has seen it */
	good = make_consumer(source, settings, "esgf_stac_ingest-check", 1, problem);
	if (good && !kafka_await_broker(&source->client, NULL))
	{
		kafka_tell_trouble(&source->client, problem);
		good = false;
	}
	good = good && kafka_find_topic(&source->client, source->topic, problem);
	kafka_close(&source->client);
	free(source->brokers);
	free(source);
	return good;
}

/* ---------------------------------------------------------------- positions */

/* Where can a partition be read from and to? Waits for a broker that knows */
static bool
ask_watermarks(KafkaSource *source, const Partition *partition, int64_t *first, int64_t *end, Buffer *problem)
{
	Wait		wait = wait_begin("a broker to tell where a log ends");
	rd_kafka_resp_err_t error;

	do
	{
		error = rd_kafka_query_watermark_offsets(source->client.handle, source->topic, partition->number, first, end, ASK_MS);
		wait_on(&wait, -1, 0, 0);
	} while (error != RD_KAFKA_RESP_ERR_NO_ERROR && !partition->lost && !stop_requested && monotonic_ms() < wait.since + SETTLE_MS);
	wait_end(&wait);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		buffer_printf(problem, "topic %s, partition %d: %s", source->topic, partition->number, rd_kafka_err2str(error));
	return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool
consumer_survey(Source *opened, Partition *partition, int64_t next_offset, const Batch *batch, Survey *survey, Buffer *problem)
{
	KafkaSource *source = (KafkaSource *) opened;
	int64_t		began = monotonic_ms();
	Wait		wait = wait_begin("a broker to have its log again");
	bool		asked;

	(void) batch;
	survey->cluster = source->cluster;
	survey->topic = source->topic;
	while ((asked = ask_watermarks(source, partition, &survey->first, &survey->end, problem)) && survey->end < next_offset &&
		   !partition->lost && !stop_requested && monotonic_ms() < began + SETTLE_MS)
		wait_on(&wait, -1, 0, ASK_MS);
	partition->end = survey->end;
	return asked;
}

static bool
consumer_start(Source *opened, Buffer *problem)
{
	KafkaSource *source = (KafkaSource *) opened;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(opened->partition_count);
	rd_kafka_resp_err_t error;

	for (int i = 0; i < opened->partition_count; i++)
		if (!opened->partitions[i]->lost)
			rd_kafka_topic_partition_list_add(list, source->topic, opened->partitions[i]->number)->offset = opened->partitions[i]->position;
	error = list->cnt > 0 ? rd_kafka_assign(source->client.handle, list) : RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_topic_partition_list_destroy(list);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		buffer_printf(problem, "topic %s: %s", source->topic, rd_kafka_err2str(error));
	return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---------------------------------------------------------------- reading */

/* Something of a partition, or of the group, cannot be gone on with */
static void
fail(KafkaSource *source, const rd_kafka_message_t *message)
{
	if (source->failure.length == 0)
		buffer_printf(&source->failure, "topic %s: %s", source->topic,
					  message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? "a message came by the wrong queue" : rd_kafka_message_errstr(message));
}

/*
 * Take one message of a partition; false: there is no room for it in the batch.
 * Nor is there for the end: it is come to when what is before it is performed.
 */
static bool
take_message(KafkaSource *source, KafkaPartition *one, Batch *batch, int64_t most, const rd_kafka_message_t *message)
{
	bool		at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;

	if (at_end && batch->count > 0)
		return false;
	one->partition.at_end = at_end;
	if (one->partition.at_end)
		one->partition.end = message->offset;
	else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail(source, message);
	else if (!batch_has_room(batch, most, message->len + message->key_len))
		return false;
	else
		batch_add(batch, message->offset, message->key, message->key_len, message->payload, message->len);
	buffer_clear(&source->client.trouble);
	return true;
}

/* Take what has come of a partition */
static void
take_of_partition(KafkaSource *source, KafkaPartition *one, Batch *batch, int64_t most)
{
	int64_t		first;
	int64_t		end;

	batch->partition = one->partition.number;
	while (batch->count < most && source->failure.length == 0)
	{
		rd_kafka_message_t *message = one->held != NULL ? one->held : rd_kafka_consume_queue(one->queue, 0);

		one->held = NULL;
		if (message == NULL)
			break;
		if (!take_message(source, one, batch, most, message))
		{
			one->held = message;
			break;
		}
		rd_kafka_message_destroy(message);
	}
	if (!one->partition.at_end &&
		rd_kafka_get_watermark_offsets(source->client.handle, source->topic, one->partition.number, &first, &end) == RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0)
		one->partition.end = end;
}

static bool
consumer_take(Source *opened, Batch *batch, int64_t most, Buffer *problem)
{
	KafkaSource *source = (KafkaSource *) opened;

	batch_clear(batch);
	for (int i = 0; i < opened->partition_count && batch->count == 0; i++)
	{
		source->next = (source->next + 1) % opened->partition_count;
		if (!opened->partitions[source->next]->lost)
			take_of_partition(source, (KafkaPartition *) opened->partitions[source->next], batch, most);
	}
	if (source->failure.length > 0)
		buffer_text(problem, source->failure.data);
	return source->failure.length == 0;
}

/* If there was trouble, is there still? With --no-loop that is not waited for */
static void
probe_brokers(KafkaSource *source)
{
	const struct rd_kafka_metadata *metadata;

	if (source->client.trouble.length == 0)
	{
		source->away = wait_begin(NULL);
		return;
	}
	if (monotonic_ms() < source->probed_at + PROBE_MS)
		return;
	if (rd_kafka_metadata(source->client.handle, 0, NULL, &metadata, KAFKA_LONG_SLICE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		rd_kafka_metadata_destroy(metadata);
		buffer_clear(&source->client.trouble);
		source->source.down = false;
	}
	else if (wait_tell_due(&source->away))
	{
		log_line(LOG_ERROR, "source is down: %s", source->client.trouble.data);
		source->source.down = true;
		if (source->source.no_loop)
			buffer_text(&source->failure, source->client.trouble.data);
	}
	source->probed_at = monotonic_ms();
}

static void
consumer_wait(Source *opened, Wait *wait, int64_t milliseconds)
{
	KafkaSource *source = (KafkaSource *) opened;
	char		bytes[256];

	probe_brokers(source);
	if (wait_on(wait, source->wake[0], POLLIN, milliseconds))
		while (read(source->wake[0], bytes, sizeof(bytes)) == (ssize_t) sizeof(bytes));
}

/* The group is heard of, whatever else goes on: else it would do without us */
static void
consumer_attend(Source *opened)
{
	KafkaSource *source = (KafkaSource *) opened;
	rd_kafka_message_t *message;

	while ((message = rd_kafka_consumer_poll(source->client.handle, 0)) != NULL)
	{
		fail(source, message);
		rd_kafka_message_destroy(message);
	}
}

const SourceKind source_kafka = {
	.scheme = "kafka",
	.takes_options = true,
	.check = consumer_check,
	.open = consumer_open,
	.try = consumer_try,
	.survey = consumer_survey,
	.start = consumer_start,
	.take = consumer_take,
	.wait = consumer_wait,
	.attend = consumer_attend,
	.close = consumer_close,
};
