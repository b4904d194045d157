/*
 * site/filter.c
 *		Reads the form of a filter: see site/filter.h.
 *
 * A jsonpath as the server prints it has all its names in quotes, so that one
 * walk over its text, which skips what is quoted, finds the rest.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/compat.h"
#include "site/filter.h"

/* What the filter of somebody who is no administrator may have. */
#define FILTER_MAX_CHARACTERS	1000
#define FILTER_MAX_DESCENTS		1
#define FILTER_MAX_KEYVALUES	1

/* What stands in the parentheses that are open at a place of a filter. */
#define LEVEL_IS_FILTER		1	/* of ? (...) */
#define LEVEL_HAS_PATH		2	/* of the predicate in hand */
#define LEVEL_HAS_OPERATOR	4	/* and behind that an operator */
#define LEVEL_OF_PROPERTIES 8	/* it is a filter of $."properties" itself */

PG_FUNCTION_INFO_V1(esgf_filter_problem);

/* Where a string in quotes ends: behind its last quote. */
static const char *
string_end(const char *string)
{
	for (string++; *string && *string != '"'; string++)
		if (*string == '\\' && string[1])
			string++;
	return *string ? string + 1 : string;
}

/* Take a word and move on; false if it is not there. */
static bool
take_word(const char **at, const char *word)
{
	if (strncmp(*at, word, strlen(word)) != 0)
		return false;
	*at += strlen(word);
	return true;
}

/* Note what a path reads that goes on from the properties: one by its name, or anything. */
static void
note_property(FilterForm *form, const char *at)
{
	const char *name = at;

	if (take_word(&name, ".") && *name == '"')
	{
		int			len = string_end(name) - name - 2;

		if (len >= 0 && memchr(name + 1, '\\', len) == NULL)
		{
			form->properties = lappend(form->properties, pnstrdup(name + 1, len));
			return;
		}
	}
	form->properties_only = false;
}

/* Note what a "$" begins to read; true if a filter of the properties follows, whose "@" will tell. */
static bool
note_root(FilterForm *form, const char *at)
{
	bool		known = take_word(&at, ".\"properties\"");

	if (known && strncmp(at, "?(", 2) == 0)
		return true;
	if (known)
		note_property(form, at);
	else
		form->properties_only = false;
	return false;
}

/* Note what is read behind a filter of the properties; true if another one follows. */
static bool
note_filtered(FilterForm *form, const char *at)
{
	if (*at == '.' || *at == '[')
		note_property(form, at);
	return strncmp(at, "?(", 2) == 0;
}

/* Is the filter of whose item an "@" is one of the properties? */
static bool
is_of_properties(const StringInfo levels)
{
	int			i = levels->len - 1;

	while (i > 0 && !(levels->data[i] & LEVEL_IS_FILTER))
		i--;
	return (levels->data[i] & LEVEL_OF_PROPERTIES) != 0;
}

/* Take a string in quotes and move on; NULL: it has escapes, or is none. */
static char *
take_string(const char **at)
{
	const char *begin = *at + 1;

	if (**at != '"')
		return NULL;
	*at = string_end(*at);
	return memchr(begin, '\\', *at - begin) ? NULL : pnstrdup(begin, *at - begin - 1);
}

/* Take $."properties"."name" == "string" and move on; false if it is not there, or of another name. */
static bool
take_guard(const char **at, FilterForm *form)
{
	char	   *name;
	char	   *value;

	if (!take_word(at, "$.\"properties\".") || (name = take_string(at)) == NULL ||
		!take_word(at, " == ") || (value = take_string(at)) == NULL)
		return false;
	if (form->guard && strcmp(form->guard, name) != 0)
		return false;
	form->guard = name;
	form->guard_values = lappend(form->guard_values, value);
	return true;
}

/*
 * Go on behind the first operand in parentheses to their end; false if they do not hold
 * only where it does, or one of the guards beside it.
 */
static bool
leave_parentheses(const char **at, FilterForm *form)
{
	int			depth = 0;

	while (take_word(at, " || "))
		if (!take_guard(at, form))
			return false;
	if (take_word(at, " && "))
		for (; **at && (depth > 0 || **at != ')'); *at = **at == '"' ? string_end(*at) : *at + 1)
		{
			depth += (**at == '(') - (**at == ')');
			if (depth == 0 && strncmp(*at, " || ", 4) == 0)
				return false;
		}
	return take_word(at, ")");
}

/*
 * Find a guard: what a filter begins with, where it cannot hold else. The server prints
 * parentheses around whatever stands left of an operator.
 */
static void
find_guard(const char *filter, FilterForm *form)
{
	const char *at = filter;
	int			open = 0;
	bool		found;

	while (take_word(&at, "("))
		open++;
	found = take_guard(&at, form);
	while (found && open-- > 0)
		found = leave_parentheses(&at, form);
	if (!found || *at)
		form->guard = NULL;
}

/* Take an operator between two values and move on; false if there is none. */
static bool
take_operator(const char **at)
{
	static const char *const operators[] = {" == ", " != ", " < ", " > ", " <= ", " >= ", " + ", " - ", " * ", " / ", " % "};

	for (size_t i = 0; **at == ' ' && i < lengthof(operators); i++)
		if (take_word(at, operators[i]))
			return true;
	return false;
}

/* Note that a path stands at some level. */
static void
note_path(FilterForm *form, char *level)
{
	form->two_paths |= (*level & LEVEL_HAS_OPERATOR) != 0;
	*level |= LEVEL_HAS_PATH;
}

/* Read the form of a filter, which is the text of a jsonpath. */
void
read_filter_form(const char *filter, FilterForm *form)
{
	StringInfoData levels;		/* of the parentheses that are open, and all */
	int			filters = 0;	/* how many of them are filters */
	int			brackets = 0;
	bool		of_properties = false;	/* is the next filter one of the
										 * properties? */
	const char *at = filter;

	memset(form, 0, sizeof(*form));
	form->length = pg_mbstrlen(filter);
	form->properties_only = true;
	initStringInfo(&levels);
	appendStringInfoChar(&levels, 0);
	while (*at)
	{
		char	   *level = &levels.data[levels.len - 1];

		if (*at == '"')
			at = string_end(at);
		else if (take_word(&at, "?("))
		{
			appendStringInfoChar(&levels, of_properties ? LEVEL_IS_FILTER | LEVEL_OF_PROPERTIES : LEVEL_IS_FILTER);
			of_properties = false;
			filters++;
		}
		else if (take_word(&at, "("))
			appendStringInfoChar(&levels, 0);
		else if (take_word(&at, ")"))
		{
			if (levels.len > 1)
				levels.len--;
			if (*level & LEVEL_IS_FILTER)
			{
				filters--;
				of_properties = (*level & LEVEL_OF_PROPERTIES) && note_filtered(form, at);
			}
			else if (*level & LEVEL_HAS_PATH)
				note_path(form, &levels.data[levels.len - 1]);
		}
		else if (take_word(&at, " && ") || take_word(&at, " || "))
			*level &= LEVEL_IS_FILTER | LEVEL_OF_PROPERTIES;
		else if (take_word(&at, "$"))
		{
			form->root_inside |= filters > 0;
			of_properties = note_root(form, at);
			note_path(form, level);
		}
		else if (take_word(&at, "@"))
		{
			if (is_of_properties(&levels))
				note_property(form, at);
			note_path(form, level);
		}
		else if (take_operator(&at))
			*level |= *level & LEVEL_HAS_PATH ? LEVEL_HAS_OPERATOR : 0;
		else if (take_word(&at, ".**"))
			form->descents++;
		else if (take_word(&at, ".keyvalue()"))
			form->keyvalues++;
		else if (take_word(&at, " like_regex "))
			form->like_regex = true;
		else
		{
			brackets += (*at == '[') - (*at == ']');
			form->subscript_list |= *at == ',' && brackets > 0;
			at++;
		}
	}
	find_guard(filter, form);
}

/* filter_problem(filter): why a filter may be too dear for others than administrators; null: it is not. */
Datum
esgf_filter_problem(PG_FUNCTION_ARGS)
{
	FilterForm	form;
	const char *problem = NULL;

	read_filter_form(DatumGetCString(DirectFunctionCall1(jsonpath_out, PG_GETARG_DATUM(0))), &form);
	if (form.length > FILTER_MAX_CHARACTERS)
		problem = psprintf("must not be longer than %d characters", FILTER_MAX_CHARACTERS);
	else if (form.descents > FILTER_MAX_DESCENTS)
		problem = "must not have .** more than once";
	else if (form.root_inside)
		problem = "must not have $ inside of ? (...)";
	else if (form.like_regex)
		problem = "must not have like_regex";
	else if (form.two_paths)
		problem = "must not compare a path with another, nor calculate with two";
	else if (form.subscript_list)
		problem = "must not have several subscripts in one [...]";
	else if (form.keyvalues > FILTER_MAX_KEYVALUES)
		problem = "must not have .keyvalue() more than once";
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
