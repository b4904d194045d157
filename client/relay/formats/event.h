/*
 * event.h
 *		One event of a stream, and the line that it becomes.
 *
 * The texts of an event are as the server printed them; they lie in memory
 * that the event holds until event_release(). The document is text that
 * nothing here parses, so that numbers keep their spelling.
 */
#ifndef FORMATS_EVENT_H
#define FORMATS_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buffer.h"

/* What a sink says of an event. */
typedef enum Outcome
{
	EVENT_DONE,					/* the sink has it */
	EVENT_RETRY,				/* it failed, and may pass another time */
	EVENT_BUSY,					/* so it did, and is not to blame */
	EVENT_REFUSED,				/* this document will never pass */
} Outcome;

typedef struct Event
{
	const char *id;				/* NULL for an item that was seeded, or comes
								 * by a job */
	const char *type;
	const char *collection_id;
	const char *item_id;		/* NULL for an event of the collection */
	int64_t		version;		/* 0: none, of what is said of a job */
	const char *time;			/* RFC 3339 */
	const char *reason;			/* NULL if none was given */
	const char *document;		/* NULL for what is deleted, or left the
								 * stream */
	size_t		document_length;
	const char *validated_against;	/* JSON, as are warnings; NULL: none */
	const char *warnings;
	const char *job_id;			/* the iteration job that sends it; NULL: none */
	bool		without_document;	/* its line has none: it is not gone */
	uint64_t	xid;			/* the transaction; 0 if it does not matter */

	/* Of the repair of a sink. */
	bool		overwrites;		/* the same version, too */
	bool		forgets;		/* the sink keeps no version of it */

	Outcome		outcome;
	int64_t		found_version;	/* what the sink has in its place; 0: nothing
								 * later, as far as is known */
	char	   *problem;		/* why it failed or was refused */
	int			attempts;
	int			suspicion;		/* how far it may be to blame for requests
								 * that failed as a whole, see requests.c */

	/* For the federation's envelope alone, see envelope.c. */
	char	   *metadata;
	char	   *introduction;	/* of a POST that must come first; NULL: none */

	void	   *memory;
	void		(*release) (void *memory);
} Event;

/* The columns of the outbox of which an event is made. */
typedef enum Column
{
	COLUMN_ID,
	COLUMN_AGGREGATETYPE,
	COLUMN_AGGREGATEID,
	COLUMN_TYPE,
	COLUMN_VERSION,
	COLUMN_PAYLOAD,
	COLUMN_OCCURRED_AT,
	COLUMN_XID,					/* from here on, a column may be null */
	COLUMN_REASON,
	COLUMN_STREAMS,
	COLUMN_LEFT_STREAMS,
	COLUMN_VALIDATED_AGAINST,	/* from here on, a stream that 0.1.0 made may
								 * lack a column */
	COLUMN_WARNINGS,
} Column;

#define COLUMN_COUNT (COLUMN_WARNINGS + 1)

extern const char *const column_names[COLUMN_COUNT];

extern void event_from_columns(Event *event, char *const *values, size_t payload_length, const char *stream);
extern void append_string(Buffer *line, const char *text);
extern void event_head(Buffer *line, const Event *event);
extern void event_line(Buffer *line, const Event *event);
extern void event_refuse(Event *event, Outcome outcome, const char *problem);
extern void event_release(Event *event);

#endif							/* FORMATS_EVENT_H */
