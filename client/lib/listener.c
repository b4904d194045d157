/*
 * listener.c
 *		Answers GET and HEAD over HTTP, by libmicrohttpd.
 *
 * A connection is for one request, and has little time and memory for it. Where
 * many wait, the oldest makes room for a new one: who asks at once is answered,
 * however many others say nothing.
 */
#include "lib/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/wait.h"

/* The host, if none is given: nobody from outside */
#define LOOPBACK "127.0.0.1"

/* So many connections there may be, and so many before the oldest has to go. */
#define MOST_CONNECTIONS 64
#define ENOUGH_CONNECTIONS 48

/* A request, with its headers, has that much memory and time; a client that is silent, less. */
#define REQUEST_BYTES 16384
#define REQUEST_MS 20000
#define SILENCE_SECONDS 5

/* Connections under way, of which the listener's thread knows more. */
typedef struct Visitor
{
	int			file;			/* -1: none */
	int64_t		since;
} Visitor;

static struct MHD_Daemon *httpd;	/* NULL: nobody listens */
static const Resource *served;
static int	served_count;
static Visitor visitors[MOST_CONNECTIONS];
static pthread_mutex_t visitors_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---------------------------------------------------------------- answers */

static void
add_header(struct MHD_Response *response, const char *name, const char *value)
{
	if (MHD_add_response_header(response, name, value) != MHD_YES)
		out_of_memory();
}

/* Answer with a text, which goes over to the response */
static enum MHD_Result
respond(struct MHD_Connection *connection, unsigned int status, Buffer *body, const char *content_type, const char *policy)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(body->length, body->data, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result queued;

	if (response == NULL)
		out_of_memory();
	add_header(response, "Content-Type", content_type);
	add_header(response, "Content-Security-Policy", policy);
	add_header(response, "Cache-Control", "no-store");
	add_header(response, "X-Content-Type-Options", "nosniff");
	add_header(response, "Referrer-Policy", "no-referrer");
	add_header(response, "Connection", "close");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		add_header(response, "Allow", "GET, HEAD");
	queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

static enum MHD_Result
respond_error(struct MHD_Connection *connection, unsigned int status, const char *text)
{
	Buffer		body = {0};

	buffer_text(&body, text);
	return respond(connection, status, &body, "text/plain; charset=utf-8", "default-src 'none'");
}

static const Resource *
find_resource(const char *path)
{
	for (int i = 0; i < served_count; i++)
		if (strcmp(served[i].path, path) == 0)
			return &served[i];
	return NULL;
}

/* One request, of which the headers have come */
static enum MHD_Result
handle(void *context, struct MHD_Connection *connection, const char *path, const char *method, const char *version,
	   const char *upload, size_t *upload_size, void **state)
{
	const Resource *resource = find_resource(path);
	Buffer		body = {0};
	unsigned int status;

	(void) context;
	(void) version;
	(void) upload;
	(void) upload_size;
	(void) state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return respond_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (resource == NULL)
		return respond_error(connection, MHD_HTTP_NOT_FOUND, "nothing is there\n");
	status = resource->answer(&body);
	return respond(connection, status, &body, resource->content_type, resource->policy);
}

/* ---------------------------------------------------------------- connections */

/* Have the listener's thread find a connection closed */
static void
send_away(const Visitor *visitor)
{
	if (visitor->file >= 0)
		shutdown(visitor->file, SHUT_RDWR);
}

/* The one that has been there for longest, if there are enough */
static Visitor *
longest(void)
{
	Visitor    *oldest = NULL;
	int			count = 0;

	for (int i = 0; i < MOST_CONNECTIONS; i++)
	{
		Visitor    *visitor = &visitors[i];

		if (visitor->file < 0)
			continue;
		count++;
		if (oldest == NULL || visitor->since < oldest->since)
			oldest = visitor;
	}
	return count > ENOUGH_CONNECTIONS ? oldest : NULL;
}

/* A connection has come, or is about to be closed */
static void
note_connection(void *context, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	bool		comes = code == MHD_CONNECTION_NOTIFY_STARTED;
	Visitor    *oldest;

	(void) context;
	(void) state;
	if (info == NULL)
		return;
	pthread_mutex_lock(&visitors_lock);
	for (int i = 0; i < MOST_CONNECTIONS; i++)
	{
		if (visitors[i].file != (comes ? -1 : info->connect_fd))
			continue;
		visitors[i] = (Visitor)
		{
			.file = comes ? info->connect_fd : -1,.since = monotonic_ms()
		};
		break;
	}
	oldest = comes ? longest() : NULL;
	if (oldest != NULL)
	{
		send_away(oldest);
		oldest->since = INT64_MAX;	/* once is enough */
	}
	pthread_mutex_unlock(&visitors_lock);
}

/* Close connections that had their time; to be called once a second or so */
void
listener_expire(void)
{
	int64_t		now = monotonic_ms();

	pthread_mutex_lock(&visitors_lock);
	for (int i = 0; i < MOST_CONNECTIONS; i++)
		if (visitors[i].file >= 0 && visitors[i].since < now - REQUEST_MS)
			send_away(&visitors[i]);
	pthread_mutex_unlock(&visitors_lock);
}

/* ---------------------------------------------------------------- beginning and end */

/* Is that a port? */
static bool
is_port(const char *text)
{
	size_t		length = strlen(text);

	return length >= 1 && length <= 5 && strspn(text, "0123456789") == length && atoi(text) >= 1 && atoi(text) <= 65535;
}

/* Split [HOST:]PORT; an IPv6 address stands in brackets. False: it is none, and there is nothing to free */
static bool
split_address(const char *address, char **host, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t		length = colon != NULL ? (size_t) (colon - address) : 0;
	bool		bracketed = length > 2 && address[0] == '[' && address[length - 1] == ']';
	Buffer		name = {0};

	*port = colon != NULL ? colon + 1 : address;
	if (!is_port(*port) || colon == address || (colon != NULL && !bracketed && strcspn(address, ":[]") != length))
		return false;
	if (bracketed)
		buffer_append(&name, address + 1, length - 2);
	else if (colon != NULL)
		buffer_append(&name, address, length);
	else
		buffer_text(&name, LOOPBACK);
	*host = name.data;
	return true;
}

/* Is that an address at which one could listen? */
bool
address_good(const char *address)
{
	const char *port;
	char	   *host;
	bool		good = split_address(address, &host, &port);

	if (good)
		free(host);
	return good;
}

/* Open a socket for one of the addresses of a host; -1 and errno if that cannot be done */
static int
open_socket(const struct addrinfo *addresses)
{
	int			saved = 0;

	for (const struct addrinfo *one = addresses; one != NULL; one = one->ai_next)
	{
		int			on = 1;
		int			file = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (file >= 0 && setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
			bind(file, one->ai_addr, one->ai_addrlen) == 0 && listen(file, SOMAXCONN) == 0)
			return file;
		saved = errno;
		if (file >= 0)
			close(file);
	}
	errno = saved;
	return -1;
}

/* Look the host up, and open a socket; -1 and a problem if that cannot be done */
static int
open_address(const char *address, Buffer *problem)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,.ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *addresses = NULL;
	const char *port;
	char	   *host;
	int			file = -1;
	int			failure;

	if (!split_address(address, &host, &port))
	{
		buffer_text(problem, "that is no address");
		return -1;
	}
	failure = getaddrinfo(host, port, &hints, &addresses);
	if (failure == 0)
		file = open_socket(addresses);
	if (file < 0)
		buffer_text(problem, failure != 0 && failure != EAI_SYSTEM ? gai_strerror(failure) : strerror(errno));
	if (failure == 0)
		freeaddrinfo(addresses);
	free(host);
	return file;
}

/* Could we listen there? */
bool
listener_try(const char *address, Buffer *problem)
{
	int			file = open_address(address, problem);

	if (file >= 0)
		close(file);
	return file >= 0;
}

/* Listen, and answer what is asked for of these resources, which stay; false and a problem if that cannot be done */
bool
listener_start(const char *address, const Resource *resources, int count, Buffer *problem)
{
	int			file = open_address(address, problem);
	sigset_t	all;
	sigset_t	before;

	if (file < 0)
		return false;
	served = resources;
	served_count = count;
	for (int i = 0; i < MOST_CONNECTIONS; i++)
		visitors[i].file = -1;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	httpd = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, NULL,
							 MHD_OPTION_LISTEN_SOCKET, file,
							 MHD_OPTION_CONNECTION_LIMIT, (unsigned int) MOST_CONNECTIONS,
							 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) REQUEST_BYTES,
							 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int) SILENCE_SECONDS,
							 MHD_OPTION_NOTIFY_CONNECTION, note_connection, NULL,
							 MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (httpd != NULL)
		return true;
	buffer_text(problem, "libmicrohttpd could not be started");
	close(file);
	return false;
}

void
listener_stop(void)
{
	if (httpd != NULL)
		MHD_stop_daemon(httpd);
	httpd = NULL;
}
