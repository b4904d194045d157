/*
 * change/pairs.h
 *		Two objects side by side, by which all else here compares documents.
 *
 * pair			what two objects have under one key, in the order of keys; one of
 *				them may have nothing.
 * difference	a pair whose values are not the same byte by byte. They may be
 *				equal all the same; but what is no difference need not be opened.
 */
#ifndef ESGF_STAC_CHANGE_PAIRS_H
#define ESGF_STAC_CHANGE_PAIRS_H

#include "json/slice.h"

typedef struct Pairs
{
	MemberCursor old_members;
	MemberCursor new_members;
	bool		old_left;		/* is a member in hand? */
	bool		new_left;
	JsonKey		key;			/* of the pair in hand */
	const JsonbSlice *old;		/* NULL: nothing */
	const JsonbSlice *new;
} Pairs;

extern void begin_pairs(Pairs *pairs, const JsonbContainer *old, const JsonbContainer *new);
extern bool next_pair(Pairs *pairs);
extern bool next_difference(Pairs *pairs);

/* Is the pair one of two objects? */
static inline bool
are_objects(const Pairs *pairs)
{
	return pairs->old && pairs->new && slice_is_object(pairs->old) && slice_is_object(pairs->new);
}

/* Is the pair one of two equal values? */
static inline bool
are_equal(const Pairs *pairs)
{
	return pairs->old && pairs->new && slices_equal(pairs->old, pairs->new);
}

#endif							/* ESGF_STAC_CHANGE_PAIRS_H */
