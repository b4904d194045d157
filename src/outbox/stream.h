/*
 * outbox/stream.h
 *		Filtered streams: which of them an event is in, and which it leaves.
 *
 * An item is in a stream of its collection if it satisfies the filter, and, of a
 * site's stream, is one that the site has, or that a rule of the site matches
 * which was in force at any time since the stream was made.
 */
#ifndef ESGF_STAC_OUTBOX_STREAM_H
#define ESGF_STAC_OUTBOX_STREAM_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

/* An item as streams judge it. */
typedef struct StreamedItem
{
	Datum		document;		/* as stored; 0: there is none */
	Datum		nodes;			/* text[]: who has it */
} StreamedItem;

extern bool have_filtered_streams(void);
extern bool satisfies(Jsonb *document, JsonPath *filter);
extern void judge_streams(const char *collection_id, const StreamedItem *before, const StreamedItem *after,
						  bool leaves_all, Datum *streams, Datum *left_streams);

#endif							/* ESGF_STAC_OUTBOX_STREAM_H */
