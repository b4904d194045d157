/*
 * place.h
 *		A place at a sink: the topic, index, table or path that ends its target.
 *		An iteration job may name another one, if the operator allows it.
 */
#ifndef SINKS_PLACE_H
#define SINKS_PLACE_H

#include "sinks/sink.h"

extern bool place_allowed(const SinkSettings *settings, const SinkKind *kind, const char *pattern, const char *place);
extern bool place_settings(const SinkSettings *settings, const SinkKind *kind, const char *place,
						   Buffer *name, SinkSettings *made, Buffer *problem);

#endif							/* SINKS_PLACE_H */
