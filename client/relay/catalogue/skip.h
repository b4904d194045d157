/*
 * skip.h
 *		Events that cannot be sent, and are passed over.
 */
#ifndef CATALOGUE_SKIP_H
#define CATALOGUE_SKIP_H

#include "catalogue/consumer.h"

extern void skip_tell(Consumer *consumer, const char *problem);
extern bool skip_asked(const Catalogue *catalogue);
extern ExitStatus skip_prepare(Consumer *consumer);
extern void skip_condition(const Catalogue *catalogue, Buffer *query);

#endif							/* CATALOGUE_SKIP_H */
