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

static Numeric
numeric_of_digits(const char *digits)
{
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(digits), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
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

/* The same for long numbers, digit by digit as by hand: the server divides without a look for a cancel. */
static bool
is_long_multiple(Numeric number, Numeric of)
{
	int			scale = Max(DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(number))),
							DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(of))));
	StringInfoData digits = whole_digits(number, scale);
	Numeric		divisor = numeric_of_digits(whole_digits(of, scale).data);
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
			char	   *before = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(rest)));

			appendStringInfoString(&piece, before);
			pfree(before);
			pfree(rest);
		}
		appendBinaryStringInfo(&piece, digits.data + done, Min(digits.len - done, DIGITS_AT_ONCE));
		dividend = numeric_of_digits(piece.data);
		rest = DatumGetNumeric(DirectFunctionCall2(numeric_mod, NumericGetDatum(dividend), NumericGetDatum(divisor)));
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
