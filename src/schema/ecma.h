/*
 * schema/ecma.h
 *		Patterns of JSON Schema: regular expressions of ECMA-262 with the u flag,
 *		read into a tree of our own, from which alone the server's are written.
 *		So nothing gets through that means something else to the server.
 *
 * Everything is in code points of Unicode, whatever the server's encoding.
 */
#ifndef ESGF_STAC_SCHEMA_ECMA_H
#define ESGF_STAC_SCHEMA_ECMA_H

#include "json/slice.h"
#include "mb/pg_wchar.h"

#define REPEAT_FOREVER	PG_UINT32_MAX
#define CODE_POINT_MAX	0x10FFFF

typedef enum RegexKind
{
	REGEX_SET,					/* one character of a set */
	REGEX_SEQUENCE,				/* its children, one after the other */
	REGEX_CHOICE,				/* one of its children */
	REGEX_REPEAT,				/* its child, min to max times */
	REGEX_BEGIN,
	REGEX_END,
	REGEX_BOUNDARY,				/* of a word */
	REGEX_NO_BOUNDARY,
	REGEX_LOOK					/* its child, ahead or behind, which must
								 * match, or must not */
} RegexKind;

typedef struct CharRange
{
	pg_wchar	low;
	pg_wchar	high;
} CharRange;

typedef struct Regex
{
	RegexKind	kind;
	uint32		size;			/* states, roughly, when repetitions are
								 * written out; at most REGEX_SIZE_MAX */
	struct Regex *child;		/* the first one */
	struct Regex *next;			/* sibling */
	CharRange  *ranges;			/* of a set: sorted, apart from each other */
	uint32		count;
	uint32		min;			/* of a repetition */
	uint32		max;
	bool		behind;			/* of a look-around */
	bool		negative;
} Regex;

/* What is larger is too complex for the server, too. */
#define REGEX_SIZE_MAX 100000

extern pg_wchar *code_points(const char *data, int len, Size *count);
extern Regex *read_regex(JsonKey source, const char **problem);
extern pg_wchar *write_server_regex(const Regex *regex, Size *len);

#endif							/* ESGF_STAC_SCHEMA_ECMA_H */
