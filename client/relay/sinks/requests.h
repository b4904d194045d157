/*
 * requests.h
 *		Events on their way in HTTP requests: what the sinks opensearch and http
 *		share. A sink's own struct begins with a Requests.
 */
#ifndef SINKS_REQUESTS_H
#define SINKS_REQUESTS_H

#include "lib/http.h"
#include "sinks/sink.h"

typedef struct Requests Requests;

/* What a kind of request does its own way. */
typedef struct RequestKind
{
	/* Append an event to the body. */
	void		(*append) (Requests *requests, const Event *event);

	/* The headers of a request with those events; the caller frees them. */
	struct curl_slist *(*headers) (Requests *requests, Event *const *events, int count);

	/*
	 * Can it be asked to delete what is not there? That shows whether it is
	 * well, where an event makes it fail.
	 */
	bool		probes;

	/* Is a bad status the fault of what the body holds? */
	bool		(*blames_events) (const Requests *requests);

	/*
	 * Take the outcomes from an answer of a good status; false and a problem:
	 * the sink is down. NULL: that status is all.
	 */
	bool		(*outcomes) (Requests *requests, Event *const *events, int count, Buffer *problem);
} RequestKind;

struct Requests
{
	Sink		sink;
	const RequestKind *kind;
	const SinkSettings *settings;
	HttpClient	client;
	Buffer		body;
	size_t		body_limit;		/* a body holds one event, or less than that */
};

/* The sink options that all of them have. */
#define REQUEST_OPTIONS "username", "password", "ca-file", "timeout"

extern bool requests_options_check(const SinkSettings *settings, const char *const *names, Buffer *problem);
extern void requests_http_settings(const SinkSettings *settings, HttpSettings *http);
extern void requests_open(Requests *requests, const RequestKind *kind, const char *url, const SinkSettings *settings);
extern void requests_suspect(Event *event, int company);
extern bool requests_reach(Sink *sink, Buffer *problem);
extern bool requests_send(Requests *requests, Event *const *events, int count, Buffer *problem);
extern void requests_close(Requests *requests);

#endif							/* SINKS_REQUESTS_H */
