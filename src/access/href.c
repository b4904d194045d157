/*
 * access/href.c
 *		Is a URL under a prefix, as every client and server reads it? See
 *		access/href.h.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "access/href.h"
#include "base/compat.h"

PG_FUNCTION_INFO_V1(esgf_prefix_problem);

/* The length of "scheme://authority" of a URL; 0 if it has none. */
static int
authority_end(const char *url, int len)
{
	int			i = 0;
	int			start;

	while (i < len && (isalnum((unsigned char) url[i]) || strchr("+-.", url[i])))
		i++;
	if (i == 0 || i + 3 > len || memcmp(url + i, "://", 3) != 0)
		return 0;
	i += 3;
	start = i;
	while (i < len && !strchr("/?#", url[i]))
		i++;
	return i > start ? i : 0;
}

/* One character of a URL, or what its percent-encoding, or the encoding of that, stands for. */
static char
decode(const char *url, int len, int *i)
{
	int			digits = *i + 1;
	char		hex[3] = {0};

	if (url[*i] == '%')
	{
		while (digits + 4 <= len && memcmp(url + digits, "25", 2) == 0 &&
			   isxdigit((unsigned char) url[digits + 2]) && isxdigit((unsigned char) url[digits + 3]))
			digits += 2;
		if (digits + 2 <= len && isxdigit((unsigned char) url[digits]) && isxdigit((unsigned char) url[digits + 1]))
		{
			memcpy(hex, url + digits, 2);
			*i = digits + 2;
			return (char) strtol(hex, NULL, 16);
		}
	}
	return url[(*i)++];
}

/* Does a path climb, as some server or browser might read it? "..;x" is ".." to servlets, as "..&x" is in a query. */
static bool
has_dot_segment(const char *path, int len)
{
	int			i = 0;

	while (i < len)
	{
		int			dots = 0;
		bool		plain = true;	/* nothing but dots so far */
		bool		parameter = false;
		char		c = 0;

		while (i < len && (c = decode(path, len, &i)) != '/')
		{
			if (memchr(";&#", c, 3))
				parameter = true;
			else if (!parameter && c == '.')
				dots++;
			else if (!parameter)
				plain = false;
		}
		if (plain && (dots == 1 || dots == 2))
			return true;
	}
	return false;
}

/* Could a client or a server read this URL otherwise than we do? */
static bool
is_deceptive(const char *href, int len)
{
	int			authority = authority_end(href, len);
	int			end = authority;

	for (int i = 0; i < len;)
	{
		unsigned char c = decode(href, len, &i);

		if (c == '\\' || c < ' ' || c == 127)
			return true;
	}
	while (end < len && !strchr("?#", href[end]))
		end++;
	return memchr(href, '@', authority) || has_dot_segment(href + authority, end - authority);
}

/* Do two URLs have the same scheme and authority, as a whole and but for case? */
static bool
same_authority(const char *a, int a_len, const char *b, int b_len)
{
	int			end = authority_end(a, a_len);

	if (end == 0 || authority_end(b, b_len) != end)
		return false;
	for (int i = 0; i < end; i++)
		if (pg_ascii_tolower(a[i]) != pg_ascii_tolower(b[i]))
			return false;
	return true;
}

/* Go to the name of the next parameter of a query; false if there is none. */
static bool
next_parameter(const char *url, int len, int *i)
{
	while (*i < len && url[*i] != '#')
		if (strchr("?&;", url[(*i)++]))
			return true;
	return false;
}

/* Have two parameters of queries, which begin at i and j, the same name? */
static bool
same_parameter(const char *a, int a_len, int i, const char *b, int b_len, int j)
{
	for (;;)
	{
		bool		a_ends = i >= a_len || strchr("=&;#", a[i]);
		bool		b_ends = j >= b_len || strchr("=&;#", b[j]);

		if (a_ends || b_ends)
			return a_ends && b_ends;
		if (decode(a, a_len, &i) != decode(b, b_len, &j))
			return false;
	}
}

/* Does a URL, beyond a prefix that it begins with, give anew a parameter that the prefix gives? */
static bool
repeats_parameter(const char *href, int len, const char *prefix, int prefix_len)
{
	const char *query = memchr(prefix, '?', prefix_len);
	int			i = query ? query - prefix : prefix_len;

	while (next_parameter(prefix, prefix_len, &i))
	{
		int			j = prefix_len;

		while (i < prefix_len && next_parameter(href, len, &j))
			if (same_parameter(prefix, prefix_len, i, href, len, j))
				return true;
	}
	return false;
}

/* Does an href climb out of a path that a prefix gives in its query? */
static bool
climbs_in_query(const char *href, int len, const char *prefix, int prefix_len)
{
	const char *query = memchr(prefix, '?', prefix_len);
	int			start = query ? query - prefix : len;

	return has_dot_segment(href + start, len - start);
}

/* Is an href under a prefix: does it begin with it, at a border, and mean what it says? */
bool
is_href_under(const char *href, int len, const char *prefix)
{
	int			prefix_len = strlen(prefix);
	int			authority = authority_end(prefix, prefix_len);

	if (len < prefix_len || !same_authority(href, len, prefix, prefix_len) ||
		memcmp(href + authority, prefix + authority, prefix_len - authority) != 0)
		return false;
	if (!strchr("/=", prefix[prefix_len - 1]) && len > prefix_len && !strchr("/?&#", href[prefix_len]))
		return false;
	return !repeats_parameter(href, len, prefix, prefix_len) &&
		!climbs_in_query(href, len, prefix, prefix_len) && !is_deceptive(href, len);
}

/* Is what stands between "scheme://" and the path a host, as hosts are written, perhaps with a port? */
static bool
is_host(const char *authority, int len)
{
	for (int i = 0; i < len; i++)
		if (!IS_HIGHBIT_SET(authority[i]) && !isalnum((unsigned char) authority[i]) && !strchr("-._~:[]", authority[i]))
			return false;
	return authority[0] != ':';
}

/* prefix_problem(prefix): why no href will do that begins so, or null. */
Datum
esgf_prefix_problem(PG_FUNCTION_ARGS)
{
	text	   *prefix = PG_GETARG_TEXT_PP(0);
	const char *url = VARDATA_ANY(prefix);
	int			len = VARSIZE_ANY_EXHDR(prefix);
	int			end = authority_end(url, len);
	const char *host = end ? strstr(url, "://") + 3 : NULL;

	if (host == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("must begin with scheme and host"));
	if (memchr(url, ' ', len) || is_deceptive(url, len))
		PG_RETURN_TEXT_P(cstring_to_text("must have no user info, space, backslash, control character or dot segment"));
	if (!is_host(host, end - (host - url)))
		PG_RETURN_TEXT_P(cstring_to_text("must name one host in full"));
	PG_RETURN_NULL();
}
