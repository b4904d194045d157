/*
 * stac/format.c
 *		The strings of a STAC document that must have a form: see stac/format.h.
 *
 * A reader walks a string from left to right; each function that reads a part
 * says whether it was there, and stands behind it afterwards.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/datetime.h"

#include "stac/format.h"

/* The server knows no offset from UTC beyond 15:59, nor does any place on earth. */
#define OFFSET_MAX_HOURS 15

typedef struct Reader
{
	const char *next;
	const char *end;
} Reader;

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
at_end(const Reader *reader)
{
	return reader->next >= reader->end;
}

/* Read one of the characters of "set". */
static inline bool
read_char(Reader *reader, const char *set)
{
	for (; !at_end(reader) && *set != '\0'; set++)
		if (*reader->next == *set)
		{
			reader->next++;
			return true;
		}
	return false;
}

/* Read exactly "digits" digits. */
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

/* Read any digits; how many. */
static int
skip_digits(Reader *reader)
{
	const char *start = reader->next;

	while (!at_end(reader) && is_digit(*reader->next))
		reader->next++;
	return reader->next - start;
}

/* Read a decimal number up to "max", of at most 9 digits. */
static bool
read_number(Reader *reader, int max, int *number)
{
	const char *start = reader->next;
	int			digits = skip_digits(reader);
	Reader		again = {start, reader->next};

	return digits > 0 && digits <= 9 && read_digits(&again, digits, number) &&
		*number <= max;
}

/* A part of a version: no zero before other digits. */
static bool
read_version_number(Reader *reader)
{
	const char *start = reader->next;
	int			digits = skip_digits(reader);

	return digits == 1 || (digits > 1 && *start != '0');
}

/*
 * What is wrong with an item's or a collection's id, NULL where nothing is.  Ids
 * are segments of URLs, keys of messages and of indices.
 */
const char *
id_problem(const char *id, int length)
{
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8;

	if (length == 0)
		return "must not be empty";
	if (length > ID_MAX_LENGTH)
		return TOO_LONG_A_NAME;
	if (id[0] == '.' && (length == 1 || (length == 2 && id[1] == '.')))
		return "must not be \".\" or \"..\", which are no segments of a URL";
	for (int i = 0; i < length; i++)
	{
		unsigned char c = id[i];

		if (c == '/' || c == '?' || c == '#')
			return "must not contain \"/\", \"?\" or \"#\"";
		if (c < ' ' || c == 0x7F ||
			(utf8 && c == 0xC2 && i + 1 < length && (unsigned char) id[i + 1] < 0xA0))
			return "must not contain control characters";
	}
	return NULL;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Read what follows the seconds of a time, in minutes east of UTC. */
static bool
read_offset(Reader *reader, int *offset)
{
	int			sign;
	int			hours;
	int			minutes;

	*offset = 0;
	if (read_char(reader, "Zz"))
		return true;
	if (at_end(reader))
		return false;
	sign = *reader->next == '-' ? -1 : 1;
	if (!read_char(reader, "+-") || !read_digits(reader, 2, &hours) ||
		!read_char(reader, ":") || !read_digits(reader, 2, &minutes) ||
		hours > OFFSET_MAX_HOURS || minutes > 59)
		return false;
	*offset = sign * (hours * 60 + minutes);
	return true;
}

/* Read the fraction of a second that may follow it, rounded to microseconds, but not up to the next second. */
static bool
read_fraction(Reader *reader, int *microseconds)
{
	int			digits = 0;

	*microseconds = 0;
	if (!read_char(reader, "."))
		return true;
	for (; !at_end(reader) && is_digit(*reader->next); reader->next++, digits++)
	{
		if (digits < 6)
			*microseconds = *microseconds * 10 + (*reader->next - '0');
		else if (digits == 6 && *reader->next >= '5' && *microseconds < 999999)
			*microseconds += 1;
	}
	for (int i = digits; i < 6; i++)
		*microseconds *= 10;
	return digits > 0;
}

/*
 * Read a date-time of RFC 3339, in UTC of the years 1 to 9999, without leap
 * second: what every reader of the stream can hold. "time", unless NULL, gets
 * it.
 */
bool
parse_time(const char *text, int length, TimestampTz *time)
{
	Reader		reader = {text, text + length};
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			microsecond;
	int			offset;
	int			utc;

	if (!read_digits(&reader, 4, &year) || !read_char(&reader, "-") ||
		!read_digits(&reader, 2, &month) || !read_char(&reader, "-") ||
		!read_digits(&reader, 2, &day) || !read_char(&reader, "Tt") ||
		!read_digits(&reader, 2, &hour) || !read_char(&reader, ":") ||
		!read_digits(&reader, 2, &minute) || !read_char(&reader, ":") ||
		!read_digits(&reader, 2, &second))
		return false;
	if (!read_fraction(&reader, &microsecond) || !read_offset(&reader, &offset) || !at_end(&reader))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
		hour > 23 || minute > 59 || second > 59)
		return false;

	utc = hour * 60 + minute - offset;	/* in minutes of that day */
	if ((year == 1 && month == 1 && day == 1 && utc < 0) ||
		(year == 9999 && month == 12 && day == 31 && utc >= 24 * 60))
		return false;
	if (time)
		*time = (date2j(year, month, day) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
			utc * USECS_PER_MINUTE + second * USECS_PER_SEC + microsecond;
	return true;
}

/* A label of a host name that makes readers take the name for an IPv4 address. */
static bool
is_numeric_label(const char *label, int length)
{
	Reader		reader = {label, label + length};

	return skip_digits(&reader) == length ||
		(length >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'));
}

static bool
is_ipv4_address(const char *text, int length)
{
	Reader		reader = {text, text + length};
	int			number;

	for (int i = 0; i < 4; i++)
	{
		const char *start = reader.next;

		if ((i > 0 && !read_char(&reader, ".")) || !read_number(&reader, 255, &number))
			return false;
		if (*start == '0' && reader.next - start > 1)	/* may be octal */
			return false;
	}
	return at_end(&reader);
}

/*
 * Read a host: an IPv4 address, or a name of ASCII labels.  Encoded
 * international names ("xn--") are left out: to tell good from bad ones takes
 * Unicode's tables.
 */
static bool
read_host(Reader *reader)
{
	const char *host = reader->next;
	const char *label = host;

	for (;;)
	{
		while (!at_end(reader) &&
			   (is_letter(*reader->next) || is_digit(*reader->next) ||
				*reader->next == '-' || *reader->next == '_'))
			reader->next++;
		if (reader->next == label ||
			(reader->next - label >= 4 && pg_strncasecmp(label, "xn--", 4) == 0))
			return false;
		if (!read_char(reader, "."))
			break;
		label = reader->next;
	}
	return !is_numeric_label(label, reader->next - label) ||
		is_ipv4_address(host, reader->next - host);
}

/* An absolute http or https URL with a host. */
bool
is_web_url(const char *text, int length)
{
	Reader		reader = {text, text + length};
	int			port;

	if (length >= 7 && pg_strncasecmp(text, "http://", 7) == 0)
		reader.next += 7;
	else if (length >= 8 && pg_strncasecmp(text, "https://", 8) == 0)
		reader.next += 8;
	else
		return false;

	if (!read_host(&reader))
		return false;
	if (read_char(&reader, ":") && !read_number(&reader, 65535, &port))
		return false;
	return at_end(&reader) || read_char(&reader, "/?#");
}

/* Read what may follow the numbers of a version: "-beta.1" */
static bool
read_prerelease(Reader *reader)
{
	if (!read_char(reader, "-"))
		return false;
	do
	{
		if (!at_end(reader) && is_letter(*reader->next))
		{
			while (!at_end(reader) &&
				   (is_letter(*reader->next) || is_digit(*reader->next) || *reader->next == '-'))
				reader->next++;
		}
		else if (!read_version_number(reader))
			return false;
	} while (read_char(reader, "."));
	return true;
}

/* A version 1.0 or 1.1 of STAC, and of semantic versioning. */
bool
is_stac_version(const char *text, int length)
{
	Reader		reader = {text, text + length};

	return read_char(&reader, "1") && read_char(&reader, ".") &&
		read_char(&reader, "01") && read_char(&reader, ".") &&
		read_version_number(&reader) &&
		(at_end(&reader) || (read_prerelease(&reader) && at_end(&reader)));
}
