/*
 * schema/automaton.c
 *		A pattern as a deterministic automaton: see schema/automaton.h.
 *
 * program		the pattern as instructions: take a character of a set, go on at
 *				one of two places, be at an end of the string.
 * state		the set of instructions at which a match may stand, each one that
 *				takes a character or the string's end. The search is unanchored:
 *				at each character a match may also begin.
 * class		characters that no instruction tells from one another: a state has
 *				a step for each class, so that a whole automaton fits into the
 *				processor's cache.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "schema/automaton.h"

#define PROGRAM_MAX		2000
#define STATES_MAX		2048
#define ASCII			128
#define RUN_BLOCK		65536	/* characters between two looks for a cancel */

/* The first states; the third is where a string begins. */
#define STATE_NO		0
#define STATE_YES		1
#define STATE_START		2
#define STATE_UNMADE	PG_UINT32_MAX

typedef enum Operation
{
	OP_TAKE,
	OP_SPLIT,
	OP_BEGIN,
	OP_END,
	OP_MATCH
} Operation;

typedef struct Instruction
{
	uint8		operation;
	uint16		next;
	uint16		other;			/* of OP_SPLIT */
	uint64		set[ASCII / 64];
} Instruction;

typedef struct State
{
	uint16	   *places;
	uint16		count;
	bool		good_end;		/* may the string end here? */
	uint32		hash;
} State;

struct Automaton
{
	MemoryContext context;
	uint64	   *budget;			/* bytes that all automata of a schema may
								 * still take */
	Instruction *program;
	uint32		length;
	State	   *states;
	uint32	   *steps;			/* of each state, one for each class: where
								 * those of the next state begin */
	uint8		class_of[PG_UINT8_MAX + 1];
	uint32		classes;		/* the last is that of all beyond ASCII, where
								 * no state has a step */
	uint32		count;
	uint32		room;
	uint32	   *marks;			/* of each instruction: when it was last
								 * reached */
	uint32		mark;
	uint16	   *stack;
	uint16	   *reached;
	const char *beginning;		/* what every match begins with, and the
								 * string too */
	int			beginning_len;
	uint32		after_beginning;	/* the state there; STATE_UNMADE before it
									 * was needed */
	int			length_fixed;	/* of every string that matches, of which each
								 * character has a set of its own; -1: no such
								 * pattern */
};

/* ---- the program ---- */

typedef struct Assembler
{
	Instruction *program;
	uint32		length;
	bool		failed;
} Assembler;

static void assemble(Assembler *assembler, const Regex *regex);

/* Append an instruction, after which the next one follows. */
static uint32
append_instruction(Assembler *assembler, Operation operation)
{
	Instruction *instruction;

	if (assembler->length == PROGRAM_MAX)
	{
		assembler->failed = true;
		return 0;
	}
	instruction = &assembler->program[assembler->length];
	memset(instruction, 0, sizeof(Instruction));
	instruction->operation = operation;
	instruction->next = assembler->length + 1;
	return assembler->length++;
}

static void
assemble_set(Assembler *assembler, const Regex *set)
{
	Instruction *take = &assembler->program[append_instruction(assembler, OP_TAKE)];

	for (uint32 i = 0; i < set->count; i++)
		for (pg_wchar c = set->ranges[i].low; c <= set->ranges[i].high && c < ASCII; c++)
			take->set[c / 64] |= UINT64CONST(1) << (c % 64);
}

static void
assemble_repeat(Assembler *assembler, const Regex *repeat)
{
	uint32		from = assembler->length;
	uint32		split;

	for (uint32 i = 0; i < repeat->min && !assembler->failed; i++)
		assemble(assembler, repeat->child);
	if (repeat->max == REPEAT_FOREVER)
	{
		split = append_instruction(assembler, OP_SPLIT);
		assemble(assembler, repeat->child);
		from = append_instruction(assembler, OP_SPLIT);
		assembler->program[from].next = assembler->program[from].other = split;
		assembler->program[split].other = assembler->length;
		return;
	}
	for (uint32 i = repeat->min; i < repeat->max && !assembler->failed; i++)
	{
		split = append_instruction(assembler, OP_SPLIT);
		assemble(assembler, repeat->child);
		assembler->program[split].other = assembler->length;
	}
}

/* One of several: each but the last has a way past it. */
static void
assemble_choice(Assembler *assembler, const Regex *child)
{
	uint32		split;
	uint32		leave;

	check_stack_depth();
	if (child->next == NULL)
	{
		assemble(assembler, child);
		return;
	}
	split = append_instruction(assembler, OP_SPLIT);
	assemble(assembler, child);
	leave = append_instruction(assembler, OP_SPLIT);
	assembler->program[split].other = assembler->length;
	if (!assembler->failed)
		assemble_choice(assembler, child->next);
	assembler->program[leave].next = assembler->program[leave].other = assembler->length;
}

static void
assemble(Assembler *assembler, const Regex *regex)
{
	check_stack_depth();
	switch (regex->kind)
	{
		case REGEX_SET:
			assemble_set(assembler, regex);
			break;
		case REGEX_SEQUENCE:
			for (const Regex *child = regex->child; child && !assembler->failed; child = child->next)
				assemble(assembler, child);
			break;
		case REGEX_CHOICE:
			assemble_choice(assembler, regex->child);
			break;
		case REGEX_REPEAT:
			assemble_repeat(assembler, regex);
			break;
		case REGEX_BEGIN:
			append_instruction(assembler, OP_BEGIN);
			break;
		case REGEX_END:
			append_instruction(assembler, OP_END);
			break;
		default:
			assembler->failed = true;
			break;
	}
}

/* ---- the classes ---- */

/* Split classes so that a set has the whole or nothing of each. */
static void
split_classes(Automaton *automaton, const uint64 *set, uint8 *sizes)
{
	uint8		inside[ASCII] = {0};
	uint8		new_class[ASCII] = {0};

	for (int half = 0; half < ASCII / 64; half++)
		for (uint64 rest = set[half]; rest != 0; rest &= rest - 1)
			inside[automaton->class_of[half * 64 + pg_rightmost_one_pos64(rest)]]++;
	for (int half = 0; half < ASCII / 64; half++)
	{
		for (uint64 rest = set[half]; rest != 0; rest &= rest - 1)
		{
			uint8	   *class = &automaton->class_of[half * 64 + pg_rightmost_one_pos64(rest)];
			uint8		old = *class;

			if (new_class[old] == 0)
			{
				if (inside[old] == sizes[old])
					continue;
				new_class[old] = automaton->classes++;
			}
			*class = new_class[old];
			sizes[*class]++;
		}
	}
	for (int i = 0; i < ASCII; i++)
		if (new_class[i] != 0)
			sizes[i] -= inside[i];
}

/* Find the classes that the sets of a program leave. */
static void
find_classes(Automaton *automaton)
{
	uint8		sizes[ASCII] = {ASCII};

	automaton->classes = 1;
	for (uint32 i = 0; i < automaton->length; i++)
		if (automaton->program[i].operation == OP_TAKE)
			split_classes(automaton, automaton->program[i].set, sizes);
	memset(automaton->class_of + ASCII, automaton->classes, sizeof(automaton->class_of) - ASCII);
	automaton->classes++;
}

/* ---- the states ---- */

/* Take so many bytes from what automata may have. */
static bool
spend(Automaton *automaton, uint64 bytes)
{
	if (bytes > *automaton->budget)
		return false;
	*automaton->budget -= bytes;
	return true;
}

/*
 * Add to automaton->reached all that can be reached from an instruction without
 * a character; returns whether a match is among it.
 */
static bool
reach(Automaton *automaton, uint16 from, bool at_begin, bool at_end, uint32 *count)
{
	uint16	   *stack = automaton->stack;
	uint32		depth = 0;
	bool		match = false;

	stack[depth++] = from;
	while (depth > 0)
	{
		uint16		place = stack[--depth];
		const Instruction *instruction = &automaton->program[place];

		if (automaton->marks[place] == automaton->mark)
			continue;
		automaton->marks[place] = automaton->mark;
		switch ((Operation) instruction->operation)
		{
			case OP_MATCH:
				match = true;
				break;
			case OP_SPLIT:
				stack[depth++] = instruction->other;
				stack[depth++] = instruction->next;
				break;
			case OP_BEGIN:
				if (at_begin)
					stack[depth++] = instruction->next;
				break;
			case OP_END:
				if (at_end)
					stack[depth++] = instruction->next;
				automaton->reached[(*count)++] = place;
				break;
			case OP_TAKE:
				automaton->reached[(*count)++] = place;
				break;
		}
	}
	return match;
}

static int
compare_places(const void *a, const void *b)
{
	return (int) *(const uint16 *) a - (int) *(const uint16 *) b;
}

/* May a string end where a match stands at these places? */
static bool
is_good_end(Automaton *automaton, const uint16 *places, uint32 count, bool at_begin)
{
	bool		match = false;
	uint32		ignored = 0;

	automaton->mark++;
	for (uint32 i = 0; i < count && !match; i++)
		if (automaton->program[places[i]].operation == OP_END)
			match = reach(automaton, places[i], at_begin, true, &ignored);
	return match;
}

/* Make a state of places, which are sorted; STATE_UNMADE where there is no room. */
static uint32
make_state(Automaton *automaton, const uint16 *places, uint32 count, bool at_begin)
{
	State	   *state;

	if (automaton->count == STATES_MAX || !spend(automaton, sizeof(uint32) * automaton->classes + sizeof(uint16) * count + sizeof(State)))
		return STATE_UNMADE;
	if (automaton->count == automaton->room)
	{
		automaton->states = repalloc(automaton->states, sizeof(State) * automaton->room * 2);
		automaton->steps = repalloc(automaton->steps, sizeof(uint32) * automaton->classes * automaton->room * 2);
		automaton->room *= 2;
	}
	state = &automaton->states[automaton->count];
	state->places = MemoryContextAlloc(automaton->context, sizeof(uint16) * Max(count, 1));
	for (uint32 i = 0; i < count; i++)
		state->places[i] = places[i];
	state->count = count;
	state->hash = hash_bytes((const unsigned char *) state->places, sizeof(uint16) * count);
	state->good_end = is_good_end(automaton, state->places, count, at_begin);
	memset(&automaton->steps[automaton->count * automaton->classes], 0xFF, sizeof(uint32) * automaton->classes);
	return automaton->count++;
}

/* The state of the places in automaton->reached. */
static uint32
find_state(Automaton *automaton, uint32 count)
{
	uint16	   *places = automaton->reached;
	uint32		hash;

	if (count == 0)
		return STATE_NO;
	qsort(places, count, sizeof(uint16), compare_places);
	hash = hash_bytes((const unsigned char *) places, sizeof(uint16) * count);
	for (uint32 i = STATE_START + 1; i < automaton->count; i++)
	{
		const State *state = &automaton->states[i];

		if (state->hash == hash && state->count == count &&
			memcmp(state->places, places, sizeof(uint16) * count) == 0)
			return i;
	}
	return make_state(automaton, places, count, false);
}

/* Where a character leads from a state: find the steps there, and note it. */
static uint32
step(Automaton *automaton, uint32 from, unsigned char c)
{
	uint32		count = 0;
	bool		match = false;
	uint32		to;

	CHECK_FOR_INTERRUPTS();
	automaton->mark++;
	for (uint32 i = 0; i < automaton->states[from].count && !match; i++)
	{
		const Instruction *take = &automaton->program[automaton->states[from].places[i]];

		if (take->operation == OP_TAKE && (take->set[c / 64] >> (c % 64)) & 1)
			match = reach(automaton, take->next, false, false, &count);
	}
	match = match || reach(automaton, 0, false, false, &count);
	to = match ? STATE_YES : find_state(automaton, count);
	if (to != STATE_UNMADE)
		to *= automaton->classes;
	automaton->steps[from * automaton->classes + automaton->class_of[c]] = to;
	return to;
}

/* Make the first three states. */
static bool
make_first_states(Automaton *automaton)
{
	uint32		count = 0;
	bool		match;

	find_classes(automaton);
	automaton->room = 16;
	automaton->states = palloc(sizeof(State) * automaton->room);
	automaton->steps = palloc(sizeof(uint32) * automaton->classes * automaton->room);
	automaton->stack = palloc(sizeof(uint16) * (2 * automaton->length + 2));
	automaton->reached = palloc(sizeof(uint16) * (automaton->length + 1));
	automaton->marks = palloc0(sizeof(uint32) * automaton->length);

	if (make_state(automaton, NULL, 0, false) == STATE_UNMADE ||
		make_state(automaton, NULL, 0, false) == STATE_UNMADE)
		return false;
	automaton->mark++;
	match = reach(automaton, 0, true, false, &count);
	qsort(automaton->reached, count, sizeof(uint16), compare_places);
	if (make_state(automaton, automaton->reached, count, true) == STATE_UNMADE)
		return false;

	/* Any string will do: the state stands for that. */
	if (match)
		for (uint32 i = 0; i < automaton->classes; i++)
			automaton->steps[STATE_START * automaton->classes + i] = STATE_YES * automaton->classes;
	automaton->states[STATE_START].good_end |= match;
	return true;
}

/* Note the literal with which a pattern begins that can match at a string's beginning only. */
static void
find_beginning(Automaton *automaton, const Regex *regex)
{
	char	   *literal;
	int			len = 0;

	automaton->beginning = "";
	if (regex->kind != REGEX_SEQUENCE || regex->child == NULL || regex->child->kind != REGEX_BEGIN)
		return;
	literal = palloc(ASCII);
	for (const Regex *c = regex->child->next; c && len < ASCII; c = c->next)
	{
		if (c->kind != REGEX_SET || c->count != 1 || c->ranges[0].low != c->ranges[0].high || c->ranges[0].low >= ASCII)
			break;
		literal[len++] = (char) c->ranges[0].low;
	}
	automaton->beginning = literal;
	automaton->beginning_len = len;
	automaton->after_beginning = STATE_UNMADE;
}

/* How long are all strings that match? -1: not known from the program, of characters between the string's ends. */
static int
find_fixed_length(const Automaton *automaton)
{
	int			takes = (int) automaton->length - 3;

	if (takes < 0 || automaton->program[0].operation != OP_BEGIN || automaton->program[takes + 1].operation != OP_END)
		return -1;
	for (int i = 1; i <= takes; i++)
		if (automaton->program[i].operation != OP_TAKE)
			return -1;
	return takes;
}

/* The automaton of a pattern, in the current context; NULL where there can be none. */
Automaton *
make_automaton(const Regex *regex, uint64 *budget)
{
	Assembler	assembler = {palloc(sizeof(Instruction) * PROGRAM_MAX)};
	Automaton  *automaton = NULL;

	assemble(&assembler, regex);
	append_instruction(&assembler, OP_MATCH);
	if (!assembler.failed)
	{
		automaton = palloc0(sizeof(Automaton));
		automaton->context = CurrentMemoryContext;
		automaton->budget = budget;
		automaton->length = assembler.length;
		automaton->program = palloc(sizeof(Instruction) * assembler.length);
		memcpy(automaton->program, assembler.program, sizeof(Instruction) * assembler.length);
		find_beginning(automaton, regex);
		automaton->length_fixed = find_fixed_length(automaton);
		if (!spend(automaton, (sizeof(Instruction) + 10) * assembler.length) || !make_first_states(automaton))
			automaton = NULL;
	}
	pfree(assembler.program);
	return automaton;
}

/* Run on from a state, given by its steps; the last one, STATE_UNMADE where nobody knows. */
static uint32
run_on(Automaton *automaton, uint32 state, const unsigned char *next, const unsigned char *end)
{
	const uint32 first_open = (STATE_YES + 1) * automaton->classes;
	const uint8 *class_of = automaton->class_of;

	while (next < end)
	{
		const unsigned char *block = next + Min(end - next, RUN_BLOCK);
		const uint32 *steps = automaton->steps;

		CHECK_FOR_INTERRUPTS();
		for (; next < block; next++)
		{
			uint32		to = steps[state + class_of[*next]];

			/* Most steps are made, and lead neither to yes nor to no. */
			if (unlikely(to - first_open >= STATE_UNMADE - first_open))
			{
				if (to == STATE_UNMADE && *next < ASCII)
					to = step(automaton, state / automaton->classes, *next);
				if (to == STATE_UNMADE || to < first_open)
					return to;
				steps = automaton->steps;
			}
			state = to;
		}
	}
	return state;
}

/* Is a pattern of a fixed length found? No character waits for the one before, as in a walk from state to state. */
static Verdict
match_fixed(const Automaton *automaton, const unsigned char *string, int len)
{
	const Instruction *take = automaton->program + 1;

	if (len < automaton->length_fixed || memcmp(string, automaton->beginning, automaton->beginning_len) != 0)
		return VERDICT_NO;
	for (int i = automaton->beginning_len; i < automaton->length_fixed; i++)
	{
		if (string[i] >= ASCII)
			return VERDICT_UNKNOWN;
		if (((take[i].set[string[i] / 64] >> (string[i] % 64)) & 1) == 0)
			return VERDICT_NO;
	}
	return len == automaton->length_fixed ? VERDICT_YES : VERDICT_NO;
}

/* Is the pattern found in a string? */
Verdict
run_automaton(Automaton *automaton, const char *data, int len)
{
	const unsigned char *string = (const unsigned char *) data;
	int			done = automaton->beginning_len;
	uint32		state = STATE_START * automaton->classes;

	if (automaton->length_fixed >= 0)
		return match_fixed(automaton, string, len);
	if (done > 0)
	{
		if (len < done || memcmp(data, automaton->beginning, done) != 0)
			return VERDICT_NO;
		if (automaton->after_beginning == STATE_UNMADE)
			automaton->after_beginning = run_on(automaton, state, string, string + done);
		state = automaton->after_beginning;
	}
	if (state > STATE_YES * automaton->classes && state != STATE_UNMADE)
		state = run_on(automaton, state, string + done, string + len);
	if (state == STATE_UNMADE)
		return VERDICT_UNKNOWN;
	return state > 0 && (state == STATE_YES * automaton->classes || automaton->states[state / automaton->classes].good_end) ?
		VERDICT_YES : VERDICT_NO;
}
