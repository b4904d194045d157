/*
 * kafka.c
 *		What every client of Kafka is made with.
 */
#include "lib/kafka.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/program.h"
#include "lib/wait.h"

/* To open a client, a broker must have answered by then. */
#define OPEN_MS 10000

/* BROKERS/TOPIC: no topic has a slash */
bool
kafka_split_target(const char *target, char **brokers, const char **topic)
{
	const char *slash = strrchr(target, '/');

	if (slash == NULL || slash == target || slash[1] == '\0')
		return false;
	*brokers = copy_string(target);
	(*brokers)[slash - target] = '\0';
	*topic = slash + 1;
	return true;
}

/* The topic of BROKERS/TOPIC; NULL and a problem if it has none */
const char *
kafka_target_topic(const char *target, Buffer *problem)
{
	char	   *brokers;
	const char *topic = NULL;

	if (kafka_split_target(target, &brokers, &topic))
		free(brokers);
	else
		buffer_text(problem, "no /TOPIC behind the brokers");
	return topic;
}

/* Kafka's own rule, but for some characters more */
bool
kafka_topic_valid(const char *name, const char *more)
{
	size_t		length = 0;

	for (char c; (c = name[length]) != '\0'; length++)
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  strchr("._-", c) != NULL || strchr(more, c) != NULL))
			return false;
	return length >= 1 && length <= 249 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* ---------------------------------------------------------------- properties */

static bool
set_property(rd_kafka_conf_t *properties, const Pair *pair, Buffer *problem)
{
	char		message[512];

	if (pair->value == NULL ||
		rd_kafka_conf_set(properties, pair->name, pair->value, message, sizeof(message)) == RD_KAFKA_CONF_OK)
		return true;
	buffer_text(problem, message);
	return false;
}

/* Set those of a list that a name of NULL ends */
static bool
set_properties(rd_kafka_conf_t *properties, const Pair *pair, Buffer *problem)
{
	while (pair->name != NULL && set_property(properties, pair, problem))
		pair++;
	return pair->name == NULL;
}

static bool
set_options(rd_kafka_conf_t *properties, const Pairs *options, Buffer *problem)
{
	for (int i = 0; i < options->count; i++)
		if (!set_property(properties, &options->list[i], problem))
			return false;
	return true;
}

/* A property as librdkafka writes it; empty if it is not set */
const char *
kafka_property(const rd_kafka_conf_t *properties, const char *name, char value[KAFKA_PROPERTY_SIZE])
{
	size_t		size = KAFKA_PROPERTY_SIZE;

	value[0] = '\0';
	rd_kafka_conf_get(properties, name, value, &size);
	return value;
}

/* Are our own properties what they were? They have other names, too */
static bool
own_properties_kept(const Pair *own, const rd_kafka_conf_t *before, const rd_kafka_conf_t *after, Buffer *problem)
{
	char		values[2][KAFKA_PROPERTY_SIZE];

	for (; own->name != NULL; own++)
	{
		if (strcmp(kafka_property(before, own->name, values[0]), kafka_property(after, own->name, values[1])) != 0)
		{
			buffer_printf(problem, "\"%s\" is set by the %s, and cannot be changed", own->name, program_noun);
			return false;
		}
	}
	return true;
}

/* The properties of a client; NULL and a problem if the options are wrong */
rd_kafka_conf_t *
kafka_make_properties(const KafkaProperties *properties, const Pairs *options, Buffer *problem)
{
	const Pair	name[] = {{"client.id", program_name}, {NULL, NULL}};
	rd_kafka_conf_t *ours = rd_kafka_conf_new();
	rd_kafka_conf_t *made;
	bool		good = set_properties(ours, name, problem) && set_properties(ours, properties->defaults, problem) &&
	set_properties(ours, properties->own, problem);

	made = rd_kafka_conf_dup(ours);
	good = good && set_options(made, options, problem) && own_properties_kept(properties->own, ours, made, problem);
	rd_kafka_conf_destroy(ours);
	if (good)
		return made;
	rd_kafka_conf_destroy(made);
	return NULL;
}

/* Make a client, which takes the properties; NULL and a problem if they do not go together */
static rd_kafka_t *
make_client(rd_kafka_type_t type, rd_kafka_conf_t *properties, Buffer *problem)
{
	char		message[512];
	rd_kafka_t *handle = rd_kafka_new(type, properties, message, sizeof(message));

	if (handle != NULL)
		return handle;
	rd_kafka_conf_destroy(properties);
	buffer_text(problem, message);
	return NULL;
}

/* Would these options make a client? */
bool
kafka_options_valid(const KafkaProperties *properties, const Pairs *options, Buffer *problem)
{
	rd_kafka_conf_t *made = kafka_make_properties(properties, options, problem);
	rd_kafka_t *handle;

	if (made == NULL)
		return false;
	rd_kafka_conf_set_log_cb(made, NULL);
	handle = make_client(properties->type, made, problem);
	if (handle == NULL)
		return false;
	rd_kafka_destroy(handle);
	return true;
}

/* ---------------------------------------------------------------- clients */

/* Called by librdkafka's threads: a property has no effect. What else matters, we tell */
static void
pass_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
	(void) handle;
	(void) level;
	log_line(strcmp(facility, "CONFWARN") == 0 ? LOG_WARNING : LOG_DETAIL, "librdkafka: %s: %s", facility, text);
}

/* Called while we wait: something is wrong. That all brokers are down is no cause */
static void
note_trouble(rd_kafka_t *handle, int error, const char *reason, void *opaque)
{
	KafkaClient *client = opaque;

	(void) handle;
	client->all_down = error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
	if (client->all_down && client->trouble.length > 0)
		return;
	buffer_clear(&client->trouble);
	buffer_text(&client->trouble, reason);
}

/* Open a client with its properties, which are taken */
bool
kafka_open(KafkaClient *client, rd_kafka_type_t type, rd_kafka_conf_t *properties, const char *brokers, Buffer *problem)
{
	rd_kafka_conf_set(properties, "bootstrap.servers", brokers, NULL, 0);
	rd_kafka_conf_set_opaque(properties, client);
	rd_kafka_conf_set_log_cb(properties, pass_log);
	rd_kafka_conf_set_error_cb(properties, note_trouble);
	client->handle = make_client(type, properties, problem);
	return client->handle != NULL;
}

void
kafka_tell_trouble(const KafkaClient *client, Buffer *problem)
{
	buffer_text(problem, client->trouble.length > 0 ? client->trouble.data : "no broker answers");
}

/*
 * Wait until a broker answers, and, to have it early, tells of the topic (NULL:
 * none); one that is missing may yet be made.
 */
bool
kafka_await_broker(KafkaClient *client, const char *topic_name)
{
	rd_kafka_topic_t *topic = topic_name != NULL ? rd_kafka_topic_new(client->handle, topic_name, NULL) : NULL;
	Wait		wait = wait_begin("a broker to answer");
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TRANSPORT;

	while (error != RD_KAFKA_RESP_ERR_NO_ERROR && !client->all_down && !stop_requested && monotonic_ms() < wait.since + OPEN_MS)
	{
		const struct rd_kafka_metadata *metadata;

		error = rd_kafka_metadata(client->handle, 0, topic, &metadata, KAFKA_LONG_SLICE_MS);
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
			rd_kafka_metadata_destroy(metadata);
		rd_kafka_poll(client->handle, 0);
		wait_on(&wait, -1, 0, 0);
	}
	if (topic != NULL)
		rd_kafka_topic_destroy(topic);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
		wait_end(&wait);
	return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Do the brokers have a topic? Asked for that one alone they might make it */
bool
kafka_find_topic(KafkaClient *client, const char *topic, Buffer *problem)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t error = rd_kafka_metadata(client->handle, 1, NULL, &metadata, OPEN_MS);
	bool		found = false;

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		buffer_text(problem, rd_kafka_err2str(error));
		return false;
	}
	for (int i = 0; i < metadata->topic_cnt; i++)
		found = found || strcmp(metadata->topics[i].topic, topic) == 0;
	rd_kafka_metadata_destroy(metadata);
	if (!found)
		buffer_printf(problem, "the brokers have no topic \"%s\", or do not show it", topic);
	return found;
}

/* How many partitions has a topic, which a broker may have yet to make? 0 and a problem: that cannot be known now */
int
kafka_partitions(KafkaClient *client, const char *topic_name, Buffer *problem)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(client->handle, topic_name, NULL);
	Wait		wait = wait_begin("a broker to tell of a topic");
	int			count = 0;

	while (count == 0 && !stop_requested && monotonic_ms() < wait.since + OPEN_MS)
	{
		const struct rd_kafka_metadata *metadata;

		if (rd_kafka_metadata(client->handle, 0, topic, &metadata, KAFKA_LONG_SLICE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
				count = metadata->topics[0].partition_cnt;
			rd_kafka_metadata_destroy(metadata);
		}
		rd_kafka_poll(client->handle, 0);
		wait_on(&wait, -1, 0, count == 0 ? KAFKA_LONG_SLICE_MS : 0);
	}
	rd_kafka_topic_destroy(topic);
	if (count == 0)
		buffer_printf(problem, "no broker tells of topic \"%s\"", topic_name);
	return count;
}

void
kafka_close(KafkaClient *client)
{
	if (client->handle != NULL)
		rd_kafka_destroy(client->handle);
	client->handle = NULL;
	buffer_free(&client->trouble);
}
