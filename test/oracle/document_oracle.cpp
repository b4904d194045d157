/*
 * document_oracle.cpp
 *		What an independent implementation makes of random documents.
 *
 * Prints lines in COPY's text format, always the same for one seed:
 *		source, target, merged, operations, patched, sqlstate, difference
 * merged is RFC 7396's result for (source, target as a patch); patched that of
 * the operations on source, or else sqlstate the error; difference is a JSON
 * patch that makes target of source. Collisions are frequent: few keys, nulls,
 * empty containers, keys with "~" and "/", numbers with several spellings.
 *
 * usage: document_oracle COUNT SEED
 */
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using nlohmann::json;
using pointer = json::json_pointer;

static uint64_t state;

/* A number below "limit" (xorshift64*). */
static size_t
below(size_t limit)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545F4914F6CDD1DULL >> 33) % limit;
}

static const std::vector<std::string> keys = {
	"a", "b", "c", "aa", "bb", "", "0", "1", "-", "~", "/", "~1", "a/b", "m~n", " ",
	"\xc3\xa9", "\"", "\\", "longer key than most of the others"
};

/* Spellings that a parser of ours must keep and theirs need not. */
static const std::vector<std::string> scalars = {
	"null", "null", "true", "false", "0", "-0", "1", "1.0", "1.00", "10", "1e1", "100", "1e2",
	"-1", "0.5", "1E-2", "12345678901", "\"\"", "\"a\"", "\"1\"", "\"ab\"", "\"abc\"", "\"abcd\"",
	"\"\\u00e9\"", "\"\\u0001\"", "\"a longer string, with a \\\\ and a \\\" in it\""
};

static std::string text_of_key(const std::string &key) { return json(key).dump(); }

/* Random JSON text; now and then a container with more children than a stride. */
static std::string
random_text(int depth)
{
	size_t		kind = below(10);
	bool		wide = below(60) == 0;
	size_t		count = wide ? 25 + below(50) : below(5);
	std::string text;

	if (depth == 0 || kind < 4)
		return scalars[below(scalars.size())];
	if (kind < 6)
	{
		for (size_t i = 0; i < count; i++)
			text += (i > 0 ? "," : "") + random_text(wide ? 0 : depth - 1);
		return "[" + text + "]";
	}
	std::vector<std::string> used;
	for (size_t i = 0; i < count; i++)
	{
		std::string key = wide && below(3) > 0 ? "k" + std::to_string(below(90)) : keys[below(keys.size())];

		if (std::find(used.begin(), used.end(), key) != used.end())
			continue;
		text += (used.empty() ? "" : ",") + text_of_key(key) + ":" + random_text(wide ? 0 : depth - 1);
		used.push_back(key);
	}
	return "{" + text + "}";
}

/* Pointers to all values of a document. */
static void
collect(const json &value, const pointer &at, std::vector<pointer> &all)
{
	all.push_back(at);
	if (value.is_object())
		for (auto &member : value.items())
			collect(member.value(), at / member.key(), all);
	else if (value.is_array())
		for (size_t i = 0; i < value.size(); i++)
			collect(value[i], at / i, all);
}

/* A pointer to or near something in the document. */
static std::string
random_pointer(const json &document)
{
	static const std::vector<std::string> odd = {
		"-", "0", "1", "2", "01", "+1", "-1", "a", "1e0", "99999999999999999999", ""
	};
	std::vector<pointer> all;
	pointer		chosen;

	collect(document, pointer(), all);
	chosen = all[below(all.size())];
	switch (below(16))
	{
		case 0:
			chosen = chosen / keys[below(keys.size())];
			break;
		case 1:
			chosen = chosen / odd[below(odd.size())];
			break;
		case 2:
			if (!chosen.empty())
				chosen = chosen.parent_pointer() / odd[below(odd.size())];
			break;
		default:
			break;
	}
	return chosen.to_string();
}

struct DoesNotApply {};

/* RFC 6902 adds to objects and arrays only; the library also tries others. */
static json
add(const json &document, const std::string &path, const json &value)
{
	pointer		at(path);

	if (!at.empty())
	{
		pointer		parent = at.parent_pointer();

		if (document.contains(parent) && !document.at(parent).is_structured())
			throw DoesNotApply();
	}
	return document.patch(json::array({{{"op", "add"}, {"path", path}, {"value", value}}}));
}

/* RFC 6902 removes what is there, and not the root; the library also no member of a scalar. */
static json
remove(const json &document, const std::string &path)
{
	if (path.empty() || !document.contains(pointer(path)))
		throw DoesNotApply();
	return document.patch(json::array({{{"op", "remove"}, {"path", path}}}));
}

/* Apply one operation, whose form is right, as the RFC has it. */
static json
apply_operation(const json &document, const json &operation)
{
	std::string op = operation["op"];
	std::string path = operation["path"];

	if (op == "add")
		return add(document, path, operation["value"]);
	if (op == "copy")
		return add(document, path, document.at(pointer(operation["from"].get<std::string>())));
	if (op == "move")
	{
		std::string from = operation["from"];

		if (from.empty())
			return document;
		json		value = document.at(pointer(from));
		return add(remove(document, from), path, value);
	}
	if (op == "remove")
		return remove(document, path);
	return document.patch(json::array({operation}));
}

static bool
moves_into_itself(const json &operation)
{
	std::string path = operation.value("path", "");
	std::string from = operation.value("from", "");

	return operation["op"] == "move" && path.size() > from.size() &&
		path.compare(0, from.size(), from) == 0 && path[from.size()] == '/';
}

/* An operation as text, mostly one that applies. */
static std::string
random_operation(const json &document)
{
	static const std::vector<std::string> names = {"add", "remove", "replace", "move", "copy", "test"};
	std::string name = names[below(names.size())];
	std::string path = random_pointer(document);
	std::string from = random_pointer(document);
	std::string value = random_text(2);

	if (name == "test" && below(5) > 0)
	{
		path = "";
		std::vector<pointer> all;
		collect(document, pointer(), all);
		path = all[below(all.size())].to_string();
		value = document.at(pointer(path)).dump();
	}
	std::string text = "{\"op\":\"" + name + "\",\"path\":" + text_of_key(path);
	if (name == "move" || name == "copy")
		text += ",\"from\":" + text_of_key(from);
	else if (name != "remove")
		text += ",\"value\":" + value;
	if (below(10) == 0)
		text += ",\"other\":" + value;
	return text + "}";
}

/* An operation whose form is wrong. */
static std::string
malformed_operation()
{
	static const std::vector<std::string> forms = {
		"1", "[]", "null", "{}", "{\"op\":\"add\"}", "{\"op\":\"spam\",\"path\":\"/a\"}",
		"{\"op\":1,\"path\":\"\"}", "{\"path\":\"/a\",\"value\":1}", "{\"op\":\"remove\",\"path\":null}",
		"{\"op\":\"remove\",\"path\":\"a\"}", "{\"op\":\"remove\",\"path\":\"/~\"}",
		"{\"op\":\"remove\",\"path\":\"/~2\"}", "{\"op\":\"add\",\"path\":\"/a\"}",
		"{\"op\":\"test\",\"path\":\"\"}", "{\"op\":\"replace\",\"path\":\"\"}",
		"{\"op\":\"copy\",\"path\":\"/a\"}", "{\"op\":\"move\",\"path\":\"/a\",\"from\":\"b\"}",
		"{\"op\":\"copy\",\"path\":\"/a\",\"from\":1}", "{\"op\":\"move\",\"from\":\"\",\"path\":\"/a\"}",
		"{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}", "{\"Op\":\"add\",\"path\":\"/a\",\"value\":1}"
	};

	return forms[below(forms.size())];
}

/* A column in COPY's text format. */
static void
print(const std::string &text, char end)
{
	for (char c : text)
	{
		if (c == '\\')
			std::cout << '\\';
		std::cout << c;
	}
	std::cout << end;
}

/* Apply an operation to a document: the SQLSTATE of its refusal, or nothing. */
static std::string
try_operation(json &document, const json &operation)
{
	if (moves_into_itself(operation))
		return "PT400";
	try
	{
		document = apply_operation(document, operation);
	}
	catch (const json::exception &)
	{
		return "PT409";
	}
	catch (const DoesNotApply &)
	{
		return "PT409";
	}
	return "";
}

/* Another document, often a relative of the first. */
static std::string
random_relative(const json &document)
{
	json		changed = document;

	if (below(3) == 0)
		return random_text(3);
	for (size_t n = below(4); n-- > 0;)
		try_operation(changed, json::parse(random_operation(changed)));
	return changed.dump();
}

struct Patch
{
	std::string operations;
	json		result;
	std::string sqlstate;
};

/* A few operations, of which some may not apply, or be malformed. */
static Patch
random_patch(const json &document)
{
	Patch		patch = {"", document, ""};

	for (size_t n = below(6); n-- > 0;)
	{
		bool		malformed = below(80) == 0;
		std::string text = malformed ? malformed_operation() : random_operation(patch.result);
		std::string refusal = "PT400";

		if (!malformed)
			refusal = try_operation(patch.result, json::parse(text));
		if (refusal == "PT400" || patch.sqlstate.empty())
			patch.sqlstate = refusal;
		patch.operations += (patch.operations.empty() ? "" : ",") + text;
	}
	return patch;
}

/* Many operations, all of which apply. */
static Patch
long_patch(const json &document)
{
	Patch		patch = {"", document, ""};

	for (int n = 60; n-- > 0 && patch.result.dump().size() < 2000;)
	{
		std::string text = random_operation(patch.result);

		if (try_operation(patch.result, json::parse(text)).empty())
			patch.operations += (patch.operations.empty() ? "" : ",") + text;
	}
	return patch;
}

static void
print_triple()
{
	std::string source_text = random_text(4);
	json		source = json::parse(source_text);
	std::string target_text = random_relative(source);
	json		target = json::parse(target_text);
	json		merged = source;
	Patch		patch = below(50) == 0 ? long_patch(source) : random_patch(source);

	merged.merge_patch(target);
	print(source_text, '\t');
	print(target_text, '\t');
	print(merged.dump(), '\t');
	print("[" + patch.operations + "]", '\t');
	if (patch.sqlstate.empty())
	{
		print(patch.result.dump(), '\t');
		std::cout << "\\N\t";
	}
	else
		std::cout << "\\N\t" << patch.sqlstate << '\t';
	print(json::diff(source, target).dump(), '\n');
}

int
main(int argc, char **argv)
{
	if (argc != 3)
	{
		std::cerr << "usage: document_oracle COUNT SEED\n";
		return 2;
	}
	std::ios::sync_with_stdio(false);
	state = std::strtoull(argv[2], nullptr, 10) + 0x9E3779B97F4A7C15ULL;
	for (long count = std::atol(argv[1]); count-- > 0;)
		print_triple();
	return 0;
}
