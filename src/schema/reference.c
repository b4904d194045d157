/*
 * schema/reference.c
 *		RFC 3986, section 5: see schema/reference.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "schema/reference.h"

/* The parts of a reference; one whose data is NULL is not there. */
typedef struct Parts
{
	JsonKey		scheme;
	JsonKey		authority;
	JsonKey		path;
	JsonKey		query;
	JsonKey		fragment;
} Parts;

/* Where one of these signs first stands, or the end. */
static const char *
find_sign(const char *from, const char *end, const char *signs)
{
	while (from < end && (*from == '\0' || strchr(signs, *from) == NULL))
		from++;
	return from;
}

static Parts
split_reference(JsonKey reference)
{
	Parts		parts = {0};
	const char *at = reference.data;
	const char *end = at + reference.len;
	const char *sign = find_sign(at, end, ":/?#");

	if (sign < end && *sign == ':' && sign > at)
	{
		parts.scheme = (JsonKey) {at, sign - at};
		at = sign + 1;
	}
	if (end - at >= 2 && at[0] == '/' && at[1] == '/')
	{
		sign = find_sign(at + 2, end, "/?#");
		parts.authority = (JsonKey) {at + 2, sign - at - 2};
		at = sign;
	}
	sign = find_sign(at, end, "?#");
	parts.path = (JsonKey) {at, sign - at};
	if (sign < end && *sign == '?')
	{
		at = sign + 1;
		sign = find_sign(at, end, "#");
		parts.query = (JsonKey) {at, sign - at};
	}
	if (sign < end)
		parts.fragment = (JsonKey) {sign + 1, end - sign - 1};
	return parts;
}

/* Append a path without its segments "." and "..". */
static void
append_without_dots(StringInfo out, JsonKey path)
{
	const char *at = path.data;
	const char *end = at + path.len;
	int			start = out->len;

	while (at < end)
	{
		const char *segment = *at == '/' ? at + 1 : at;
		const char *slash = find_sign(segment, end, "/");
		bool		last = slash == end;

		if (slash - segment == 1 && segment[0] == '.')
		{
			if (last)
				appendStringInfoChar(out, '/');
		}
		else if (slash - segment == 2 && segment[0] == '.' && segment[1] == '.')
		{
			while (out->len > start && out->data[out->len - 1] != '/')
				out->len--;
			if (out->len > start)
				out->len--;
			if (last)
				appendStringInfoChar(out, '/');
		}
		else
			appendBinaryStringInfo(out, at, slash - at);
		at = slash;
	}
}

/* The path of a relative reference beside a base. */
static JsonKey
merge_paths(const Parts *base, JsonKey path)
{
	StringInfoData merged;
	int			kept = base->path.len;

	initStringInfo(&merged);
	while (kept > 0 && base->path.data[kept - 1] != '/')
		kept--;
	if (base->authority.data && base->path.len == 0)
		appendStringInfoChar(&merged, '/');
	appendBinaryStringInfo(&merged, base->path.data, kept);
	appendBinaryStringInfo(&merged, path.data, path.len);
	return (JsonKey) {merged.data, merged.len};
}

static void
append_part(StringInfo out, const char *before, JsonKey part, const char *after)
{
	if (part.data == NULL)
		return;
	appendStringInfoString(out, before);
	appendBinaryStringInfo(out, part.data, part.len);
	appendStringInfoString(out, after);
}

/* What a reference means beside a base, which may be empty. */
JsonKey
resolve_reference(JsonKey base_url, JsonKey reference)
{
	Parts		base = split_reference(base_url);
	Parts		parts = split_reference(reference);
	StringInfoData out;

	initStringInfo(&out);
	if (parts.scheme.data == NULL)
	{
		parts.scheme = base.scheme;
		if (parts.authority.data == NULL)
		{
			parts.authority = base.authority;
			if (parts.path.len == 0)
			{
				parts.path = base.path;
				if (parts.query.data == NULL)
					parts.query = base.query;
			}
			else if (parts.path.data[0] != '/')
				parts.path = merge_paths(&base, parts.path);
		}
	}
	append_part(&out, "", parts.scheme, ":");
	append_part(&out, "//", parts.authority, "");
	append_without_dots(&out, parts.path);
	append_part(&out, "?", parts.query, "");
	append_part(&out, "#", parts.fragment, "");
	return (JsonKey) {out.data, out.len};
}

JsonKey
without_fragment(JsonKey url)
{
	return (JsonKey) {url.data, find_sign(url.data, url.data + url.len, "#") - url.data};
}

/* What stands behind "#"; empty where nothing does. */
JsonKey
fragment_of(JsonKey url)
{
	int			before = without_fragment(url).len;

	return before == url.len ? (JsonKey) {"", 0} : (JsonKey) {url.data + before + 1, url.len - before - 1};
}

static int
hex_value(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, pg_tolower((unsigned char) c)) : NULL;

	return found ? found - digits : -1;
}

/* Undo percent-encoding; false where it is none, or no text. */
bool
decode_fragment(JsonKey fragment, JsonKey *decoded)
{
	char	   *plain = palloc(fragment.len + 1);
	char	   *server;
	int			len = 0;

	for (int i = 0; i < fragment.len; i++)
	{
		int			high;
		int			low;

		plain[len] = fragment.data[i];
		if (fragment.data[i] == '%')
		{
			if (i + 2 >= fragment.len || (high = hex_value(fragment.data[i + 1])) < 0 ||
				(low = hex_value(fragment.data[i + 2])) < 0 || high * 16 + low == 0)
				return false;
			plain[len] = (char) (high * 16 + low);
			i += 2;
		}
		len++;
	}
	plain[len] = '\0';
	*decoded = (JsonKey) {plain, len};
	if (memchr(fragment.data, '%', fragment.len) == NULL)
		return true;

	/* What was encoded is UTF-8. */
	if (!pg_verify_mbstr(PG_UTF8, plain, len, true))
		return false;
	server = pg_any_to_server(plain, len, PG_UTF8);
	if (server != plain)
		*decoded = (JsonKey) {server, strlen(server)};
	return true;
}
