/*
 * options.h
 *		What the operator wants: each part for whom it concerns.
 */
#ifndef INGEST_OPTIONS_H
#define INGEST_OPTIONS_H

#include "ingest/catalogue/catalogue.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/watch.h"

typedef struct Options
{
	CatalogueSettings catalogue;
	SourceSettings source;
	ResultsSettings results;
	const SourceKind *source_kind;
	const ResultsKind *results_kind;	/* NULL: nobody wants them */
	bool		no_loop;
	int64_t		server_timeout; /* seconds */
	WatchSettings watch;
	const char *config;
	bool		check;
	LogFormat	log_format;
	bool		verbose;
} Options;

extern const OptionTable ingest_options;

#endif							/* INGEST_OPTIONS_H */
