/*
 * options.h
 *		What the operator wants.
 */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/options.h"
#include "sinks/sink.h"

/* Exit status: part of the contract, see doc/relay.md. */
typedef enum ExitStatus
{
	STATUS_STOPPED = 0,
	STATUS_INTERNAL = 1,
	STATUS_USAGE = 2,
	STATUS_DATABASE = 3,
	STATUS_SLOT = 4,
	STATUS_SINK = 5,
	STATUS_RUNNING,				/* no exit: all is well */
} ExitStatus;

typedef struct Options
{
	const char *dbname;
	const char *stream;
	SinkSettings sink;
	const char *config;
	bool		create;
	bool		if_not_exists;
	bool		snapshot;
	bool		from_beginning;
	bool		no_loop;
	bool		verbose;
	uint64_t	endpos;			/* 0: none */
	int64_t		status_interval;	/* seconds */
	int64_t		batch;			/* events */
	int64_t		max_attempts;
	const char *metrics_file;

	const SinkKind *sink_kind;	/* NULL: only --create */
	char		slot[64];		/* the name of slot and publication */
} Options;

extern const OptionTable relay_options;

#endif							/* RELAY_OPTIONS_H */
