/*
 * inbox/message.h
 *		A message of a source's log: an event, which asks for something of an item
 *		as a request does, or what nobody can read.
 *
 * An event is read at its turn, and refused then; what it is about is peeked at
 * before.
 */
#ifndef ESGF_STAC_INBOX_MESSAGE_H
#define ESGF_STAC_INBOX_MESSAGE_H

#include "utils/array.h"

#include "verbs/methods.h"
#include "verbs/outcome.h"

/* What is to be known of a source to read its events. */
typedef struct Source
{
	text	   *name;
	Jsonb	   *principals;		/* an array: its own, source:<name>, among
								 * them */
	bool		drop_nulls;
	NullMembers null_members;
} Source;

typedef struct Message
{
	Outcome		outcome;
	const Source *source;
	int			partition;
	int64		offset;
	text	   *key;			/* or NULL */
	JsonbValue	value;			/* the event; of what nobody can read why, and
								 * its bytes */
	bool		readable;
	text	   *event_id;		/* NULL: none that is a name */
	text	   *request_id;		/* likewise */
	text	   *method;			/* likewise */
	Jsonb	   *identity;		/* as whom it was performed, or whom a
								 * repetition names; NULL: it does not say */
	ItemRequest request;
	bool		known;			/* it was performed before */
	bool		entered;		/* its event_id has not come before */
	struct Message *first;		/* of this call, that has the same event_id */
	const Jsonb *first_outcome; /* what became of it in an earlier call */
	int			first_partition;
	int64		first_offset;
} Message;

/* Events of a call in columns, whose elements are one for each. */
typedef struct MessageColumns
{
	ArrayType  *offsets;
	ArrayType  *keys;
	ArrayType  *values;
	ArrayType  *unreadable;		/* NULL: the value is an event */
} MessageColumns;

extern Message *make_message(const Source *source, int partition, int64 offset, const JsonbValue *value, bool readable);
extern Message **read_messages(const Source *source, int partition, const Jsonb *events, int *count);
extern Message **read_columns(const Source *source, int partition, const MessageColumns *columns, int *count);
extern bool is_unreadable(const JsonbValue *kept);
extern bool peek_at_message(const Message *message, ItemRequest *request);
extern void perform_message(Outcome *outcome);
extern int	message_status(const ErrorData *error);

#endif							/* ESGF_STAC_INBOX_MESSAGE_H */
