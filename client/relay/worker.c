/*
 * worker.c
 *		A relay that may run iteration jobs with targets has a worker of its own
 *		do that, the same program again with --iterations-only: a sink of theirs
 *		that is slow, or away, keeps no live event waiting.
 */
#include "relay/relay.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/wait.h"

/* Tells a worker whose it is: it ends with that process. */
#define PARENT "ESGF_STAC_WORKER_OF"

/* A worker that ended is started again after that time. */
#define PAUSE_MS 5000

/* Having asked it to stop, we wait so long. */
#define STOP_MS 1500

extern char **environ;

static pid_t worker;			/* 0: none */
static int64_t start_at;
static char **arguments;		/* NULL: there is to be none */
static pid_t parent;			/* of a worker */

/* Start it */
static void
start(void)
{
	if (posix_spawnp(&worker, arguments[0], NULL, NULL, arguments, environ) == 0)
		return;
	worker = 0;
	start_at = monotonic_ms() + PAUSE_MS;
	log_line(LOG_ERROR, "could not start a worker for iteration jobs: %s", strerror(errno));
}

/* The arguments of this program, and that it is to be a worker */
static char **
make_arguments(char **argv)
{
	int			count = 0;
	char	  **made;

	while (argv[count] != NULL)
		count++;
	made = allocate((size_t) (count + 2) * sizeof(char *));
	memcpy(made, argv, (size_t) count * sizeof(char *));
	made[count] = copy_string("--iterations-only");
	return made;
}

/* If there is to be a worker, or this is one: see to it */
void
worker_begin(Relay *relay, char **argv)
{
	const char *text = getenv(PARENT);
	char		pid[16];

	if (relay->options.iteration.only && text != NULL)
	{
		parent = (pid_t) atoi(text);
		return;
	}
	if (relay->options.iteration.only || relay->options.iteration.allowed == NULL || relay->options.verify.wanted)
		return;
	snprintf(pid, sizeof(pid), "%d", (int) getpid());
	setenv(PARENT, pid, 1);
	arguments = make_arguments(argv);
	start();
}

/* Is this the worker of a relay, which has the terminal? */
bool
worker_is_ours(void)
{
	return parent != 0;
}

/* Does it live? And does its parent? */
void
worker_look(void)
{
	int			status;

	if (parent != 0 && getppid() != parent && !stop_requested)
		raise(SIGTERM);
	if (worker != 0 && waitpid(worker, &status, WNOHANG) == worker)
	{
		log_line(LOG_WARNING, "the worker for iteration jobs ended; another is started in %d s", PAUSE_MS / 1000);
		worker = 0;
		start_at = monotonic_ms() + PAUSE_MS;
	}
	if (worker == 0 && arguments != NULL && !stop_requested && monotonic_ms() >= start_at)
		start();
}

/* Have it read the configuration again, too */
void
worker_reload(void)
{
	if (worker != 0)
		kill(worker, SIGHUP);
}

/* Have it end */
void
worker_end(void)
{
	int64_t		deadline = monotonic_ms() + STOP_MS;
	int			status;

	if (worker == 0)
		return;
	kill(worker, SIGTERM);
	while (waitpid(worker, &status, WNOHANG) == 0 && monotonic_ms() < deadline)
		usleep(10000);
	worker = 0;
	arguments = NULL;
}
