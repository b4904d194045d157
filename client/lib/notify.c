/*
 * notify.c
 *		What a program tells the service manager that started it.
 */
#include "lib/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/wait.h"

/* So long a manager may keep a message waiting. */
#define PATIENCE_MS 5000

static int	manager = -1;		/* nobody is to be told */
static bool told_ready;

/* Connect to the socket that a variable names; "@" stands for the zero byte of an abstract one */
static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t		length = strlen(path);
	int			descriptor;

	if (length >= sizeof(address.sun_path))
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor >= 0 &&
		connect(descriptor, (struct sockaddr *) &address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length)) != 0)
	{
		int			error = errno;

		close(descriptor);
		errno = error;
		return -1;
	}
	return descriptor;
}

/* Who is to be told? A program that this one starts tells him nothing */
void
notify_begin(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path == NULL || *path == '\0')
		return;
	manager = connect_to(path);
	if (manager < 0)
		log_line(LOG_WARNING, "the service manager cannot be told anything by NOTIFY_SOCKET: %s", strerror(errno));
	unsetenv("NOTIFY_SOCKET");
}

static void
tell(const char *message)
{
	Wait		wait = wait_begin("the service manager");

	if (manager < 0)
		return;
	while (send(manager, message, strlen(message), MSG_NOSIGNAL) < 0)
	{
		if ((errno != EAGAIN && errno != EINTR) || monotonic_ms() > wait.since + PATIENCE_MS)
		{
			log_line(LOG_WARNING, "the service manager was not told %s: %s", message, strerror(errno));
			return;
		}
		wait_on(&wait, manager, POLLOUT, 100);
	}
}

/* The program does what it is for; told once, for what it loses later it gets back by itself */
void
notify_ready(void)
{
	if (!told_ready)
		tell("READY=1");
	told_ready = true;
}

void
notify_stopping(void)
{
	tell("STOPPING=1");
}
