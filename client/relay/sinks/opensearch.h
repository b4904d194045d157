/*
 * opensearch.h
 *		Where the items of a stream stand in OpenSearch, for who writes and for
 *		who reads.
 */
#ifndef SINKS_OPENSEARCH_H
#define SINKS_OPENSEARCH_H

#include <curl/curl.h>
#include <stdbool.h>

#include "sinks/sink.h"

/* The templates of an index's name, and of a document's id. */
typedef struct OpensearchNames
{
	const char *index;
	const char *document_id;
} OpensearchNames;

extern void opensearch_names(const SinkSettings *settings, Buffer *url, OpensearchNames *names);
extern bool opensearch_is_index(const char *name);
extern void opensearch_login(const SinkSettings *settings, struct curl_slist **headers);

#endif							/* SINKS_OPENSEARCH_H */
