/*
 * notify.h
 *		What a program tells the service manager that started it: that it is
 *		ready, and that it ends. sd_notify(3) has the protocol, which is one
 *		datagram a message.
 */
#ifndef LIB_NOTIFY_H
#define LIB_NOTIFY_H

extern void notify_begin(void);
extern void notify_ready(void);
extern void notify_stopping(void);

#endif							/* LIB_NOTIFY_H */
