/*
 * history.h
 *		Is the server's history still the one that we delivered?
 */
#ifndef CATALOGUE_HISTORY_H
#define CATALOGUE_HISTORY_H

#include "catalogue/consumer.h"
#include "sinks/sink.h"

extern ExitStatus history_connect(Catalogue *catalogue);
extern ExitStatus history_check(Consumer *consumer, Sink *sink);

#endif							/* CATALOGUE_HISTORY_H */
