/*
 * documents.c
 *		Fuzzers of the document functions, for scripts/fuzz: libFuzzer within a
 *		backend in single-user mode, since they need its numbers and its errors.
 *
 *		SELECT fuzz('merge_patch', 'OPTION...')
 *
 * recipe		the fuzzer's bytes, each of which chooses what comes next in a
 *				document: whatever they are, JSON comes out, so that no run is
 *				spent on the server's parser.
 *
 * What must hold of every result: it is what the server would have written,
 * byte for byte; arguments are as they were; a patch applied twice, or a diff
 * applied to its source, is what their RFCs say; a schema's verdict and its
 * problems agree.
 */
#include "postgres.h"

#include <sys/mman.h>

#include "base/compat.h"
#include "fmgr.h"
#include "json/json_patch.h"
#include "lib/stringinfo.h"
#include "schema/judge.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#define DEPTH_MAX	12
#define TEXT_MAX	(16 * 1024) /* of a patched document */
#define MANY		40			/* more than jsonb has lengths between two
								 * offsets */

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv, int (*run) (const uint8 *data, size_t size));

typedef struct Recipe
{
	const uint8 *next;
	const uint8 *end;
} Recipe;

typedef void (*Target) (Recipe *recipe);

static Target target;
static MemoryContext run_memory;

/* ---- memory of the functions under test: see arena.h ---- */

#define PAGE		4096
#define SLOT		(16 * PAGE) /* its last page is closed */
#define SLOT_COUNT	4096

extern void *arena_alloc(Size size);
extern void *arena_alloc0(Size size);
extern void *arena_realloc(void *chunk, Size size);
extern void arena_free(void *chunk);

static char *arena;
static uint32 slots_taken;

/* Lay the slots out, once. */
static void
make_arena(void)
{
	arena = mmap(NULL, (size_t) SLOT * SLOT_COUNT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		elog(FATAL, "no memory for the arena");
	for (uint32 i = 0; i < SLOT_COUNT; i++)
		mprotect(arena + (size_t) SLOT * i + SLOT - PAGE, PAGE, PROT_NONE);
}

/* A chunk that ends, rounded up to four bytes, at a closed page. */
void *
arena_alloc(Size size)
{
	char	   *chunk;

	if (size > SLOT - PAGE || slots_taken == SLOT_COUNT)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("the arena is too small")));
	chunk = arena + (size_t) SLOT * slots_taken++ + SLOT - PAGE - INTALIGN(size);
	memset(chunk, 0x7F, size);
	return chunk;
}

void *
arena_alloc0(Size size)
{
	return memset(arena_alloc(size), 0, size);
}

/* Whatever stood between the chunk and its slot's end is copied, or as much as fits. */
void *
arena_realloc(void *chunk, Size size)
{
	Size		old = SLOT - PAGE - ((char *) chunk - arena) % SLOT;

	return memcpy(arena_alloc(size), chunk, Min(old, size));
}

void
arena_free(void *chunk)
{
	memset(chunk, 0x7E, SLOT - PAGE - ((char *) chunk - arena) % SLOT);
}

/* ---- documents from a recipe ---- */

static const char *const words[] = {"", "a", "b", "c", "aa", "~", "/", "0", "-", "\\u00e9", "a/b", "path", "alternate", "x~1y"};
static const char *const tokens[] = {"", "a", "b", "c", "aa", "~0", "~1", "0", "-", "\\u00e9", "a~1b", "1", "2", "01", "~", "99999999999"};
static const char *const numbers[] = {"0", "1", "1.0", "-1", "1e3", "0.10", "123456789012345678901234567890", "1e-20"};
static const char *const kinds[] = {"add", "remove", "replace", "move", "copy", "test", "adb"};

/* The next choice of "count"; the first one behind the recipe's end. */
static uint32
choose(Recipe *recipe, uint32 count)
{
	return recipe->next < recipe->end ? *recipe->next++ % count : 0;
}

#define CHOICE(recipe, list) ((list)[choose((recipe), lengthof(list))])

static void append_value(StringInfo json, Recipe *recipe, int depth);

static void
append_children(StringInfo json, Recipe *recipe, int depth, bool object)
{
	uint32		count = choose(recipe, 8);

	if (count == 7)
		count = MANY;
	for (uint32 i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(json, ',');
		if (object && count == MANY)
			appendStringInfo(json, "\"%u\":", i);
		else if (object)
			appendStringInfo(json, "\"%s\":", CHOICE(recipe, words));
		append_value(json, recipe, depth + 1);
	}
}

static void
append_value(StringInfo json, Recipe *recipe, int depth)
{
	uint32		kind = choose(recipe, depth < DEPTH_MAX ? 10 : 5);

	switch (kind)
	{
		case 0:
			appendStringInfoString(json, "null");
			break;
		case 1:
			appendStringInfoString(json, choose(recipe, 2) ? "true" : "false");
			break;
		case 2:
			appendStringInfoString(json, CHOICE(recipe, numbers));
			break;
		case 3:
		case 4:
			appendStringInfo(json, "\"%s\"", CHOICE(recipe, words));
			break;
		case 5:
		case 6:
			appendStringInfoChar(json, '[');
			append_children(json, recipe, depth, false);
			appendStringInfoChar(json, ']');
			break;
		default:
			appendStringInfoChar(json, '{');
			append_children(json, recipe, depth, true);
			appendStringInfoChar(json, '}');
	}
}

static void
append_pointer(StringInfo json, Recipe *recipe)
{
	appendStringInfoChar(json, '"');
	for (uint32 count = choose(recipe, 4); count > 0; count--)
		appendStringInfo(json, "/%s", CHOICE(recipe, tokens));
	appendStringInfoChar(json, '"');
}

static void
append_operations(StringInfo json, Recipe *recipe)
{
	uint32		count = choose(recipe, 12);

	appendStringInfoChar(json, '[');
	for (uint32 i = 0; i < count; i++)
	{
		const char *kind = CHOICE(recipe, kinds);

		appendStringInfo(json, "%s{\"op\":\"%s\",\"path\":", i > 0 ? "," : "", kind);
		append_pointer(json, recipe);
		if (kind[0] == 'm' || kind[0] == 'c')
		{
			appendStringInfoString(json, ",\"from\":");
			append_pointer(json, recipe);
		}
		else if (strcmp(kind, "remove") != 0)
		{
			appendStringInfoString(json, ",\"value\":");
			append_value(json, recipe, 1);
		}
		appendStringInfoChar(json, '}');
	}
	appendStringInfoChar(json, ']');
}

static const char *const types[] = {"null", "boolean", "integer", "number", "string", "array", "object", "text"};
static const char *const patterns[] = {"a", "^a", "b$", "^(?!a)", "[ab]*c", "(a|b){2,}", "\\\\bx", "(?<=a).", "\u00e9", "^$", "(", "a{300}"};
static const char *const references[] = {"#", "#/properties/a", "#/items", "#/allOf/0", "#/definitions/b", "b", "#a", "#/~2"};

static void append_schema(StringInfo json, Recipe *recipe, int depth);

static void
append_schemas(StringInfo json, Recipe *recipe, int depth, bool object)
{
	for (uint32 count = 1 + choose(recipe, 3); count > 0; count--)
	{
		if (object)
			appendStringInfo(json, "\"%s\":", CHOICE(recipe, words));
		append_schema(json, recipe, depth + 1);
		if (count > 1)
			appendStringInfoChar(json, ',');
	}
}

/* Append a keyword, which may stand there already: the last one counts. */
static void
append_keyword(StringInfo json, Recipe *recipe, int depth)
{
	static const char *const of_schema[] = {"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"};
	static const char *const of_schemas[] = {"allOf", "anyOf", "oneOf", "items"};
	static const char *const of_members[] = {"properties", "patternProperties", "definitions", "dependencies"};
	static const char *const of_number[] = {"minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxProperties"};

	switch (choose(recipe, 10))
	{
		case 0:
			appendStringInfo(json, "\"type\":\"%s\"", CHOICE(recipe, types));
			break;
		case 1:
			appendStringInfo(json, "\"pattern\":\"%s\"", CHOICE(recipe, patterns));
			break;
		case 2:
			appendStringInfo(json, "\"$ref\":\"%s\"", CHOICE(recipe, references));
			break;
		case 3:
			appendStringInfo(json, "\"required\":[\"%s\"],\"uniqueItems\":true", CHOICE(recipe, words));
			break;
		case 4:
			appendStringInfo(json, "\"%s\":%s", CHOICE(recipe, of_number), CHOICE(recipe, numbers));
			break;
		case 5:
			appendStringInfoString(json, "\"enum\":[");
			append_children(json, recipe, DEPTH_MAX - 1, false);
			appendStringInfoString(json, "]");
			break;
		case 6:
			appendStringInfoString(json, "\"const\":");
			append_value(json, recipe, DEPTH_MAX - 1);
			break;
		case 7:
			appendStringInfo(json, "\"%s\":", CHOICE(recipe, of_schema));
			append_schema(json, recipe, depth + 1);
			break;
		case 8:
			appendStringInfo(json, "\"%s\":[", CHOICE(recipe, of_schemas));
			append_schemas(json, recipe, depth, false);
			appendStringInfoChar(json, ']');
			break;
		default:
			appendStringInfo(json, "\"%s\":{", CHOICE(recipe, of_members));
			append_schemas(json, recipe, depth, true);
			appendStringInfoChar(json, '}');
	}
}

static void
append_schema(StringInfo json, Recipe *recipe, int depth)
{
	uint32		count = depth < DEPTH_MAX ? choose(recipe, 5) : 0;

	if (count == 4)
	{
		appendStringInfoString(json, choose(recipe, 2) ? "true" : "false");
		return;
	}
	appendStringInfoChar(json, '{');
	for (uint32 i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(json, ',');
		append_keyword(json, recipe, depth);
	}
	appendStringInfoChar(json, '}');
}

static Jsonb *
parse(const char *json)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

/* A copy of exactly its size, in which no byte can be read too far unseen. */
static Jsonb *
exact_copy(const Jsonb *document)
{
	return memcpy(arena_alloc(VARSIZE(document)), document, VARSIZE(document));
}

static Jsonb *
make_document(Recipe *recipe)
{
	StringInfoData json;

	initStringInfo(&json);
	append_value(&json, recipe, 0);
	return exact_copy(parse(json.data));
}

/* ---- what must hold ---- */

static void
must(bool holds, const char *rule)
{
	if (!holds)
	{
		fprintf(stderr, "fuzz: not so: %s\n", rule);
		abort();
	}
}

static bool
same_bytes(const Jsonb *a, const Jsonb *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

static void
must_be_canonical(Jsonb *document)
{
	char	   *json = JsonbToCString(NULL, &document->root, VARSIZE(document));

	must(same_bytes(document, parse(json)), "a result is what the server would write");
}

static void
fuzz_merge_patch(Recipe *recipe)
{
	Jsonb	   *source = make_document(recipe);
	Jsonb	   *patch = make_document(recipe);
	Jsonb	   *source_before = exact_copy(source);
	Jsonb	   *patch_before = exact_copy(patch);
	Jsonb	   *result = merge_patch(source, patch);

	must_be_canonical(result);
	must(same_bytes(source, source_before) && same_bytes(patch, patch_before), "arguments stay as they are");
	must(same_bytes(merge_patch(exact_copy(result), patch), result), "a merge patch applied again changes nothing");
}

static void
fuzz_json_patch(Recipe *recipe)
{
	Jsonb	   *source = make_document(recipe);
	Jsonb	   *before = exact_copy(source);
	StringInfoData json;
	Jsonb	   *result;

	initStringInfo(&json);
	append_operations(&json, recipe);
	PG_TRY();
	{
		result = json_patch(source, read_json_patch(exact_copy(parse(json.data)), NULL, NULL), NULL, TEXT_MAX);
		must_be_canonical(result);
	}
	PG_FINALLY();
	{
		must(same_bytes(source, before), "arguments stay as they are");
	}
	PG_END_TRY();
}

static void
fuzz_json_diff(Recipe *recipe)
{
	Jsonb	   *source = make_document(recipe);
	Jsonb	   *wanted = make_document(recipe);
	Jsonb	   *patch = json_diff(source, wanted);

	must_be_canonical(patch);
	must(documents_equal(json_patch(source, read_json_patch(exact_copy(patch), NULL, NULL), NULL, PG_UINT64_MAX / 2), wanted),
		 "a diff makes of its source what it was made for");
}

static void
fuzz_schema(Recipe *recipe)
{
	StringInfoData json;
	Jsonb	   *document;
	Jsonb	   *before;
	JsonbSlice	value;
	SchemaSource source = {0};
	Schema	   *schema;
	ProblemList problems = {0};
	ProblemList again = {0};

	initStringInfo(&json);
	append_schema(&json, recipe, 0);
	document = make_document(recipe);
	before = exact_copy(document);
	source.document = parse(json.data);
	source.assert_formats = true;
	schema = compile_schema(&source, CurrentMemoryContext, NULL, NULL);
	slice_of_jsonb(document, &value);
	list_schema_problems(schema, &value, &problems);
	must(schema_allows(schema, &value) == (problems.count == 0), "whatever is not allowed has a problem");
	list_schema_problems(schema, &value, &again);
	must(again.count == problems.count, "what was made at first use finds the same");
	must(same_bytes(document, before), "a document stays as it is");
}

/* One run: a refusal is an answer, any other error a finding. */
static int
run_target(const uint8 *data, size_t size)
{
	Recipe		recipe = {data, data + size};
	MemoryContext old = MemoryContextSwitchTo(run_memory);

	PG_TRY();
	{
		target(&recipe);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(run_memory);
		error = CopyErrorData();
		FlushErrorState();
		if (error->sqlerrcode != ERRCODE_OUT_OF_MEMORY && strncmp(unpack_sql_state(error->sqlerrcode), "PT4", 3) != 0)
		{
			fprintf(stderr, "fuzz: %s: %s\n", unpack_sql_state(error->sqlerrcode), error->message);
			abort();
		}
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(run_memory);
	slots_taken = 0;
	return 0;
}

/* Split the options at blanks, as the fuzzer's driver takes them. */
static char **
split_options(char *options, int *count)
{
	char	  **list = palloc(sizeof(char *) * (strlen(options) + 2));

	*count = 0;
	list[(*count)++] = "fuzz";
	for (char *option = strtok(options, " "); option; option = strtok(NULL, " "))
		list[(*count)++] = option;
	list[*count] = NULL;
	return list;
}

/* fuzz(target text, options text): does not return, the driver ends the process */
PG_FUNCTION_INFO_V1(fuzz);
Datum
fuzz(PG_FUNCTION_ARGS)
{
	static const struct
	{
		const char *name;
		Target		run;
	}			targets[] = {
		{"merge_patch", fuzz_merge_patch},
		{"json_patch", fuzz_json_patch},
		{"json_diff", fuzz_json_diff},
		{"schema", fuzz_schema},
	};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			argc;
	char	  **argv = split_options(text_to_cstring(PG_GETARG_TEXT_PP(1)), &argc);

	for (size_t i = 0; i < lengthof(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			target = targets[i].run;
	if (target == NULL)
		elog(ERROR, "there is no target \"%s\"", name);
	make_arena();
	run_memory = AllocSetContextCreate(TopMemoryContext, "fuzz", ALLOCSET_DEFAULT_SIZES);
	PG_RETURN_INT32(LLVMFuzzerRunDriver(&argc, &argv, run_target));
}
