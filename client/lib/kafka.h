/*
 * kafka.h
 *		What every client of Kafka is made with: BROKERS/TOPIC, properties, and an
 *		ear for what librdkafka complains of.
 */
#ifndef LIB_KAFKA_H
#define LIB_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "lib/buffer.h"
#include "lib/pairs.h"

#define KAFKA_PROPERTY_SIZE 64

/*
 * How long librdkafka may keep us from the rest: which goes on while a broker
 * works, but has little to do while none is there.
 */
#define KAFKA_SLICE_MS 1
#define KAFKA_LONG_SLICE_MS 100

/* The properties that a kind of client begins with; an operator may change the first. */
typedef struct KafkaProperties
{
	rd_kafka_type_t type;
	const Pair *defaults;		/* a name of NULL ends both */
	const Pair *own;			/* what our promises rest on; a value of NULL
								 * is librdkafka's own */
} KafkaProperties;

/* The struct of a client begins with this one, which is librdkafka's opaque. */
typedef struct KafkaClient
{
	rd_kafka_t *handle;
	Buffer		trouble;		/* what it last complained of */
	bool		all_down;		/* that no broker could be reached */
} KafkaClient;

extern bool kafka_split_target(const char *target, char **brokers, const char **topic);
extern const char *kafka_target_topic(const char *target, Buffer *problem);
extern bool kafka_topic_valid(const char *name, const char *more);
extern bool kafka_options_valid(const KafkaProperties *properties, const Pairs *options, Buffer *problem);
extern rd_kafka_conf_t *kafka_make_properties(const KafkaProperties *properties, const Pairs *options, Buffer *problem);
extern const char *kafka_property(const rd_kafka_conf_t *properties, const char *name, char value[KAFKA_PROPERTY_SIZE]);
extern bool kafka_open(KafkaClient *client, rd_kafka_type_t type, rd_kafka_conf_t *properties, const char *brokers, Buffer *problem);
extern bool kafka_await_broker(KafkaClient *client, const char *topic);
extern bool kafka_find_topic(KafkaClient *client, const char *topic, Buffer *problem);
extern int	kafka_partitions(KafkaClient *client, const char *topic, Buffer *problem);
extern void kafka_tell_trouble(const KafkaClient *client, Buffer *problem);
extern void kafka_close(KafkaClient *client);

#endif							/* LIB_KAFKA_H */
