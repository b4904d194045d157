/*
 * http.h
 *		A small client for HTTP on libcurl: POST to one URL, over one connection
 *		that is kept, and the answer; or whatever is asked of others of its server.
 *
 * Redirects are not followed: they would lead secrets astray.
 */
#ifndef LIB_HTTP_H
#define LIB_HTTP_H

#include <curl/curl.h>

#include "lib/buffer.h"
#include "lib/wait.h"

typedef struct HttpSettings
{
	const char *username;		/* NULL: no login */
	const char *password;
	const char *ca_file;		/* NULL: the system's */
	long		timeout;		/* of a request, in seconds */
} HttpSettings;

typedef struct HttpClient
{
	/* Called several times a second; false: give up. */
	bool		(*waits) (void *owner, Wait *wait);
	void	   *owner;
	CURLM	   *multi;
	CURL	   *curl;
	bool		gzip;			/* compress what is sent */
	Buffer		compressed;
	char		curl_problem[CURL_ERROR_SIZE];

	size_t		answer_limit;	/* a longer answer is none */
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

extern bool http_url_check(const char *url, Buffer *problem);
extern bool http_url_names_password(const char *url);

extern void http_open(HttpClient *client, const char *url, const HttpSettings *settings,
					  bool (*waits) (void *owner, Wait *wait), void *owner);
extern bool http_reach(HttpClient *client, Buffer *problem);
extern bool http_post(HttpClient *client, const Buffer *body, struct curl_slist *headers, Buffer *problem);
extern bool http_ask(HttpClient *client, const char *method, const char *url, const Buffer *body, struct curl_slist *headers,
					 Buffer *problem);
extern void http_close(HttpClient *client);

extern void http_header(struct curl_slist **headers, const char *name, const char *value);
extern bool http_status_good(long status);
extern bool http_status_busy(long status);
extern void http_answer(const HttpClient *client, Buffer *text);

#endif							/* LIB_HTTP_H */
