/*
 * watch.c
 *		The thread that whoever watches the program has to do with.
 */
#include "lib/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/metrics_file.h"
#include "lib/options.h"
#include "lib/program.h"
#include "lib/wait.h"

#ifdef WITH_MICROHTTPD
#include "lib/listener.h"
#endif

/* That the file cannot be written is said that often. */
#define COMPLAIN_MS 600000

/* All of it that threads share; the lock is held for moments only. */
static struct
{
	pthread_mutex_t lock;
	pthread_cond_t ends;
	bool		ending;
	Report		report;
	const char *file;			/* for the metrics; NULL: none is wanted */
	History		history;
	Buffer		details;
	int			file_error;		/* why the file could not be written; 0: it
								 * could */
}			watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* These are the main thread's, and stay once the other has begun. */
static const PageSubject *watched;
static const WatchSettings *settings;
static bool listening;
static bool started;
static pthread_t watcher;

/* ---------------------------------------------------------------- the thread */

/* Write the file of metrics, if one is wanted */
static void
write_file(const Report *report, const char *file)
{
	Buffer		text = {0};
	int			file_error;

	if (file == NULL)
		return;
	report_print(report, watched->label, watched->name, &text);
	file_error = metrics_file_write(file, &text) ? 0 : errno;
	buffer_free(&text);
	pthread_mutex_lock(&watch.lock);
	watch.file_error = file_error;
	pthread_mutex_unlock(&watch.lock);
}

/* Once a second, whatever the program does */
static void
look(void)
{
	Report		report;
	const char *file;

	pthread_mutex_lock(&watch.lock);
	report = watch.report;
	file = watch.file;
	history_note(&watch.history, (double) monotonic_ms() / 1000, report_value(&report, METRIC_EVENTS), report_value(&report, METRIC_LAG));
	pthread_mutex_unlock(&watch.lock);
	write_file(&report, file);
#ifdef WITH_MICROHTTPD
	if (listening)
		listener_expire();
#endif
}

static void *
watch_on(void *argument)
{
	bool		ending = false;

	while (!ending)
	{
		struct timespec until;

		look();
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		pthread_mutex_lock(&watch.lock);
		if (!watch.ending)
			pthread_cond_timedwait(&watch.ends, &watch.lock, &until);
		ending = watch.ending;
		pthread_mutex_unlock(&watch.lock);
	}
	look();
	return argument;
}

/* Start it, once; signals are the main thread's */
static void
start(void)
{
	sigset_t	all;
	sigset_t	before;
	pthread_condattr_t attributes;

	if (started)
		return;
	started = true;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watch.ends, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&watcher, NULL, watch_on, NULL) != 0)
		out_of_memory();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---------------------------------------------------------------- what is answered */

#ifdef WITH_MICROHTTPD

/* What was reported last */
static Report
last_report(void)
{
	Report		report;

	pthread_mutex_lock(&watch.lock);
	report = watch.report;
	pthread_mutex_unlock(&watch.lock);
	return report;
}

static unsigned int
answer_metrics(Buffer *body)
{
	Report		report = last_report();

	report_print(&report, watched->label, watched->name, body);
	return 200;
}

static unsigned int
answer_health(Buffer *body)
{
	buffer_text(body, "alive\n");
	return 200;
}

static unsigned int
answer_ready(Buffer *body)
{
	Report		report = last_report();
	const char *why = report_unready(&report);

	buffer_printf(body, "%s\n", why != NULL ? why : "ready");
	return why != NULL ? 503 : 200;
}

static unsigned int
answer_page(Buffer *body)
{
	History    *history = allocate(sizeof(History));
	Buffer		details = {0};
	Report		report;

	pthread_mutex_lock(&watch.lock);
	report = watch.report;
	*history = watch.history;
	buffer_append(&details, watch.details.data != NULL ? watch.details.data : "", watch.details.length);
	pthread_mutex_unlock(&watch.lock);
	page_print(watched, &report, history, details.data, body);
	buffer_free(&details);
	free(history);
	return 200;
}

#define TEXT "text/plain; charset=utf-8"
#define METRICS "text/plain; version=0.0.4; charset=utf-8"
#define NOTHING "default-src 'none'; frame-ancestors 'none'"

static const Resource resources[] = {
	{"/", "text/html; charset=utf-8", answer_page, PAGE_POLICY},
	{"/metrics", METRICS, answer_metrics, NOTHING},
	{"/healthz", TEXT, answer_health, NOTHING},
	{"/readyz", TEXT, answer_ready, NOTHING},
};

static void
tell_deaf(const char *address, const Buffer *problem)
{
	log_line(LOG_ERROR, "could not listen at \"%s\": %s", address, problem->data);
}

/* Listen there; false if that cannot be done, which is said */
static bool
listen_there(const char *address)
{
	Buffer		problem = {0};

	listening = listener_start(address, resources, sizeof(resources) / sizeof(resources[0]), &problem);
	if (listening)
		log_line(LOG_NOTE, "listening at %s", address);
	else
		tell_deaf(address, &problem);
	buffer_free(&problem);
	return listening;
}

#endif

/* ---------------------------------------------------------------- the program's side */

/* Do they make sense, and could we listen there? If not, say why */
bool
watch_settings_good(const WatchSettings *given)
{
	if (given->address == NULL)
		return given->ready_lag == 0 || usage_error("--ready-lag goes with --listen", NULL);
#ifdef WITH_MICROHTTPD
	return address_good(given->address) || usage_error("invalid value for option --listen ([HOST:]PORT)", given->address);
#else
	return usage_error("--listen needs libmicrohttpd, without which this was built",
					   "install libmicrohttpd-dev and pkgconf, and build it again");
#endif
}

/* Could the program be watched, if its settings are good? If not, say why */
bool
watch_try(const WatchSettings *given)
{
	bool		good = true;
#ifdef WITH_MICROHTTPD
	Buffer		problem = {0};

	if (given->address == NULL || !address_good(given->address))
		return true;
	good = listener_try(given->address, &problem);
	if (!good)
		tell_deaf(given->address, &problem);
	buffer_free(&problem);
#else
	(void) given;
#endif
	return good;
}

/* Have the program watched, as its settings say from time to time; false if we cannot listen, which is said */
bool
watch_begin(const PageSubject *subject, const WatchSettings *given)
{
	watched = subject;
	settings = given;
	watch.report = (Report)
	{
		.made_at = monotonic_ms(),.trouble = "database"
	};
#ifdef WITH_MICROHTTPD
	if (given->address != NULL && !listen_there(given->address))
		return false;
#endif
	if (listening)
		start();
	return true;
}

/* Does anybody watch? */
bool
watch_wanted(void)
{
	return settings != NULL && (listening || settings->file != NULL);
}

/* Could it be by the page? */
bool
watch_shown(void)
{
	return listening;
}

/* The thread says nothing in the log: that is the main thread's */
static void
complain(int file_error)
{
	static int64_t complained_at = 0;

	if (file_error == 0)
		complained_at = 0;
	else if (complained_at == 0 || monotonic_ms() > complained_at + COMPLAIN_MS)
	{
		log_line(LOG_WARNING, "could not write metrics file \"%s\": %s", settings->file != NULL ? settings->file : "", strerror(file_error));
		complained_at = monotonic_ms();
	}
}

/* That is how it is now */
void
watch_report(Report *report)
{
	int			file_error;

	if (!watch_wanted())
		return;
	report->made_at = monotonic_ms();
	report->ready_lag = settings->ready_lag;
	pthread_mutex_lock(&watch.lock);
	watch.report = *report;
	watch.file = settings->file;
	file_error = watch.file_error;
	pthread_mutex_unlock(&watch.lock);
	complain(file_error);
	start();
}

/* The rest of the page is to be that; what it was before is given back */
void
watch_show(Buffer *details)
{
	Buffer		before;

	pthread_mutex_lock(&watch.lock);
	before = watch.details;
	watch.details = *details;
	pthread_mutex_unlock(&watch.lock);
	*details = before;
}

/* Write what was reported last, and watch no longer */
void
watch_end(void)
{
#ifdef WITH_MICROHTTPD
	listener_stop();
#endif
	if (!started)
		return;
	pthread_mutex_lock(&watch.lock);
	watch.ending = true;
	pthread_cond_signal(&watch.ends);
	pthread_mutex_unlock(&watch.lock);
	pthread_join(watcher, NULL);
	started = false;
}
