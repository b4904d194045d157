/*
 * schema/format.c
 *		Forms of strings: URIs (RFC 3986), IRIs (RFC 3987), dates and times (RFC
 *		3339). See schema/format.h.
 *
 * A reader walks a string from left to right; each function that reads a part
 * says whether it was there, and stands behind it afterwards.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/datetime.h"

#include "schema/format.h"

#define MINUTES_PER_DAY (24 * 60)

typedef struct Reader
{
	const char *next;
	const char *end;
	bool		international;	/* may there be more than ASCII? */
} Reader;

static inline bool
at_end(const Reader *reader)
{
	return reader->next >= reader->end;
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_hex_digit(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static inline bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Read one of the characters of "set". */
static bool
read_char(Reader *reader, const char *set)
{
	if (at_end(reader) || !is_one_of(*reader->next, set))
		return false;
	reader->next++;
	return true;
}

/* ---- URIs and IRIs ---- */

/* Is that a character of an IRI beyond ASCII? Some are for queries only. */
static bool
is_international(pg_wchar c, bool query)
{
	if (c < 0x10000)
		return (c >= 0xA0 && c <= 0xD7FF) || (c >= 0xF900 && c <= 0xFDCF) || (c >= 0xFDF0 && c <= 0xFFEF) ||
			(query && c >= 0xE000 && c <= 0xF8FF);
	return (c & 0xFFFF) <= 0xFFFD && (c < 0xE0000 || (c >= 0xE1000 && c < 0xF0000) || query);
}

/* Read a character beyond ASCII. */
static bool
read_international(Reader *reader, bool query)
{
	const unsigned char *c = (const unsigned char *) reader->next;
	int			len = pg_utf_mblen(c);

	if (!reader->international || *c < 0x80 || len > reader->end - reader->next || !pg_utf8_islegal(c, len) ||
		!is_international(utf8_to_unicode(c), query))
		return false;
	reader->next += len;
	return true;
}

/* Read any of what may stand in every part, percent-encoded perhaps, and of "more". */
static void
read_part(Reader *reader, const char *more, bool query)
{
	while (!at_end(reader))
	{
		char		c = *reader->next;

		if (is_letter(c) || is_digit(c) || is_one_of(c, "-._~!$&'()*+,;=") || is_one_of(c, more))
			reader->next++;
		else if (c == '%' && reader->end - reader->next >= 3 && is_hex_digit(reader->next[1]) && is_hex_digit(reader->next[2]))
			reader->next += 3;
		else if (!read_international(reader, query))
			break;
	}
}

static bool
read_scheme(Reader *reader)
{
	const char *c = reader->next;

	while (c < reader->end && (is_letter(*c) || (c > reader->next && (is_digit(*c) || is_one_of(*c, "+-.")))))
		c++;
	if (c == reader->next || c == reader->end || *c != ':')
		return false;
	reader->next = c + 1;
	return true;
}

/* Is that an IPv4 address, as the end of one of IPv6? */
static bool
is_ipv4_address(const char *text, const char *end)
{
	for (int i = 0; i < 4; i++)
	{
		const char *start = text;
		int			number = 0;

		while (text < end && is_digit(*text) && text - start < 3)
			number = number * 10 + (*text++ - '0');
		if (text == start || number > 255 || (*start == '0' && text - start > 1))
			return false;
		if (i < 3 && (text == end || *text++ != '.'))
			return false;
	}
	return text == end;
}

/* Is that eight groups of hexadecimal digits, or fewer around "::"? */
static bool
is_ipv6_address(const char *text, const char *end)
{
	int			groups = 0;
	bool		gap = false;

	if (end - text >= 2 && text[0] == ':' && text[1] == ':')
	{
		gap = true;
		text += 2;
	}
	while (text < end)
	{
		const char *start = text;

		while (text < end && is_hex_digit(*text))
			text++;
		if (text < end && *text == '.')
			return is_ipv4_address(start, end) && (gap ? groups <= 5 : groups == 6);
		if (text == start || text - start > 4)
			return false;
		groups++;
		if (text == end)
			break;
		if (*text++ != ':' || text == end)
			return false;
		if (*text == ':')
		{
			if (gap)
				return false;
			gap = true;
			text++;
		}
	}
	return gap ? groups <= 7 : groups == 8;
}

/* Read an address in brackets. */
static bool
read_address(Reader *reader)
{
	const char *start = reader->next + 1;
	const char *end = memchr(start, ']', reader->end - start);
	Reader		future = {start, end};
	bool		good;

	if (end == NULL)
		return false;
	good = is_ipv6_address(start, end);
	if (!good && read_char(&future, "vV"))
	{
		const char *version = future.next;

		while (!at_end(&future) && is_hex_digit(*future.next))
			future.next++;
		good = future.next > version && read_char(&future, ".");
		version = future.next;
		while (!at_end(&future) && (is_letter(*future.next) || is_digit(*future.next) || is_one_of(*future.next, "-._~!$&'()*+,;=:")))
			future.next++;
		good = good && future.next > version && at_end(&future);
	}
	reader->next = end + 1;
	return good;
}

/* Read who is behind "//". */
static bool
read_authority(Reader *reader)
{
	Reader		user = *reader;

	read_part(&user, ":", false);
	if (read_char(&user, "@"))
		reader->next = user.next;
	if (!at_end(reader) && *reader->next == '[')
	{
		if (!read_address(reader))
			return false;
	}
	else
		read_part(reader, "", false);
	if (read_char(reader, ":"))
		while (!at_end(reader) && is_digit(*reader->next))
			reader->next++;
	return at_end(reader) || is_one_of(*reader->next, "/?#");
}

/* Read a whole reference; one without a scheme is relative. */
static bool
read_reference(Reader *reader, bool relative)
{
	if (!read_scheme(reader))
	{
		Reader		segment = *reader;

		read_part(&segment, "@", false);
		if (!relative || (!at_end(&segment) && *segment.next == ':'))
			return false;
	}
	if (reader->end - reader->next >= 2 && memcmp(reader->next, "//", 2) == 0)
	{
		reader->next += 2;
		if (!read_authority(reader))
			return false;
	}
	read_part(reader, ":@/", false);
	if (read_char(reader, "?"))
		read_part(reader, ":@/?", true);
	if (read_char(reader, "#"))
		read_part(reader, ":@/?", false);
	return at_end(reader);
}

static bool
is_uri(const char *text, int len)
{
	return read_reference(&(Reader) {text, text + len, false}, false);
}

static bool
is_uri_reference(const char *text, int len)
{
	return read_reference(&(Reader) {text, text + len, false}, true);
}

/* The same of more characters, which are read in UTF-8. */
static bool
is_international_reference(const char *text, int len, bool relative)
{
	bool		as_it_is = GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
	char	   *utf8 = as_it_is ? unconstify(char *, text) : pg_server_to_any(text, len, PG_UTF8);
	int			utf8_len = utf8 == text ? len : (int) strlen(utf8);
	bool		result = read_reference(&(Reader) {utf8, utf8 + utf8_len, true}, relative);

	if (utf8 != text)
		pfree(utf8);
	return result;
}

bool
is_iri(const char *text, int len)
{
	return is_international_reference(text, len, false);
}

static bool
is_iri_reference(const char *text, int len)
{
	return is_international_reference(text, len, true);
}

/* ---- dates and times ---- */

/* Read exactly two digits, or four. */
static bool
read_digits(Reader *reader, int digits, int *number)
{
	*number = 0;
	while (digits-- > 0)
	{
		if (at_end(reader) || !is_digit(*reader->next))
			return false;
		*number = *number * 10 + (*reader->next++ - '0');
	}
	return true;
}

static bool
read_date(Reader *reader)
{
	int			year;
	int			month;
	int			day;

	return read_digits(reader, 4, &year) && read_char(reader, "-") && read_digits(reader, 2, &month) &&
		read_char(reader, "-") && read_digits(reader, 2, &day) &&
		month >= 1 && month <= 12 && day >= 1 && day <= day_tab[isleap(year)][month - 1];
}

/* Read an offset from UTC, in minutes. */
static bool
read_offset(Reader *reader, int *offset)
{
	int			sign;
	int			hours;
	int			minutes;

	*offset = 0;
	if (read_char(reader, "Zz"))
		return true;
	sign = !at_end(reader) && *reader->next == '-' ? -1 : 1;
	if (!read_char(reader, "+-") || !read_digits(reader, 2, &hours) || !read_char(reader, ":") ||
		!read_digits(reader, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*offset = sign * (hours * 60 + minutes);
	return true;
}

/* Read a time of day; a leap second is the last one of a day in UTC. */
static bool
read_time(Reader *reader)
{
	int			hour;
	int			minute;
	int			second;
	int			offset;
	int			utc;

	if (!read_digits(reader, 2, &hour) || !read_char(reader, ":") || !read_digits(reader, 2, &minute) ||
		!read_char(reader, ":") || !read_digits(reader, 2, &second))
		return false;
	if (read_char(reader, "."))
	{
		if (at_end(reader) || !is_digit(*reader->next))
			return false;
		while (!at_end(reader) && is_digit(*reader->next))
			reader->next++;
	}
	if (!read_offset(reader, &offset) || hour > 23 || minute > 59 || second > 60)
		return false;
	utc = (hour * 60 + minute - offset + MINUTES_PER_DAY) % MINUTES_PER_DAY;
	return second < 60 || utc == MINUTES_PER_DAY - 1;
}

static bool
is_date(const char *text, int len)
{
	Reader		reader = {text, text + len};

	return read_date(&reader) && at_end(&reader);
}

static bool
is_date_time(const char *text, int len)
{
	Reader		reader = {text, text + len};

	return read_date(&reader) && read_char(&reader, "Tt") && read_time(&reader) && at_end(&reader);
}

static const Format formats[] = {
	{"uri", is_uri},
	{"uri-reference", is_uri_reference},
	{"iri", is_iri},
	{"iri-reference", is_iri_reference},
	{"date", is_date},
	{"date-time", is_date_time},
};

/* The format of a name; NULL where it is none that can be asserted. */
const Format *
find_format(JsonKey name)
{
	for (int i = 0; i < (int) lengthof(formats); i++)
		if (bytes_are(name.data, name.len, formats[i].name))
			return &formats[i];
	return NULL;
}
