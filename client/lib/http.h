/*
 * http.h
 *		A small client for HTTP on libcurl: POST to one URL, over one connection
 *		that is kept, and the answer.
 *
 * It heeds the sink options that concern it: username, password, ca-file,
 * timeout. Redirects are not followed: they would lead secrets astray.
 */
#ifndef RELAY_HTTP_H
#define RELAY_HTTP_H

#include <curl/curl.h>

#include "sinks/sink.h"

typedef struct HttpClient
{
	Sink	   *sink;			/* whose client it is */
	CURLM	   *multi;
	CURL	   *curl;
	bool		gzip;			/* compress what is sent */
	Buffer		compressed;
	char		curl_problem[CURL_ERROR_SIZE];

	const Buffer *body;			/* of the request under way */
	size_t		given;			/* so much of it libcurl has taken */
	bool		rewound;		/* that once more, after a part was taken */
	bool		broke;			/* the connection broke after some of it was
								 * taken, and there was no answer */

	/* The last answer. */
	long		status;
	int64_t		retry_after;	/* milliseconds; 0 if it does not say */
	Buffer		answer;
} HttpClient;

#define HTTP_OPTIONS "username", "password", "ca-file", "timeout"

extern bool http_url_check(const char *url, Buffer *problem);
extern bool http_url_names_password(const char *url);
extern bool http_options_check(const SinkSettings *settings, const char *const *names, Buffer *problem);

extern void http_open(HttpClient *client, Sink *sink, const char *url, const SinkSettings *settings);
extern bool http_reach(HttpClient *client, Buffer *problem);
extern bool http_post(HttpClient *client, const Buffer *body, struct curl_slist *headers, Buffer *problem);
extern void http_close(HttpClient *client);

extern void http_header(struct curl_slist **headers, const char *name, const char *value);
extern bool http_status_good(long status);
extern bool http_status_busy(long status);
extern void http_answer(const HttpClient *client, Buffer *text);

#endif							/* RELAY_HTTP_H */
