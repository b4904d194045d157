/*
 * outbox/stream.h
 *		Filtered streams: which of them an event is in, and which it leaves.
 */
#ifndef ESGF_STAC_OUTBOX_STREAM_H
#define ESGF_STAC_OUTBOX_STREAM_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

extern bool have_filtered_streams(void);
extern bool satisfies(Jsonb *document, JsonPath *filter);
extern void judge_streams(const char *collection_id, Jsonb *before, Jsonb *after, bool leaves_all,
						  Datum *streams, Datum *left_streams);

#endif							/* ESGF_STAC_OUTBOX_STREAM_H */
