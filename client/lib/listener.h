/*
 * listener.h
 *		Answers GET and HEAD over HTTP, in a thread of its own: a client that is
 *		slow, silent or hostile holds up neither the program nor another client.
 *		There is no TLS and no login: both are the work of a proxy before it.
 */
#ifndef LIB_LISTENER_H
#define LIB_LISTENER_H

#include <stdbool.h>

#include "lib/buffer.h"

/* What is to be had at a path. It is asked from a thread of the listener's. */
typedef struct Resource
{
	const char *path;
	const char *content_type;
	unsigned int (*answer) (Buffer *body);	/* HTTP's status */
	const char *policy;			/* Content-Security-Policy */
} Resource;

extern bool address_good(const char *address);
extern bool listener_try(const char *address, Buffer *problem);
extern bool listener_start(const char *address, const Resource *resources, int count, Buffer *problem);
extern void listener_expire(void);
extern void listener_stop(void);

#endif							/* LIB_LISTENER_H */
