/*
 * kafka.c
 *		Outcomes as messages of Kafka, with the keys of what they answer.
 */
#include "ingest/results/results.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/producer.h"

typedef struct KafkaResults
{
	Results		results;
	char	   *brokers;
	Buffer		topics[2];		/* for errors, and for successes */
	Producer	producer;
	const Outcome *outcomes;	/* those being written */
} KafkaResults;

static bool
kafka_check(const ResultsSettings *settings, Buffer *problem)
{
	const char *topic = kafka_target_topic(settings->target, problem);
	Buffer		name = {0};
	bool		valid = false;

	if (topic == NULL)
		return false;
	if (results_target_valid(topic))
	{
		results_target(&name, topic, true);
		valid = kafka_topic_valid(name.data, "");
	}
	buffer_free(&name);
	if (!valid)
		buffer_text(problem, "no name for a topic");
	return valid && producer_options_valid(&settings->options, problem);
}

static bool
waits(void *owner, Wait *wait, const char *problem)
{
	return results_wait(owner, wait, problem);
}

/* No event may stop its partition, nor may its outcome */
static void
refuse(void *owner, int number, const char *problem)
{
	KafkaResults *results = owner;

	results->results.refused++;
	log_line(LOG_WARNING, "the outcome of the event at %" PRId64 " is passed over: %s", results->outcomes[number].offset, problem);
}

static void
kafka_results_close(Results *opened)
{
	KafkaResults *results = (KafkaResults *) opened;

	producer_close(&results->producer);
	free(results->brokers);
	for (int i = 0; i < 2; i++)
		buffer_free(&results->topics[i]);
	free(results);
}

static Results *
kafka_results_open(const ResultsSettings *settings, Buffer *problem)
{
	KafkaResults *results = allocate(sizeof(KafkaResults));
	const char *topic;

	results->results.kind = &results_kafka;
	if (!kafka_split_target(settings->target, &results->brokers, &topic))
		abort();				/* kafka_check() has seen it */
	for (int i = 0; i < 2; i++)
		results_target(&results->topics[i], topic, i == 1);
	results->producer.owner = results;
	results->producer.waits = waits;
	results->producer.refuse = refuse;
	if (producer_open(&results->producer, results->brokers, results->topics[1].data, &settings->options, problem))
		return &results->results;
	kafka_results_close(&results->results);
	return NULL;
}

static bool
kafka_try(const ResultsSettings *settings, Buffer *problem)
{
	char	   *brokers;
	const char *topic;
	Buffer		names[2] = {0};
	const char *topics[2];
	bool		good;

	if (!kafka_split_target(settings->target, &brokers, &topic))
		abort();				/* kafka_check() has seen it */
	for (int i = 0; i < 2; i++)
		results_target(&names[i], topic, i == 1);
	topics[0] = names[0].data;
	topics[1] = names[1].data;
	good = producer_try(brokers, topics, 2, &settings->options, problem);
	for (int i = 0; i < 2; i++)
		buffer_free(&names[i]);
	free(brokers);
	return good;
}

/* Add an outcome to the round; false if it is for the next one */
static bool
add_outcome(KafkaResults *results, int number)
{
	const Outcome *outcome = &results->outcomes[number];
	Message		message = {
		.number = number,
		.topic = results->topics[outcome->success].data,
		.key = {outcome->key, outcome->key != NULL ? strlen(outcome->key) : 0},
		.value = {outcome->value, strlen(outcome->value)}
	};

	if (!producer_has_room(&results->producer, 2 * message.key.length + message.value.length, 1))
		return false;
	producer_add(&results->producer, &message);
	return true;
}

static bool
kafka_write(Results *opened, const Outcome *outcomes, int count, Buffer *problem)
{
	KafkaResults *results = (KafkaResults *) opened;

	results->outcomes = outcomes;
	for (int next = 0; next < count;)
	{
		producer_begin(&results->producer);
		while (next < count && add_outcome(results, next))
			next++;
		if (!producer_send(&results->producer, problem))
			return false;
	}
	opened->down = false;
	return true;
}

const ResultsKind results_kafka = {
	.scheme = "kafka",
	.takes_options = true,
	.check = kafka_check,
	.open = kafka_results_open,
	.try = kafka_try,
	.write = kafka_write,
	.close = kafka_results_close,
};
