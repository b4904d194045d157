/*
 * watch.h
 *		What whoever watches the program sees: a file of metrics, and by HTTP the
 *		same, whether it lives and is ready, and a page for a person.
 *
 * A thread of its own writes and answers. The program reports to it whenever it
 * can; what it says last is known, and grows older, while it waits or hangs.
 */
#ifndef LIB_WATCH_H
#define LIB_WATCH_H

#include "lib/page.h"
#include "lib/report.h"

/* What the operator says of it. */
typedef struct WatchSettings
{
	const char *file;			/* --metrics-file */
	const char *address;		/* --listen */
	int64_t		ready_lag;		/* --ready-lag; 0: any lag will do */
} WatchSettings;

extern bool watch_settings_good(const WatchSettings *settings);

extern bool watch_try(const WatchSettings *settings);

/* Before that, or without it, nobody watches. */
extern bool watch_begin(const PageSubject *subject, const WatchSettings *settings);
extern void watch_report(Report *report);
extern void watch_show(Buffer *details);
extern bool watch_wanted(void);
extern bool watch_shown(void);
extern void watch_end(void);

#endif							/* LIB_WATCH_H */
