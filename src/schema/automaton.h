/*
 * schema/automaton.h
 *		A pattern as a deterministic automaton over ASCII, made state by state as
 *		strings ask for it, and kept. The server's engine makes its own anew for
 *		each string; here that is paid once.
 *
 * It has no look-around and no boundaries of words, and a bound on its size:
 * where it cannot say, the server's engine is asked.
 */
#ifndef ESGF_STAC_SCHEMA_AUTOMATON_H
#define ESGF_STAC_SCHEMA_AUTOMATON_H

#include "schema/ecma.h"

typedef struct Automaton Automaton;

typedef enum Verdict
{
	VERDICT_NO,
	VERDICT_YES,
	VERDICT_UNKNOWN				/* a character beyond ASCII, or too many
								 * states */
} Verdict;

extern Automaton *make_automaton(const Regex *regex, uint64 *budget);
extern Verdict run_automaton(Automaton *automaton, const char *data, int len);

#endif							/* ESGF_STAC_SCHEMA_AUTOMATON_H */
