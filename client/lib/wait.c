/*
 * wait.c
 *		Waiting that never holds up the rest.
 */
#include "lib/wait.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"

/* So often the rest is looked after. */
#define SLICE_MS 100

/* What is waited for is told then, and again that often. */
#define TELL_MS 4500
#define TELL_AGAIN_MS 30000

/*
 * A stop that was asked for is obeyed within two seconds: what is in hand may
 * take so long, and then the whole process.
 */
#define STOP_MS 1500
#define STOP_SECONDS 2

volatile sig_atomic_t stop_requested = false;
volatile sig_atomic_t reload_requested = false;
static volatile int64_t stop_requested_at;

/* What the program looks after meanwhile. */
static void (*look_after) (void *cared_for);
static void *looked_after;

/* A clock that nobody sets */
int64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
request_stop(int signal_number)
{
	(void) signal_number;
	stop_requested_at = monotonic_ms();
	stop_requested = true;
	alarm(STOP_SECONDS);
}

static void
request_reload(int signal_number)
{
	(void) signal_number;
	reload_requested = true;
}

/* Something blocks after all: a disk, a resolver of names, a library */
static void
stop_at_once(int signal_number)
{
	(void) signal_number;
	_exit(EXIT_SUCCESS);
}

/* The second signal of a kind ends the program at once: nothing is lost by it */
void
wait_set_signals(void)
{
	struct sigaction stop = {.sa_handler = request_stop,.sa_flags = SA_RESETHAND};
	struct sigaction reload = {.sa_handler = request_reload};
	struct sigaction late = {.sa_handler = stop_at_once};

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGHUP, &reload, NULL);
	sigaction(SIGALRM, &late, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* a file that may not grow is an error */
}

/* Is it time to give up what is in hand? */
bool
stop_due(void)
{
	return stop_requested && monotonic_ms() >= stop_requested_at + STOP_MS;
}

/* From now on, whatever waits calls that several times a second */
void
wait_look_after(void (*attend) (void *cared_for), void *cared_for)
{
	look_after = attend;
	looked_after = cared_for;
}

Wait
wait_begin(const char *what)
{
	return (Wait)
	{
		.what = what,.since = monotonic_ms()
	};
}

int
wait_seconds(const Wait *wait)
{
	return (int) ((monotonic_ms() - wait->since + 500) / 1000);
}

/* Is it time to tell what is waited for? Whoever asks tells */
bool
wait_tell_due(Wait *wait)
{
	int64_t		now = monotonic_ms();

	if (now < wait->since + TELL_MS || (wait->told_at != 0 && now < wait->told_at + TELL_AGAIN_MS))
		return false;
	wait->told_at = now;
	return true;
}

/* Look after the rest; that may wait, and so be called within itself */
void
wait_attend(void)
{
	if (look_after != NULL)
		look_after(looked_after);
}

/*
 * Wait until a file (-1: none) is ready, the time is over, or a slice of it is
 * over, which is for the rest
 */
bool
wait_on(Wait *wait, int file, short events, int64_t milliseconds)
{
	struct pollfd one = {file, events, 0};
	int64_t		slice = milliseconds < SLICE_MS ? milliseconds : SLICE_MS;
	bool		ready = poll(&one, 1, slice > 0 ? (int) slice : 0) > 0;

	if (!ready && wait->what != NULL && wait_tell_due(wait))
		log_line(LOG_WARNING, "waiting for %s, for %d s now", wait->what, wait_seconds(wait));
	wait_attend();
	return ready;
}

/* It is there: say so, if it was said that it was waited for */
void
wait_end(Wait *wait)
{
	if (wait->told_at != 0 && wait->what != NULL)
		log_line(LOG_NOTE, "waited %d s for %s", wait_seconds(wait), wait->what);
	wait->told_at = 0;
}
