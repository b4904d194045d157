/*
 * schema/values.h
 *		The values of an enum: is this one of them?
 */
#ifndef ESGF_STAC_SCHEMA_VALUES_H
#define ESGF_STAC_SCHEMA_VALUES_H

#include "json/slice.h"

typedef struct ValueSet
{
	JsonbSlice *values;			/* as the schema lists them */
	uint32		count;
	uint32		types;			/* a bit for each type of theirs */
	uint32	   *slots;			/* a hash table of places in "values", from 1;
								 * NULL where they are few */
	uint32		mask;
} ValueSet;

extern ValueSet *make_value_set(const JsonbContainer *values);
extern bool value_set_has(const ValueSet *set, const JsonbSlice *value);

#endif							/* ESGF_STAC_SCHEMA_VALUES_H */
