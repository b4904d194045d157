/*
 * schema/pattern.h
 *		A pattern of a schema: is it found in a string?
 *
 * What it is found by is made at first use and kept: an automaton of our own,
 * and the server's engine for what that cannot say.
 */
#ifndef ESGF_STAC_SCHEMA_PATTERN_H
#define ESGF_STAC_SCHEMA_PATTERN_H

#include "base/problems.h"
#include "schema/automaton.h"

typedef struct Pattern
{
	MemoryContext context;		/* the schema's own */
	JsonKey		source;
	const Place *place;			/* where it stands in the schema */
	uint64	   *budget;			/* of all automata of the schema */
	bool		prepared;
	JsonKey		not_first;		/* a string that begins so has it not */
	bool		only_that;		/* and every other has it */
	Automaton  *automaton;		/* NULL: none */
	struct ServerRegex *engine; /* NULL: not yet */
} Pattern;

extern Pattern *make_pattern(JsonKey source, const Place *place, uint64 *budget, const char **problem);
extern bool pattern_found(Pattern *pattern, const JsonbSlice *string);

#endif							/* ESGF_STAC_SCHEMA_PATTERN_H */
