/*
 * schema/pattern.c
 *		A pattern of a schema: see schema/pattern.h.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/problems.h"
#include "schema/pattern.h"

/* What is larger is given to the server at once, to see whether it can: states, and these times ranges. */
#define SURELY_POSSIBLE 1000
#define SURELY_POSSIBLE_ARCS 5000

typedef struct ServerRegex
{
	pg_regex_t	regex;
	MemoryContextCallback callback;
} ServerRegex;

/* Free what the server's engine keeps outside of memory contexts (until 15). */
static void
free_server_regex(void *engine)
{
	pg_regfree(&((ServerRegex *) engine)->regex);
}

/* Answers of the engine, other than yes and no. */
pg_noreturn static void
engine_failed(int code, const pg_regex_t *regex)
{
	char		message[100];

	CHECK_FOR_INTERRUPTS();		/* until 15 a cancel is answered */
	pg_regerror(code, regex, message, sizeof(message));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
			 errmsg("regular expression failed: %s", message)));
}

/* Have the server compile a pattern, which is kept; false where it is too complex. */
static bool
compile_engine(Pattern *pattern, const Regex *regex)
{
	Size		len;
	pg_wchar   *text = write_server_regex(regex, &len);
	MemoryContext old = MemoryContextSwitchTo(pattern->context);
	ServerRegex *engine = palloc0(sizeof(ServerRegex));
	int			code = pg_regcomp(&engine->regex, text, len, REG_ADVANCED | REG_NOSUB, C_COLLATION_OID);

	MemoryContextSwitchTo(old);
	pfree(text);
	if (code == REG_ETOOBIG || code == REG_ECOLORS || code == REG_ESPACE)
	{
		pfree(engine);
		return false;
	}
	if (code != REG_OKAY)
		engine_failed(code, &engine->regex);
	engine->callback.func = free_server_regex;
	engine->callback.arg = engine;
	MemoryContextRegisterResetCallback(pattern->context, &engine->callback);
	pattern->engine = engine;
	return true;
}

/* The literal of "^(?!literal)", if the pattern begins so; its length, or 0. */
static int
forbidden_beginning(const Regex *regex, char *literal, int room)
{
	const Regex *look = regex->kind == REGEX_SEQUENCE && regex->child && regex->child->kind == REGEX_BEGIN ?
	regex->child->next : NULL;
	int			len = 0;

	if (look == NULL || look->kind != REGEX_LOOK || look->behind || !look->negative ||
		look->child->kind != REGEX_SEQUENCE)
		return 0;
	for (const Regex *c = look->child->child; c; c = c->next)
	{
		if (c->kind != REGEX_SET || c->count != 1 || c->ranges[0].low != c->ranges[0].high ||
			c->ranges[0].low > 0x7F || len == room)
			return 0;
		literal[len++] = (char) c->ranges[0].low;
	}
	return len;
}

/* Make what a pattern is found by without the server's engine. */
static void
prepare_pattern(Pattern *pattern, Regex *regex)
{
	MemoryContext old = MemoryContextSwitchTo(pattern->context);
	char		literal[256];

	pattern->prepared = true;
	pattern->not_first.len = forbidden_beginning(regex, literal, sizeof(literal));
	if (pattern->not_first.len > 0)
	{
		Regex	   *begin = regex->child;

		pattern->not_first.data = memcpy(palloc(pattern->not_first.len), literal, pattern->not_first.len);
		begin->next = begin->next->next;
		pattern->only_that = begin->next == NULL;
	}
	if (!pattern->only_that)
		pattern->automaton = make_automaton(regex, pattern->budget);
	MemoryContextSwitchTo(old);
}

/* How many ranges have the sets of a pattern that are of more than one character? */
static uint64
count_ranges(const Regex *regex)
{
	uint64		count = 0;

	check_stack_depth();
	if (regex->kind == REGEX_SET)
		return regex->count == 1 && regex->ranges[0].low == regex->ranges[0].high ? 0 : regex->count;
	for (const Regex *child = regex->child; child; child = child->next)
		count += count_ranges(child);
	return count;
}

/* Will the server surely not find a pattern too complex? */
static bool
is_surely_possible(const Regex *regex)
{
	return regex->size <= SURELY_POSSIBLE && regex->size * count_ranges(regex) <= SURELY_POSSIBLE_ARCS;
}

/* A short-lived context for the tree of a pattern. */
static MemoryContext
tree_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "esgf_stac pattern", ALLOCSET_SMALL_SIZES);
}

/*
 * A pattern of a schema, in the current context. *problem, where not NULL, says
 * why there can be none.
 */
Pattern *
make_pattern(JsonKey source, const Place *place, uint64 *budget, const char **problem)
{
	Pattern    *pattern = palloc0(sizeof(Pattern));
	MemoryContext context = tree_context();
	MemoryContext old = MemoryContextSwitchTo(context);
	Regex	   *regex;

	pattern->context = old;
	pattern->source = source;
	pattern->place = place;
	pattern->budget = budget;
	regex = read_regex(source, problem);
	if (*problem == NULL && !is_surely_possible(regex) && !compile_engine(pattern, regex))
		*problem = "is too complex for the server's regular expressions";
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return pattern;
}

/* Read a pattern again: to prepare it, or for the server's engine. */
static void
read_again(Pattern *pattern, bool for_engine)
{
	MemoryContext context = tree_context();
	MemoryContext old = MemoryContextSwitchTo(context);
	const char *problem;
	Regex	   *regex = read_regex(pattern->source, &problem);

	if (!for_engine)
		prepare_pattern(pattern, regex);
	else if (!compile_engine(pattern, regex))
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_SCHEMA), errtable_of("schema"),
				 errmsg("schema is not well-formed, or asks what is not implemented"),
				 errdetail_place(pattern->place, "pattern is too complex for the server's regular expressions")));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Have the server's engine look for a pattern. */
static bool
engine_finds(Pattern *pattern, const JsonbSlice *string)
{
	Size		count;
	pg_wchar   *text;
	int			code;

	if (pattern->engine == NULL)
		read_again(pattern, true);
	text = code_points(string->data, string->len, &count);
	code = pg_regexec(&pattern->engine->regex, text, count, 0, NULL, 0, NULL, 0);
	pfree(text);
	if (code != REG_OKAY && code != REG_NOMATCH)
		engine_failed(code, &pattern->engine->regex);
	return code == REG_OKAY;
}

/* Is a pattern found in a string? */
bool
pattern_found(Pattern *pattern, const JsonbSlice *string)
{
	Verdict		verdict = VERDICT_UNKNOWN;

	if (!pattern->prepared)
		read_again(pattern, false);
	if (pattern->not_first.len > 0 && string->len >= (uint32) pattern->not_first.len &&
		memcmp(string->data, pattern->not_first.data, pattern->not_first.len) == 0)
		return false;
	if (pattern->only_that)
		return true;
	if (pattern->automaton)
		verdict = run_automaton(pattern->automaton, string->data, string->len);
	return verdict == VERDICT_UNKNOWN ? engine_finds(pattern, string) : verdict == VERDICT_YES;
}
