/*
 * change/pairs.c
 *		Walks two objects side by side: see change/pairs.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "change/pairs.h"

/* Begin to walk over the members of an object; what is none has none. */
static bool
begin_members(MemberCursor *members, const JsonbContainer *object)
{
	members_init(members, JsonContainerIsObject(object) ? object : &empty_object);
	return members_next(members);
}

/* Begin to walk over two objects; the first pair is not in hand yet. */
void
begin_pairs(Pairs *pairs, const JsonbContainer *old, const JsonbContainer *new)
{
	pairs->old_left = begin_members(&pairs->old_members, old);
	pairs->new_left = begin_members(&pairs->new_members, new);
	pairs->old = pairs->new = NULL;
}

/* Take the next pair in hand; false after the last. */
bool
next_pair(Pairs *pairs)
{
	const JsonbSlice *old = &pairs->old_members.key;
	const JsonbSlice *new = &pairs->new_members.key;
	int			order;

	CHECK_FOR_INTERRUPTS();
	if (pairs->old)
		pairs->old_left = members_next(&pairs->old_members);
	if (pairs->new)
		pairs->new_left = members_next(&pairs->new_members);
	if (!pairs->old_left && !pairs->new_left)
		return false;
	order = !pairs->old_left ? 1 : !pairs->new_left ? -1 : compare_keys(old->data, old->len, new->data, new->len);
	pairs->key = slice_key(order <= 0 ? old : new);
	pairs->old = order <= 0 ? &pairs->old_members.value : NULL;
	pairs->new = order >= 0 ? &pairs->new_members.value : NULL;
	return true;
}

/* Take the next difference in hand; false after the last. */
bool
next_difference(Pairs *pairs)
{
	while (next_pair(pairs))
		if (pairs->old == NULL || pairs->new == NULL || !slices_identical(pairs->old, pairs->new))
			return true;
	return false;
}
