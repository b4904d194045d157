/*
 * options.h
 *		What the operator wants: each part for whom it concerns.
 */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include "catalogue/catalogue.h"
#include "delivery/delivery.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/watch.h"
#include "sources/iteration.h"
#include "sources/stream.h"
#include "verify/verification.h"

typedef struct Options
{
	CatalogueSettings catalogue;
	DeliverySettings delivery;
	StreamSettings stream;
	VerifySettings verify;
	IterationSettings iteration;
	WatchSettings watch;
	const char *config;
	bool		check;
	LogFormat	log_format;
	bool		verbose;
} Options;

extern const OptionTable relay_options;

#endif							/* RELAY_OPTIONS_H */
