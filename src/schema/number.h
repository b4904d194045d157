/*
 * schema/number.h
 *		Exact numbers, as jsonb has them.
 */
#ifndef ESGF_STAC_SCHEMA_NUMBER_H
#define ESGF_STAC_SCHEMA_NUMBER_H

#include "fmgr.h"
#include "json/slice.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static inline Numeric
slice_numeric(const JsonbSlice *number)
{
	return (Numeric) unconstify(char *, number->data);
}

/* Is a number one without a fraction, however it is written? */
static inline bool
is_whole(Numeric number)
{
	if (DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(number))) == 0)
		return true;
	return DatumGetInt32(DirectFunctionCall1(numeric_min_scale, NumericGetDatum(number))) == 0;
}

static inline int
compare_numbers(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

static inline int
number_sign(Numeric number)
{
	Datum		zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));
	int			sign = compare_numbers(number, DatumGetNumeric(zero));

	pfree(DatumGetPointer(zero));
	return sign;
}

extern bool is_multiple(Numeric number, Numeric of);

#endif							/* ESGF_STAC_SCHEMA_NUMBER_H */
