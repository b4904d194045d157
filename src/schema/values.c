/*
 * schema/values.c
 *		The values of an enum: see schema/values.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "json/key_table.h"
#include "schema/values.h"

/* So many are compared one by one. */
#define FEW 4

#define TYPE_BIT(value) (1u << ((value)->type >> 28))

/* Where the search for a value begins. */
static inline uint32
first_slot(const ValueSet *set, const JsonbSlice *value)
{
	return (uint32) hash_slice(value, hash_seed()) & set->mask;
}

/* Lay the hash table out, at most half full. */
static void
hash_values(ValueSet *set)
{
	set->mask = pg_nextpower2_32(set->count * 2) - 1;
	set->slots = palloc_extended(sizeof(uint32) * ((Size) set->mask + 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < set->count; i++)
	{
		uint32		slot = first_slot(set, &set->values[i]);

		CHECK_FOR_INTERRUPTS();
		while (set->slots[slot] != 0 && !slices_equal(&set->values[set->slots[slot] - 1], &set->values[i]))
			slot = (slot + 1) & set->mask;
		if (set->slots[slot] == 0)
			set->slots[slot] = i + 1;
	}
}

/* The set of an array's elements, which it points into, in the current context. */
ValueSet *
make_value_set(const JsonbContainer *values)
{
	ValueSet   *set = palloc0(sizeof(ValueSet));
	JsonbCursor elements;

	set->count = JsonContainerSize(values);
	set->values = palloc_extended(sizeof(JsonbSlice) * Max(set->count, 1), MCXT_ALLOC_HUGE);
	cursor_init(&elements, values, 0);
	for (uint32 i = 0; i < set->count; i++)
	{
		cursor_next(&elements, &set->values[i]);
		set->types |= TYPE_BIT(&set->values[i]);
	}
	if (set->count > FEW)
		hash_values(set);
	return set;
}

bool
value_set_has(const ValueSet *set, const JsonbSlice *value)
{
	if ((set->types & TYPE_BIT(value)) == 0)
		return false;
	if (set->slots)
	{
		uint32		slot = first_slot(set, value);

		for (; set->slots[slot] != 0; slot = (slot + 1) & set->mask)
			if (slices_equal(&set->values[set->slots[slot] - 1], value))
				return true;
		return false;
	}
	for (uint32 i = 0; i < set->count; i++)
		if (slices_equal(&set->values[i], value))
			return true;
	return false;
}
