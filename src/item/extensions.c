/*
 * item/extensions.c
 *		The extensions that an item declares, and what its collection expects of
 *		them: see item/extensions.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/limits.h"
#include "item/extensions.h"
#include "json/key_table.h"
#include "stac/format.h"

/* A prefix has at most so many bytes, as $id of a schema has; and of them there are at most so many. */
#define PREFIX_MAX		2000
#define EXPECTATIONS_MAX	100

/* ---- versions ---- */

/* Is that a version, v2.0.0 or 2.0? */
static bool
is_version(JsonKey version)
{
	const char *c = version.data;
	const char *end = c + version.len;

	if (c < end && *c == 'v')
		c++;
	do
	{
		const char *digits = c;

		while (c < end && *c >= '0' && *c <= '9')
			c++;
		if (c == digits)
			return false;
	} while (c < end && *c++ == '.');
	return c == end && end[-1] != '.';
}

/* Take the next number of a version, without the zeros before it; behind the last come zeros, which are empty. */
static JsonKey
next_number(JsonKey *version)
{
	const char *end = version->data + version->len;
	const char *c = version->data;
	JsonKey		number;

	if (c < end && (*c == 'v' || *c == '.'))
		c++;
	while (c < end && *c == '0')
		c++;
	number.data = c;
	while (c < end && *c != '.')
		c++;
	number.len = c - number.data;
	*version = (JsonKey) {c, end - c};
	return number;
}

/* Is a version, which may be none, below another? */
static bool
is_below(JsonKey version, JsonKey minimum)
{
	if (!is_version(version))
		return true;
	while (version.len > 0 || minimum.len > 0)
	{
		JsonKey		number = next_number(&version);
		JsonKey		least = next_number(&minimum);
		int			order = compare_keys(number.data, number.len, least.data, least.len);

		if (order != 0)
			return order < 0;
	}
	return false;
}

/* The version of an extension: the first segment behind a prefix that it has. */
static JsonKey
version_behind(JsonKey url, JsonKey prefix)
{
	JsonKey		version = {url.data + prefix.len, url.len - prefix.len};
	const char *slash = memchr(version.data, '/', version.len);

	if (slash)
		version.len = slash - version.data;
	return version;
}

/* ---- expectations ---- */

/* Note where a member is not of its form; what it is goes into an expectation. */
static void
read_member(const MemberCursor *member, Expectation *expectation, const Place *place, ProblemList *problems)
{
	const JsonbSlice *value = &member->value;
	JsonKey		string = slice_key(value);
	bool		is_string = value->type == JENTRY_ISSTRING;

	if (slice_is_string(&member->key, "prefix"))
	{
		if (!is_string || !is_web_url(string.data, string.len) || string.data[string.len - 1] != '/')
			add_problem(problems, place, "must be an http or https URL that ends in \"/\"");
		else if (string.len > PREFIX_MAX)
			add_problem(problems, place, psprintf("must not be longer than %d bytes", PREFIX_MAX));
		expectation->prefix = string;
	}
	else if (slice_is_string(&member->key, "required"))
	{
		if (value->type != JENTRY_ISBOOL_TRUE && value->type != JENTRY_ISBOOL_FALSE)
			add_problem(problems, place, "must be true or false");
		expectation->required = value->type == JENTRY_ISBOOL_TRUE;
	}
	else if (slice_is_string(&member->key, "minimum"))
	{
		if (value->type == JENTRY_ISNULL)
			return;
		if (!is_string || !is_version(string) || string.len > NAME_MAX_LENGTH)
			add_problem(problems, place, "must be a version such as v2.0.0, or null");
		expectation->minimum = string;
	}
	else
		add_problem(problems, place, "is no member of an expectation: prefix, required and minimum are");
}

/* Read one expectation, and note what is wrong with it. */
static void
read_expectation(const JsonbSlice *element, Expectation *expectation, const Place *place, ProblemList *problems)
{
	MemberCursor member;

	memset(expectation, 0, sizeof(*expectation));
	if (!slice_is_object(element))
	{
		add_problem(problems, place, "must be an object");
		return;
	}
	members_init(&member, slice_container(element));
	while (members_next(&member))
	{
		Place		member_place = {place, member.key.data, member.key.len, 0};

		CHECK_FOR_INTERRUPTS();
		read_member(&member, expectation, &member_place, problems);
	}
	if (expectation->prefix.data == NULL)
	{
		Place		prefix_place = MEMBER_PLACE(place, "prefix");

		add_problem(problems, &prefix_place, "is missing");
	}
}

/* Read all expectations of an array, and note what is wrong with them. */
static List *
read_array(const JsonbContainer *array, ProblemList *problems)
{
	Place		schemas_place = MEMBER_PLACE(NULL, "schemas");
	KeyTable   *prefixes = make_key_table();
	List	   *read = NIL;
	JsonbCursor elements;
	JsonbSlice	element;
	bool		found;

	cursor_init(&elements, array, 0);
	while (elements_next(&elements, &element))
	{
		Place		place = {&schemas_place, NULL, 0, elements.index - 1};
		Expectation *expectation = palloc(sizeof(Expectation));

		CHECK_FOR_INTERRUPTS();
		read_expectation(&element, expectation, &place, problems);
		enter_entry(prefixes, expectation->prefix, &found);
		if (found && expectation->prefix.data)
			add_problem(problems, &place, "has the prefix of another one");
		read = lappend(read, expectation);
	}
	return read;
}

/* Refuse what is to be a setting `schemas`, and is none. */
void
check_expectations(const Jsonb *expectations)
{
	ProblemList problems = {0};
	Place		place = MEMBER_PLACE(NULL, "schemas");

	if (!JB_ROOT_IS_ARRAY(expectations) || JB_ROOT_IS_SCALAR(expectations))
		add_problem(&problems, &place, "must be an array, or null");
	else if (JB_ROOT_COUNT(expectations) > EXPECTATIONS_MAX)
		add_problem(&problems, &place, psprintf("must not have more than %d elements", EXPECTATIONS_MAX));
	else
		read_array(&expectations->root, &problems);
	if (problems.count > 0)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("collection"),
				 errmsg("these are no settings of a collection"),
				 errdetail_problems(&problems),
				 errhint("An element of schemas is {\"prefix\": \"https://.../\", \"required\": true, \"minimum\": \"v1.0.0\"}; the last two may be left out.")));
}

/* The expectations of a setting that was checked, or of NULL, which has none. */
List *
read_expectations(const Jsonb *expectations)
{
	ProblemList problems = {0};

	return expectations ? read_array(&expectations->root, &problems) : NIL;
}

/* ---- extensions ---- */

/* Does a URL begin with a prefix? */
static bool
has_prefix(JsonKey url, JsonKey prefix)
{
	return url.len >= prefix.len && memcmp(url.data, prefix.data, prefix.len) == 0;
}

/* A URL without a "#" at its end, which says nothing. */
JsonKey
without_empty_fragment(JsonKey url)
{
	return (JsonKey) {url.data, url.len - (url.len > 0 && url.data[url.len - 1] == '#')};
}

/* What an item declares, as List of Extension: each once, in their order. */
List *
declared_extensions(const Jsonb *document)
{
	const JsonbContainer *array = document_array(&document->root, JSON_PATH(JSON_KEY("stac_extensions")));
	List	   *declared = NIL;
	KeyTable   *urls;
	JsonbCursor elements;
	JsonbSlice	element;
	bool		found;

	if (array == NULL)
		return NIL;
	urls = make_key_table();
	cursor_init(&elements, array, 0);
	while (elements_next(&elements, &element))
	{
		Extension  *extension;
		JsonKey		url;

		CHECK_FOR_INTERRUPTS();
		if (element.type != JENTRY_ISSTRING)
			continue;
		url = without_empty_fragment(slice_key(&element));
		enter_entry(urls, url, &found);
		if (found)
			continue;
		extension = palloc0(sizeof(Extension));
		extension->url = url;
		extension->index = elements.index - 1;
		declared = lappend(declared, extension);
	}
	return declared;
}

/* What is expected of the extension with that URL: the expectation with the longest prefix, or NULL. */
const Expectation *
expectation_of(JsonKey url, const List *expectations)
{
	const Expectation *longest = NULL;
	ListCell   *cell;

	foreach(cell, expectations)
	{
		const Expectation *expectation = lfirst(cell);

		if (has_prefix(url, expectation->prefix) && (longest == NULL || expectation->prefix.len > longest->prefix.len))
			longest = expectation;
	}
	return longest;
}

/* Does an item declare what is expected? */
static bool
is_declared(const Expectation *expectation, const List *extensions)
{
	ListCell   *cell;

	foreach(cell, extensions)
	{
		CHECK_FOR_INTERRUPTS();
		if (has_prefix(((Extension *) lfirst(cell))->url, expectation->prefix))
			return true;
	}
	return false;
}

/* Note a problem with an extension, or, where that is NULL, with all of them. */
static void
add_extension_problem(ProblemList *problems, ProblemKind kind, const Extension *extension, char *detail)
{
	Place		place = MEMBER_PLACE(NULL, "stac_extensions");
	Place		element = {&place, NULL, 0, extension ? extension->index : 0};
	Problem    *problem = add_pointed_problem(problems, place_pointer(extension ? &element : &place), detail);

	if (problem == NULL)
		return;
	problem->slug = problem_facts[kind].slug;
	problem->url = extension ? clip(extension->url.data, extension->url.len) : NULL;
}

/*
 * Note all that is wrong with what an item declares, each with its slug, and
 * answer the kind of the first: what nobody knows, what is too old, what is
 * missing. PROBLEM_KIND_COUNT: nothing is.
 */
ProblemKind
check_extensions(const List *extensions, const CollectionSettings *settings, ProblemList *problems)
{
	List	   *expectations = read_expectations(settings->schemas);
	ProblemKind first = PROBLEM_KIND_COUNT;
	ListCell   *cell;

	foreach(cell, extensions)
	{
		Extension  *extension = lfirst(cell);
		bool		expected;

		CHECK_FOR_INTERRUPTS();
		expected = expectation_of(extension->url, expectations) != NULL;
		if (expected ? extension->known : !settings->refuse_unknown_schemas)
			continue;
		first = PROBLEM_UNEXPECTED_EXTENSION;
		add_extension_problem(problems, PROBLEM_UNEXPECTED_EXTENSION, extension, expected ?
							  "must be a schema that is known here, and in force" :
							  "must be one of the extensions that the collection expects");
	}
	foreach(cell, extensions)
	{
		Extension  *extension = lfirst(cell);
		const Expectation *expectation;

		CHECK_FOR_INTERRUPTS();
		expectation = expectation_of(extension->url, expectations);
		if (expectation == NULL || expectation->minimum.data == NULL ||
			!is_below(version_behind(extension->url, expectation->prefix), expectation->minimum))
			continue;
		first = Min(first, PROBLEM_EXTENSION_BELOW_MINIMUM);
		add_extension_problem(problems, PROBLEM_EXTENSION_BELOW_MINIMUM, extension,
							  psprintf("must be of version %.*s or above", expectation->minimum.len, expectation->minimum.data));
	}
	foreach(cell, expectations)
	{
		Expectation *expectation = lfirst(cell);

		if (!expectation->required || is_declared(expectation, extensions))
			continue;
		first = Min(first, PROBLEM_EXPECTED_EXTENSION_MISSING);
		add_extension_problem(problems, PROBLEM_EXPECTED_EXTENSION_MISSING, NULL,
							  psprintf("must have an extension that begins with %s",
									   clip(expectation->prefix.data, expectation->prefix.len)));
	}
	return first;
}
