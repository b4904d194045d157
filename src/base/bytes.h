/*
 * base/bytes.h
 *		Strings of bytes, with a length of their own: is one this, which of two
 *		comes first?
 */
#ifndef ESGF_STAC_BASE_BYTES_H
#define ESGF_STAC_BASE_BYTES_H

#include "base/compat.h"

/* Is that what a text of our own says? */
static inline bool
bytes_are(const char *data, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(data, text, len) == 0;
}

/* Order strings by their bytes, a beginning before what it begins. */
static inline int
compare_bytes(const char *a, int alen, const char *b, int blen)
{
	int			result = memcmp(a, b, Min(alen, blen));

	return result ? result : alen - blen;
}

/* The same of texts that are not compressed. */
static inline int
compare_texts(const text *a, const text *b)
{
	return compare_bytes(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

#endif							/* ESGF_STAC_BASE_BYTES_H */
