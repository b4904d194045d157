/*
 * producer.h
 *		Writes to topics of Kafka, by librdkafka, in order.
 *
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
#ifndef LIB_PRODUCER_H
#define LIB_PRODUCER_H

#include "lib/kafka.h"
#include "lib/wait.h"

/* text of a message: where it is kept, or NULL. */
typedef struct MessagePart
{
	const char *data;
	size_t		length;
} MessagePart;

typedef struct Message
{
	int			number;			/* its owner's, whom refuse() tells */
	const char *topic;
	MessagePart key;
	MessagePart value;			/* without data: a tombstone */
	rd_kafka_headers_t *headers;	/* NULL: none; the round frees them */
	int			partition;		/* from 1; 0: that of the key */
} Message;

/* One of a round, whose texts stand in the round's. */
typedef struct RoundMessage RoundMessage;

typedef struct Producer
{
	KafkaClient client;
	size_t		most_bytes;		/* of a round */
	int			most_messages;

	/* Set by whom it serves. */
	void	   *owner;

	/* Called while the brokers do not answer; false: give up. */
	bool		(*waits) (void *owner, Wait *wait, const char *problem);

	/* A message was refused for good. */
	void		(*refuse) (void *owner, int number, const char *problem);
	bool		refuses_topics; /* a topic that cannot be is the message's
								 * fault */

	RoundMessage *messages;		/* the round */
	int			count;
	int			space;
	size_t		bytes;
	Buffer		texts;
	int			unanswered;
} Producer;

extern bool producer_options_valid(const Pairs *options, Buffer *problem);
extern bool producer_open(Producer *producer, const char *brokers, const char *topic, const Pairs *options, Buffer *problem);
extern bool producer_try(const char *brokers, const char *const *topics, int topic_count, const Pairs *options, Buffer *problem);
extern void producer_begin(Producer *producer);
extern bool producer_has_room(const Producer *producer, size_t bytes, int messages);
extern void producer_add(Producer *producer, const Message *message);
extern bool producer_send(Producer *producer, Buffer *problem);
extern void producer_close(Producer *producer);

#endif							/* LIB_PRODUCER_H */
