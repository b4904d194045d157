/*
 * schema/ecma.c
 *		Regular expressions of ECMA-262: see schema/ecma.h.
 *
 * A reader stands before what it reads and behind it afterwards; after the first
 * problem it stands at the end, so that every loop stops.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "json/key_table.h"
#include "schema/ecma.h"

/* The server repeats no more than that at once. */
#define SERVER_REPEAT_MAX 255

/* Code points are converted so many bytes at a time: a cancel is heard in between. */
#define CONVERT_BLOCK (1024 * 1024)

#define TOO_COMPLEX "is too complex for the server's regular expressions"

typedef struct RegexReader
{
	const pg_wchar *next;
	const pg_wchar *end;
	const char *problem;
	KeyTable   *names;			/* of groups */
} RegexReader;

/* Ranges while a set is read. */
typedef struct RangeList
{
	CharRange  *ranges;
	uint32		count;
	uint32		room;
} RangeList;

static const CharRange digit_ranges[] = {{'0', '9'}};
static const CharRange word_ranges[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const CharRange space_ranges[] = {
	{'\t', '\r'}, {' ', ' '}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A},
	{0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}
};
static const CharRange line_end_ranges[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static Regex *read_choice(RegexReader *reader);

/* The code points of a string of the server's encoding; bytes where that is SQL_ASCII. */
pg_wchar *
code_points(const char *data, int len, Size *count)
{
	int			encoding = GetDatabaseEncoding();
	const char *end;
	pg_wchar   *points;

	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII)
	{
		char	   *utf8 = pg_server_to_any(data, len, PG_UTF8);

		if (utf8 != data)
		{
			data = utf8;
			len = strlen(utf8);
		}
		encoding = PG_UTF8;
	}
	points = palloc_extended(sizeof(pg_wchar) * ((Size) len + 1), MCXT_ALLOC_HUGE);
	*count = 0;
	for (end = data + len; data < end;)
	{
		int			block = Min(end - data, CONVERT_BLOCK);

		while (encoding == PG_UTF8 && data + block < end && ((unsigned char) data[block] & 0xC0) == 0x80)
			block--;
		*count += pg_encoding_mb2wchar_with_len(encoding, data, points + *count, block);
		data += block;
		CHECK_FOR_INTERRUPTS();
	}
	return points;
}

/* Note the first problem, and read no further. */
static void
give_up(RegexReader *reader, const char *problem)
{
	if (reader->problem == NULL)
		reader->problem = problem;
	reader->next = reader->end;
}

/* Does this character come next? */
static inline bool
comes(const RegexReader *reader, pg_wchar c)
{
	return reader->next < reader->end && *reader->next == c;
}

/* Read a text of ASCII, if it comes next. */
static bool
read_text(RegexReader *reader, const char *text)
{
	const pg_wchar *at = reader->next;

	for (; *text; text++, at++)
		if (at == reader->end || *at != (pg_wchar) *text)
			return false;
	reader->next = at;
	return true;
}

static Regex *
make_regex(RegexKind kind, uint32 size)
{
	Regex	   *regex = palloc0(sizeof(Regex));

	regex->kind = kind;
	regex->size = size;
	return regex;
}

/* A size that has not overflowed. */
static inline uint32
add_sizes(uint32 a, uint32 b)
{
	return Min(a + b, REGEX_SIZE_MAX + 1);
}

/* A set of a copy of these ranges. */
static Regex *
make_set(const CharRange *ranges, uint32 count)
{
	Regex	   *set = make_regex(REGEX_SET, 1);

	set->ranges = palloc(sizeof(CharRange) * Max(count, 1));
	for (uint32 i = 0; i < count; i++)
		set->ranges[i] = ranges[i];
	set->count = count;
	return set;
}

static void
add_range(RangeList *list, pg_wchar low, pg_wchar high)
{
	if (list->count == list->room)
	{
		list->room = list->room ? list->room * 2 : 8;
		list->ranges = list->ranges ? repalloc(list->ranges, sizeof(CharRange) * list->room) :
			palloc(sizeof(CharRange) * list->room);
	}
	list->ranges[list->count++] = (CharRange) {low, high};
}

static int
compare_ranges(const void *a, const void *b)
{
	pg_wchar	x = ((const CharRange *) a)->low;
	pg_wchar	y = ((const CharRange *) b)->low;

	return x < y ? -1 : x > y;
}

/* Sort ranges, and join those that touch. */
static void
settle_ranges(RangeList *list)
{
	uint32		kept = 0;

	if (list->count > 1)
		qsort(list->ranges, list->count, sizeof(CharRange), compare_ranges);
	for (uint32 i = 0; i < list->count; i++)
	{
		if (kept > 0 && list->ranges[i].low <= list->ranges[kept - 1].high + 1)
			list->ranges[kept - 1].high = Max(list->ranges[kept - 1].high, list->ranges[i].high);
		else
			list->ranges[kept++] = list->ranges[i];
	}
	list->count = kept;
}

/* Add all that is not in these ranges, which are settled. */
static void
add_complement(RangeList *list, const CharRange *ranges, uint32 count)
{
	pg_wchar	low = 0;

	for (uint32 i = 0; i < count; i++)
	{
		if (ranges[i].low > low)
			add_range(list, low, ranges[i].low - 1);
		low = ranges[i].high + 1;
	}
	if (low <= CODE_POINT_MAX)
		add_range(list, low, CODE_POINT_MAX);
}

/* The set of all that is not in these ranges. */
static Regex *
make_complement(const CharRange *ranges, uint32 count)
{
	RangeList	list = {0};

	add_complement(&list, ranges, count);
	return make_set(list.ranges, list.count);
}

static int
hex_digit(pg_wchar c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Read just so many hexadecimal digits, if they come next. */
static bool
read_hex(RegexReader *reader, int digits, pg_wchar *value)
{
	if (reader->end - reader->next < digits)
		return false;
	*value = 0;
	for (int i = 0; i < digits; i++)
	{
		int			digit = hex_digit(reader->next[i]);

		if (digit < 0)
			return false;
		*value = *value * 16 + digit;
	}
	reader->next += digits;
	return true;
}

/* Read what follows "\u{". */
static pg_wchar
read_braced_hex(RegexReader *reader)
{
	pg_wchar	value = 0;
	bool		some = false;
	int			digit;

	while (reader->next < reader->end && (digit = hex_digit(*reader->next)) >= 0)
	{
		value = Min(value * 16 + digit, CODE_POINT_MAX + 1);
		some = true;
		reader->next++;
	}
	if (!some || value > CODE_POINT_MAX || !read_text(reader, "}"))
		give_up(reader, "has \\u{ without a code point and \"}\"");
	return value;
}

/* Read what follows "\u"; two surrogates are one character. */
static pg_wchar
read_unicode_escape(RegexReader *reader)
{
	const pg_wchar *after;
	pg_wchar	first = 0;
	pg_wchar	second;

	if (read_text(reader, "{"))
		return read_braced_hex(reader);
	if (!read_hex(reader, 4, &first))
	{
		give_up(reader, "has \\u without four hexadecimal digits");
		return 0;
	}
	after = reader->next;
	if (is_utf16_surrogate_first(first) && read_text(reader, "\\u") &&
		read_hex(reader, 4, &second) && is_utf16_surrogate_second(second))
		return surrogate_pair_to_codepoint(first, second);
	reader->next = after;
	return first;
}

static inline bool
is_ascii_letter(pg_wchar c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Read what follows a backslash and stands for one character, in a set or not. */
static pg_wchar
read_character_escape(RegexReader *reader)
{
	pg_wchar	c;
	pg_wchar	value;

	if (reader->next == reader->end)
	{
		give_up(reader, "ends with a backslash");
		return 0;
	}
	c = *reader->next++;
	switch (c)
	{
		case 't':
			return '\t';
		case 'n':
			return '\n';
		case 'v':
			return '\v';
		case 'f':
			return '\f';
		case 'r':
			return '\r';
		case 'u':
			return read_unicode_escape(reader);
		case 'x':
			if (!read_hex(reader, 2, &value))
			{
				give_up(reader, "has \\x without two hexadecimal digits");
				return 0;
			}
			return value;
		case 'c':
			if (reader->next == reader->end || !is_ascii_letter(*reader->next))
			{
				give_up(reader, "has \\c without a letter");
				return 0;
			}
			return *reader->next++ % 32;
		case '0':
			if (reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9')
				give_up(reader, "has an octal escape, which ECMA-262 does not have");
			return 0;
		case 'p':
		case 'P':
			give_up(reader, "has \\p{...}, which is not implemented");
			return 0;
		case 'k':
			give_up(reader, "has a back reference, which is not implemented");
			return 0;
	}
	if (c >= '1' && c <= '9')
		give_up(reader, "has a back reference, which is not implemented");
	else if (is_ascii_letter(c) || c < ' ' || c >= 0x7F)
		give_up(reader, "has an escape that ECMA-262 does not have");
	return c;
}

/* The ranges of \d, \s or \w; NULL where the letter is of none. */
static const CharRange *
class_ranges(pg_wchar letter, uint32 *count)
{
	switch (letter)
	{
		case 'd':
		case 'D':
			*count = lengthof(digit_ranges);
			return digit_ranges;
		case 's':
		case 'S':
			*count = lengthof(space_ranges);
			return space_ranges;
		case 'w':
		case 'W':
			*count = lengthof(word_ranges);
			return word_ranges;
	}
	return NULL;
}

/* Read \d, \D and so on into a list, if one comes next. */
static bool
read_class_escape(RegexReader *reader, RangeList *list)
{
	const CharRange *ranges;
	uint32		count = 0;

	if (reader->end - reader->next < 2 || *reader->next != '\\' ||
		(ranges = class_ranges(reader->next[1], &count)) == NULL)
		return false;
	if (reader->next[1] < 'a')
		add_complement(list, ranges, count);
	else
		for (uint32 i = 0; i < count; i++)
			add_range(list, ranges[i].low, ranges[i].high);
	reader->next += 2;
	return true;
}

/* Read one character of a set. */
static pg_wchar
read_set_character(RegexReader *reader)
{
	if (!read_text(reader, "\\"))
		return reader->next < reader->end ? *reader->next++ : 0;
	if (read_text(reader, "b"))
		return '\b';
	return read_character_escape(reader);
}

/* Does a range go on here, rather than end with a "-"? */
static bool
range_follows(const RegexReader *reader)
{
	return comes(reader, '-') && reader->end - reader->next >= 2 && reader->next[1] != ']';
}

/* Read what follows "[". */
static Regex *
read_set(RegexReader *reader)
{
	bool		complement = read_text(reader, "^");
	RangeList	list = {0};

	while (reader->next < reader->end && *reader->next != ']')
	{
		pg_wchar	low;
		pg_wchar	high;

		CHECK_FOR_INTERRUPTS();
		if (read_class_escape(reader, &list))
		{
			if (range_follows(reader))
				give_up(reader, "has a range that begins with a class");
			continue;
		}
		high = low = read_set_character(reader);
		if (range_follows(reader))
		{
			uint32		count = list.count;

			reader->next++;
			if (read_class_escape(reader, &list))
			{
				list.count = count;
				give_up(reader, "has a range that ends with a class");
				break;
			}
			high = read_set_character(reader);
			if (high < low)
				give_up(reader, "has a range that ends before it begins");
		}
		add_range(&list, low, high);
	}
	if (!read_text(reader, "]"))
		give_up(reader, "has \"[\" without \"]\"");
	settle_ranges(&list);
	return complement ? make_complement(list.ranges, list.count) : make_set(list.ranges, list.count);
}

/* Read the name of a group, and ">". */
static void
read_group_name(RegexReader *reader)
{
	const pg_wchar *start = reader->next;
	JsonKey		name;
	bool		found;

	while (reader->next < reader->end &&
		   (is_ascii_letter(*reader->next) || *reader->next == '_' || *reader->next == '$' || *reader->next > 0x7F ||
			(reader->next > start && *reader->next >= '0' && *reader->next <= '9')))
		reader->next++;
	name.data = (const char *) start;
	name.len = (const char *) reader->next - (const char *) start;
	if (reader->next == start || !read_text(reader, ">"))
	{
		give_up(reader, "has a group without a name");
		return;
	}
	if (reader->names == NULL)
		reader->names = make_key_table();
	enter_entry(reader->names, name, &found);
	if (found)
		give_up(reader, "has two groups of one name");
}

/* Read a look-around, if one comes behind "(?". */
static Regex *
read_look(RegexReader *reader)
{
	Regex	   *look = make_regex(REGEX_LOOK, 1);

	if (read_text(reader, "="))
		return look;
	if (read_text(reader, "!"))
		look->negative = true;
	else if (read_text(reader, "<="))
		look->behind = true;
	else if (read_text(reader, "<!"))
		look->behind = look->negative = true;
	else
		return NULL;
	return look;
}

/* Read what follows "(". */
static Regex *
read_group(RegexReader *reader)
{
	Regex	   *look = NULL;
	Regex	   *inner;

	if (read_text(reader, "?"))
	{
		look = read_look(reader);
		if (look == NULL && (read_text(reader, "<") || read_text(reader, "P<")))
			read_group_name(reader);
		else if (look == NULL && !read_text(reader, ":"))
			give_up(reader, "has a group that ECMA-262 does not have");
	}
	inner = read_choice(reader);
	if (!read_text(reader, ")"))
		give_up(reader, "has \"(\" without \")\"");
	if (look == NULL)
		return inner;
	look->child = inner;
	look->size = add_sizes(inner->size, 1);
	return look;
}

/* Read a number of repetitions; one beyond all that the server can is cut. */
static bool
read_count(RegexReader *reader, uint32 *count)
{
	const pg_wchar *start = reader->next;

	*count = 0;
	for (; reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9'; reader->next++)
		*count = Min(*count * 10 + (*reader->next - '0'), REGEX_SIZE_MAX + 1);
	return reader->next > start;
}

/* Read "{1}", "{1,}" or "{1,2}", if it comes next: another "{" stands for itself. */
static bool
read_braces(RegexReader *reader, uint32 *min, uint32 *max)
{
	const pg_wchar *start = reader->next;

	if (read_text(reader, "{") && read_count(reader, min))
	{
		*max = *min;
		if (read_text(reader, ",") && !read_count(reader, max))
			*max = REPEAT_FOREVER;
		if (read_text(reader, "}"))
			return true;
	}
	reader->next = start;
	return false;
}

/* Read a quantifier, if one comes next. */
static bool
read_quantifier(RegexReader *reader, uint32 *min, uint32 *max)
{
	if (read_text(reader, "*"))
		*min = 0, *max = REPEAT_FOREVER;
	else if (read_text(reader, "+"))
		*min = 1, *max = REPEAT_FOREVER;
	else if (read_text(reader, "?"))
		*min = 0, *max = 1;
	else if (!read_braces(reader, min, max))
		return false;
	if (*max < *min)
		give_up(reader, "has a repetition whose bounds are out of order");
	read_text(reader, "?");		/* what is found is the same */
	return true;
}

/* Read what a quantifier may follow; *fixed says that none may. */
static Regex *
read_atom(RegexReader *reader, bool *fixed)
{
	RangeList	list = {0};
	CharRange	one;
	uint32		min;
	uint32		max;

	*fixed = true;
	if (read_text(reader, "^"))
		return make_regex(REGEX_BEGIN, 1);
	if (read_text(reader, "$"))
		return make_regex(REGEX_END, 1);
	if (read_text(reader, "\\b"))
		return make_regex(REGEX_BOUNDARY, 2);
	if (read_text(reader, "\\B"))
		return make_regex(REGEX_NO_BOUNDARY, 2);
	if (read_text(reader, "("))
	{
		Regex	   *group = read_group(reader);

		*fixed = group->kind == REGEX_LOOK;
		return group;
	}

	*fixed = false;
	if (read_text(reader, "["))
		return read_set(reader);
	if (read_text(reader, "."))
		return make_complement(line_end_ranges, lengthof(line_end_ranges));
	if (read_class_escape(reader, &list))
		return make_set(list.ranges, list.count);
	if (comes(reader, '*') || comes(reader, '+') || comes(reader, '?') || read_braces(reader, &min, &max))
		give_up(reader, "has a quantifier with nothing to repeat");
	if (read_text(reader, "\\"))
		one.low = read_character_escape(reader);
	else
		one.low = reader->next < reader->end ? *reader->next++ : 0;
	one.high = one.low;
	return make_set(&one, 1);
}

/* Read an atom and its quantifier. */
static Regex *
read_term(RegexReader *reader)
{
	bool		fixed;
	Regex	   *atom = read_atom(reader, &fixed);
	Regex	   *repeat;
	uint32		min;
	uint32		max;
	uint32		times;

	if (!read_quantifier(reader, &min, &max))
		return atom;
	if (fixed)
		give_up(reader, "has a quantifier with nothing to repeat");
	repeat = make_regex(REGEX_REPEAT, 0);
	repeat->child = atom;
	repeat->min = min;
	repeat->max = max;
	times = max == REPEAT_FOREVER ? min + 1 : Max(max, 1);
	repeat->size = Min((uint64) times * atom->size + 1, REGEX_SIZE_MAX + 1);
	return repeat;
}

static Regex *
read_sequence(RegexReader *reader)
{
	Regex	   *sequence = make_regex(REGEX_SEQUENCE, 1);
	Regex	  **last = &sequence->child;

	while (reader->next < reader->end && *reader->next != '|' && *reader->next != ')')
	{
		CHECK_FOR_INTERRUPTS();
		*last = read_term(reader);
		sequence->size = add_sizes(sequence->size, (*last)->size);
		last = &(*last)->next;
	}
	return sequence;
}

static Regex *
read_choice(RegexReader *reader)
{
	Regex	   *choice = make_regex(REGEX_CHOICE, 0);
	Regex	  **last = &choice->child;

	check_stack_depth();
	do
	{
		*last = read_sequence(reader);
		choice->size = add_sizes(choice->size, (*last)->size);
		last = &(*last)->next;
	} while (read_text(reader, "|"));
	return choice->child->next ? choice : choice->child;
}

/* Read a pattern; *problem, where not NULL, says what is wrong with it. */
Regex *
read_regex(JsonKey source, const char **problem)
{
	RegexReader reader = {0};
	Regex	   *regex;
	Size		count;

	*problem = source.len > REGEX_SIZE_MAX * 4 ? TOO_COMPLEX : NULL;
	if (*problem)
		return NULL;
	reader.next = code_points(source.data, source.len, &count);
	reader.end = reader.next + count;
	regex = read_choice(&reader);
	if (reader.next < reader.end)
		give_up(&reader, "has \")\" without \"(\"");
	if (regex->size > REGEX_SIZE_MAX)
		give_up(&reader, TOO_COMPLEX);
	*problem = reader.problem;
	return regex;
}

/* ---- the server's syntax ---- */

typedef struct RegexWriter
{
	pg_wchar   *text;
	Size		len;
	Size		room;
} RegexWriter;

static void write_regex(RegexWriter *writer, const Regex *regex);

static void
write_char(RegexWriter *writer, pg_wchar c)
{
	if (writer->len == writer->room)
	{
		writer->room *= 2;
		writer->text = repalloc_huge(writer->text, sizeof(pg_wchar) * writer->room);
	}
	writer->text[writer->len++] = c;
}

static void
write_ascii(RegexWriter *writer, const char *text)
{
	for (; *text; text++)
		write_char(writer, (unsigned char) *text);
}

/* Write a character so that it is no sign, in a set or not. */
static void
write_literal(RegexWriter *writer, pg_wchar c)
{
	char		escape[12];

	if (is_ascii_letter(c) || (c >= '0' && c <= '9'))
	{
		write_char(writer, c);
		return;
	}
	snprintf(escape, sizeof(escape), "\\U%08X", (unsigned int) c);
	write_ascii(writer, escape);
}

static void
write_ranges(RegexWriter *writer, const char *opening, const CharRange *ranges, uint32 count)
{
	write_ascii(writer, opening);
	for (uint32 i = 0; i < count; i++)
	{
		write_literal(writer, ranges[i].low);
		if (ranges[i].high > ranges[i].low)
		{
			write_ascii(writer, "-");
			write_literal(writer, ranges[i].high);
		}
	}
	write_ascii(writer, "]");
}

/* Write a set; one that goes up to the last character by what is not in it. */
static void
write_set(RegexWriter *writer, const Regex *set)
{
	RangeList	others = {0};

	if (set->count == 0)
		write_ascii(writer, "(?!)");
	else if (set->count == 1 && set->ranges[0].low == set->ranges[0].high)
		write_literal(writer, set->ranges[0].low);
	else if (set->ranges[set->count - 1].high < CODE_POINT_MAX)
		write_ranges(writer, "[", set->ranges, set->count);
	else
	{
		add_complement(&others, set->ranges, set->count);
		if (others.count == 0)
			write_ascii(writer, ".");
		else
			write_ranges(writer, "[^", others.ranges, others.count);
	}
}

/* Write children, with a sign between them, as one. */
static void
write_children(RegexWriter *writer, const char *opening, const Regex *child, const char *sign)
{
	write_ascii(writer, opening);
	for (; child; child = child->next)
	{
		write_regex(writer, child);
		if (child->next)
			write_ascii(writer, sign);
	}
	write_ascii(writer, ")");
}

/* Write a child, and how often. */
static void
write_times(RegexWriter *writer, const Regex *child, const char *quantifier)
{
	write_children(writer, "(?:", child, "");
	write_ascii(writer, quantifier);
}

/* Write a repetition in parts that the server can. */
static void
write_repeat(RegexWriter *writer, const Regex *repeat)
{
	uint32		must = repeat->min;
	uint32		may = repeat->max == REPEAT_FOREVER ? 0 : repeat->max - repeat->min;
	char		quantifier[32];

	write_ascii(writer, "(?:");
	for (uint32 part; must > 0; must -= part)
	{
		part = Min(must, SERVER_REPEAT_MAX);
		snprintf(quantifier, sizeof(quantifier), "{%u}", part);
		write_times(writer, repeat->child, part > 1 ? quantifier : "");
	}
	if (repeat->max == REPEAT_FOREVER)
		write_times(writer, repeat->child, "*");
	for (uint32 part; may > 0; may -= part)
	{
		part = Min(may, SERVER_REPEAT_MAX);
		snprintf(quantifier, sizeof(quantifier), "{0,%u}", part);
		write_times(writer, repeat->child, quantifier);
	}
	write_ascii(writer, ")");
}

static void
write_look(RegexWriter *writer, const Regex *look)
{
	write_ascii(writer, look->behind ? "(?<" : "(?");
	write_children(writer, look->negative ? "!" : "=", look->child, "");
}

static void
write_regex(RegexWriter *writer, const Regex *regex)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	switch (regex->kind)
	{
		case REGEX_SET:
			write_set(writer, regex);
			break;
		case REGEX_SEQUENCE:
			write_children(writer, "(?:", regex->child, "");
			break;
		case REGEX_CHOICE:
			write_children(writer, "(?:", regex->child, "|");
			break;
		case REGEX_REPEAT:
			write_repeat(writer, regex);
			break;
		case REGEX_BEGIN:
			write_ascii(writer, "^");
			break;
		case REGEX_END:
			write_ascii(writer, "$");
			break;
		case REGEX_BOUNDARY:
			write_ascii(writer, "\\y");
			break;
		case REGEX_NO_BOUNDARY:
			write_ascii(writer, "\\Y");
			break;
		case REGEX_LOOK:
			write_look(writer, regex);
			break;
	}
}

/* A pattern as the server's REG_ADVANCED has it. */
pg_wchar *
write_server_regex(const Regex *regex, Size *len)
{
	RegexWriter writer = {palloc(sizeof(pg_wchar) * 128), 0, 128};

	/* What begins with a group can have no prefix that the server reads. */
	write_children(&writer, "(?:", regex, "");
	*len = writer.len;
	return writer.text;
}
