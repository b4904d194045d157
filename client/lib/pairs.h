/*
 * pairs.h
 *		An option that may be repeated, each time as NAME=VALUE: settings for what
 *		a library or a server of others does. In the environment several stand in
 *		one text, a line each.
 */
#ifndef LIB_PAIRS_H
#define LIB_PAIRS_H

#include "lib/options.h"

typedef struct Pair
{
	const char *name;
	const char *value;
} Pair;

/* All of them; of one that is given twice the last counts. */
typedef struct Pairs
{
	Pair	   *list;
	int			count;
} Pairs;

extern const OptionType pairs_type;

extern const char *pairs_value(const Pairs *pairs, const char *name);
extern const char *pairs_unknown(const Pairs *pairs, const char *const *names);
extern bool pairs_name_secret(const Pairs *pairs);
extern void pairs_hide_secrets(const Pairs *pairs);

#endif							/* LIB_PAIRS_H */
