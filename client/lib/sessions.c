/*
 * sessions.c
 *		Session after session, until there is nothing to try again.
 */
#include "lib/sessions.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/notify.h"
#include "lib/wait.h"

/*
 * The wait before a new session doubles from the one to the other; where it is a
 * server that is missing, to less: another may take its place at any time.
 */
#define FIRST_WAIT_MS 200
#define LONGEST_WAIT_MS 30000
#define LONGEST_SEARCH_MS 3000

/*
 * Hear signals before anything else: SIGHUP may come at once. And no connection
 * may have the number of a descriptor that was closed when we were started: lines
 * would go there. False: stdout was, and may be needed.
 */
bool
sessions_prepare(void)
{
	bool		has_stdout = true;

	wait_set_signals();
	for (int file = STDIN_FILENO; file <= STDERR_FILENO; file++)
	{
		if (fcntl(file, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", file == STDERR_FILENO ? O_WRONLY : O_RDONLY) != file)
			_exit(STATUS_INTERNAL);
		has_stdout = has_stdout && file != STDOUT_FILENO;
	}
	return has_stdout;
}

/* Wait before the next session; many programs must not come all at once */
static void
back_off(int64_t *pause, int64_t longest)
{
	Wait		wait = wait_begin(NULL);
	int64_t		jittered;

	if (*pause > longest)
		*pause = longest;
	jittered = *pause / 2 + random() % (*pause / 2 + 1);
	if (log_said_any())
		log_line(LOG_NOTE, "trying again in %d ms", (int) jittered);
	while (!stop_requested && !reload_requested && monotonic_ms() < wait.since + jittered)
		wait_on(&wait, -1, 0, wait.since + jittered - monotonic_ms());
	*pause *= 2;
}

static ExitStatus
run_sessions(const Sessions *sessions)
{
	int64_t		pause = FIRST_WAIT_MS;

	while (sessions->heed_signals(sessions->program) == STATUS_RUNNING)
	{
		SessionReach reach = REACHED_NOTHING;
		ExitStatus	status;

		log_next_try();
		status = sessions->run(sessions->program, &reach);

		if (reach == REACHED_PROGRESS)
			pause = FIRST_WAIT_MS;
		if (stop_requested && status != STATUS_INTERNAL)
			return STATUS_STOPPED;
		if (status == STATUS_RUNNING)
			continue;			/* the next one at once */
		if ((status != STATUS_DATABASE && status != STATUS_ENDPOINT) || sessions->is_last(sessions->program))
			return status;
		back_off(&pause, status == STATUS_DATABASE && reach == REACHED_NOTHING ? LONGEST_SEARCH_MS : LONGEST_WAIT_MS);
	}
	return STATUS_STOPPED;
}

/* Run sessions until there is nothing to try again */
ExitStatus
sessions_run(const Sessions *sessions)
{
	ExitStatus	status;

	srandom((unsigned int) time(NULL) ^ (unsigned int) getpid());
	wait_look_after(sessions->attend, sessions->program);
	status = run_sessions(sessions);
	notify_stopping();
	return status;
}
