/*
 * wait.h
 *		Waiting that never holds up the rest: whatever waits, signals are heard,
 *		what the program has to look after is looked after, and the log says within
 *		five seconds what is waited for.
 *
 * Nothing in a client program blocks otherwise. Who waits begins a Wait, calls
 * wait_on() until what he waits for is there, and asks between whether it is
 * time to stop: at once (stop_requested) where nothing is in hand, else when
 * stop_due() says so.
 */
#ifndef LIB_WAIT_H
#define LIB_WAIT_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Wait
{
	const char *what;
	int64_t		since;
	int64_t		told_at;		/* 0: not told yet */
} Wait;

/* Set by SIGTERM and SIGINT; by SIGHUP. */
extern volatile sig_atomic_t stop_requested;
extern volatile sig_atomic_t reload_requested;

extern void wait_set_signals(void);
extern bool stop_due(void);

extern int64_t monotonic_ms(void);
extern Wait wait_begin(const char *what);
extern bool wait_on(Wait *wait, int file, short events, int64_t milliseconds);
extern bool wait_tell_due(Wait *wait);
extern int	wait_seconds(const Wait *wait);
extern void wait_end(Wait *wait);
extern void wait_attend(void);
extern void wait_look_after(void (*attend) (void *cared_for), void *cared_for);

#endif							/* LIB_WAIT_H */
