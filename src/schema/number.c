/*
 * schema/number.c
 *		Multiples of exact numbers: see schema/number.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "json/text_size.h"
#include "schema/number.h"

/* Digits of a number times those of another up to which the server divides at once. */
#define QUICK_PRODUCT 10000000

/* So many digits are divided between two looks for a cancel. */
#define DIGITS_AT_ONCE 1000

/* The number of these digits, so many of them behind the point. */
static Numeric
numeric_of_digits(const char *digits, int scale)
{
	char	   *text = psprintf("%se-%d", digits, scale);
	Datum		number = DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

	pfree(text);
	return DatumGetNumeric(number);
}

/* The digits of a number times ten to the power of "scale", without its sign. */
static StringInfoData
whole_digits(Numeric number, int scale)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	StringInfoData digits;
	bool		behind_point = false;

	initStringInfo(&digits);
	for (const char *c = text; *c; c++)
	{
		if (*c == '.')
			behind_point = true;
		else if (*c != '-')
		{
			appendStringInfoChar(&digits, *c);
			scale -= behind_point;
		}
	}
	while (scale-- > 0)
		appendStringInfoChar(&digits, '0');
	pfree(text);
	return digits;
}

/*
 * The same for long numbers, digit by digit as by hand: the server divides
 * without a look for a cancel. All have the scale of the longer fraction, and no
 * dividend is greater than the number, so that none overflows.
 */
static bool
is_long_multiple(Numeric number, Numeric of)
{
	int			scale = Max(DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(number))),
							DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(of))));
	StringInfoData digits = whole_digits(number, scale);
	StringInfoData piece;
	Numeric		dividend;
	Numeric		rest = NULL;

	initStringInfo(&piece);
	for (int done = 0; done < digits.len; done += DIGITS_AT_ONCE)
	{
		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&piece);
		if (rest)
		{
			StringInfoData before = whole_digits(rest, scale);

			appendBinaryStringInfo(&piece, before.data, before.len);
			pfree(before.data);
			pfree(rest);
		}
		appendBinaryStringInfo(&piece, digits.data + done, Min(digits.len - done, DIGITS_AT_ONCE));
		dividend = numeric_of_digits(piece.data, scale);
		rest = DatumGetNumeric(DirectFunctionCall2(numeric_mod, NumericGetDatum(dividend), NumericGetDatum(of)));
		pfree(dividend);
	}
	return number_sign(rest) == 0;
}

/* How many digits has a number, written out? */
static uint64
count_digits(Numeric number)
{
	JsonbSlice	slice = {JENTRY_ISNUMERIC, VARSIZE_ANY(number), (const char *) number};

	return slice_text_size(&slice, MAX_TEXT);
}

/* Is a number a whole number of times another one, which is positive? */
bool
is_multiple(Numeric number, Numeric of)
{
	Datum		rest;
	bool		none;

	if (count_digits(number) * count_digits(of) > QUICK_PRODUCT)
		return is_long_multiple(number, of);
	rest = DirectFunctionCall2(numeric_mod, NumericGetDatum(number), NumericGetDatum(of));
	none = number_sign(DatumGetNumeric(rest)) == 0;
	pfree(DatumGetPointer(rest));
	return none;
}
