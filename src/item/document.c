/*
 * item/document.c
 *		What the database reads out of an item's document, and writes into it:
 *		see item/document.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/bytes.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "change/location.h"
#include "item/document.h"
#include "json/edit.h"
#include "json/key_table.h"
#include "json/writer.h"
#include "stac/format.h"
#include "stac/item.h"

/* A string as a JSON value; it is not copied. */
static JsonbValue
string_value(const char *data, int len)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = (char *) data;
	value.val.string.len = len;
	return value;
}

/* An empty array or object as a JSON value. */
static JsonbValue
empty_value(bool array)
{
	static const uint32 empty[2] = {JB_FOBJECT, JB_FARRAY};
	JsonbValue	value;

	value.type = jbvBinary;
	value.val.binary.len = sizeof(uint32);
	value.val.binary.data = (JsonbContainer *) &empty[array];
	return value;
}

/* Is a top-level member missing, or null, which counts alike? */
static bool
is_missing(const Jsonb *document, const char *name)
{
	JsonKey		key = {name, strlen(name)};
	JsonbValue	value;

	return !document_get(&document->root, &value, 1, &key) || value.type == jbvNull;
}

/* Fill in `collection` and `links` where a client left them out. */
Jsonb *
fill_in_document(Jsonb *document, const char *collection_id, int collection_len)
{
	JsonbValue	collection = string_value(collection_id, collection_len);
	JsonbValue	links = empty_value(true);
	DocumentEdit *edit;

	if (!JB_ROOT_IS_OBJECT(document) ||
		(!is_missing(document, "collection") && !is_missing(document, "links")))
		return document;
	edit = document_edit(document);
	if (is_missing(document, "collection"))
		document_set(edit, &collection, JSON_PATH(JSON_KEY("collection")));
	if (is_missing(document, "links"))
		document_set(edit, &links, JSON_PATH(JSON_KEY("links")));
	return document_finish(edit);
}

/* Note that a member, where it is present, does not say what it must. */
static void
check_says(const Jsonb *document, const char *parent, const char *name,
		   const char *expected, int len, ProblemList *problems)
{
	Place		parent_place = {NULL, parent, parent ? strlen(parent) : 0, 0};
	Place		place = {parent ? &parent_place : NULL, name, strlen(name), 0};
	JsonKey		path[2] = {{parent, parent ? strlen(parent) : 0}, {name, strlen(name)}};
	JsonbValue	value;

	if (!document_get(&document->root, &value, parent ? 2 : 1, parent ? path : path + 1) ||
		value.type == jbvNull)
		return;
	if (value.type != jbvString || compare_bytes(value.val.string.val, value.val.string.len, expected, len) != 0)
		add_problem(problems, &place, psprintf("must be \"%.*s\"", len, expected));
}

/* Is a flag something that is neither true nor false, nor left out? */
static bool
is_wrong_flag(const Jsonb *document, const char *name)
{
	JsonKey		path[2] = {JSON_KEY("properties"), {name, strlen(name)}};
	JsonbValue	value;

	return document_get(&document->root, &value, 2, path) && value.type != jbvNull && value.type != jbvBool;
}

/* What a client says of latest or retracted; null is silence. */
Flag
document_flag(const Jsonb *document, const char *name)
{
	JsonKey		path[2] = {JSON_KEY("properties"), {name, strlen(name)}};
	JsonbValue	value;

	if (!document_get(&document->root, &value, 2, path) || value.type != jbvBool)
		return FLAG_MISSING;
	return value.val.boolean ? FLAG_TRUE : FLAG_FALSE;
}

/* Write the database's word on latest and retracted; what is wrong stays, to be refused. */
Jsonb *
set_document_flags(Jsonb *document, bool latest, bool retracted)
{
	DocumentEdit *edit = document_edit(document);
	JsonbValue	latest_value;
	JsonbValue	retracted_value;

	latest_value.type = retracted_value.type = jbvBool;
	latest_value.val.boolean = latest;
	retracted_value.val.boolean = retracted;
	if (!is_wrong_flag(document, "latest"))
		document_set(edit, &latest_value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("latest")));
	if (!is_wrong_flag(document, "retracted"))
		document_set(edit, &retracted_value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("retracted")));
	return document_finish(edit);
}

/* A time as RFC 3339 has it, in UTC, to the microsecond. */
char *
format_time(TimestampTz time)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

/* The time that a property of a valid document is; null is none. */
TimestampTz
document_time(const Jsonb *document, const char *name, TimestampTz otherwise)
{
	JsonKey		path[2] = {JSON_KEY("properties"), {name, strlen(name)}};
	JsonbValue	value;
	TimestampTz time;

	if (!document_get(&document->root, &value, 2, path) || value.type != jbvString ||
		!parse_time(value.val.string.val, value.val.string.len, &time))
		return otherwise;
	return time;
}

/* Write properties.created and properties.updated, or only what is missing of them. */
Jsonb *
stamp_document(Jsonb *document, TimestampTz created, TimestampTz updated, bool keep)
{
	DocumentEdit *edit = document_edit(document);
	char	   *created_text = format_time(created);
	char	   *updated_text = format_time(updated);
	JsonbValue	created_value = string_value(created_text, strlen(created_text));
	JsonbValue	updated_value = string_value(updated_text, strlen(updated_text));

	if (!keep || !document_has(edit, JSON_PATH(JSON_KEY("properties"), JSON_KEY("created"))))
		document_set(edit, &created_value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("created")));
	if (!keep || !document_has(edit, JSON_PATH(JSON_KEY("properties"), JSON_KEY("updated"))))
		document_set(edit, &updated_value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("updated")));
	return document_finish(edit);
}

/* Write properties.updated alone. */
Jsonb *
stamp_update(Jsonb *document, TimestampTz updated)
{
	DocumentEdit *edit = document_edit(document);
	char	   *text = format_time(updated);
	JsonbValue	value = string_value(text, strlen(text));

	document_set(edit, &value, JSON_PATH(JSON_KEY("properties"), JSON_KEY("updated")));
	return document_finish(edit);
}

/* Is `assets` there and empty, as clients write it who retract? */
bool
has_no_assets(const Jsonb *document)
{
	const JsonbContainer *assets = assets_of(document);

	return assets && JsonContainerSize(assets) == 0;
}

/* A document with the assets of another. */
Jsonb *
with_assets_of(Jsonb *document, const Jsonb *other)
{
	DocumentEdit *edit = document_edit(document);
	JsonbValue	assets;

	if (document_get(&other->root, &assets, JSON_PATH(JSON_KEY("assets"))))
		document_set(edit, &assets, JSON_PATH(JSON_KEY("assets")));
	return document_finish(edit);
}

/* A link by the hash of its value, which equal ones share. */
typedef struct HashedLink
{
	uint64		hash;
	uint32		index;
	JsonbSlice	value;
} HashedLink;

/* Order links by their hashes, those of one hash as they stand. */
static int
compare_hashed_links(const void *a, const void *b)
{
	const HashedLink *la = a;
	const HashedLink *lb = b;

	if (la->hash != lb->hash)
		return la->hash < lb->hash ? -1 : 1;
	return la->index < lb->index ? -1 : 1;
}

/* The numbers of the links, from the first appended one on, that are there before. */
static Bitmapset *
find_repeated_links(const JsonbContainer *links, uint32 first)
{
	uint32		count = JsonContainerSize(links);
	HashedLink *hashed = palloc_extended(sizeof(HashedLink) * count, MCXT_ALLOC_HUGE);
	Bitmapset  *repeated = NULL;
	JsonbCursor cursor;

	cursor_init(&cursor, links, 0);
	for (uint32 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&cursor, &hashed[i].value);
		hashed[i].hash = hash_slice(&hashed[i].value, hash_seed());
		hashed[i].index = i;
	}
	qsort(hashed, count, sizeof(HashedLink), compare_hashed_links);
	for (uint32 i = 1; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (hashed[i].hash == hashed[i - 1].hash && hashed[i].index >= first &&
			slices_equal(&hashed[i].value, &hashed[i - 1].value))
			repeated = bms_add_member(repeated, hashed[i].index);
	}
	pfree(hashed);
	return repeated;
}

/* Are the links of a document the old ones, and others appended? */
static bool
appends_links(const JsonbContainer *links, const JsonbContainer *old)
{
	JsonbCursor cursor;
	JsonbCursor old_cursor;
	JsonbSlice	link;
	JsonbSlice	old_link;

	if (JsonContainerSize(links) <= JsonContainerSize(old))
		return false;
	cursor_init(&cursor, links, 0);
	cursor_init(&old_cursor, old, 0);
	while (elements_next(&old_cursor, &old_link))
	{
		CHECK_FOR_INTERRUPTS();
		cursor_next(&cursor, &link);
		if (!slices_equal(&link, &old_link))
			return false;
	}
	return true;
}

/* A document without the links that were appended to the old ones and are there already. */
Jsonb *
without_repeated_links(Jsonb *document, const Jsonb *old)
{
	const JsonbContainer *links = document_array(&document->root, JSON_PATH(JSON_KEY("links")));
	const JsonbContainer *old_links = document_array(&old->root, JSON_PATH(JSON_KEY("links")));
	Bitmapset  *repeated;
	Jsonb	   *kept;
	JsonbValue	value;
	DocumentEdit *edit;

	if (links == NULL || old_links == NULL || !appends_links(links, old_links))
		return document;
	repeated = find_repeated_links(links, JsonContainerSize(old_links));
	if (repeated == NULL)
		return document;
	kept = array_without(links, repeated);
	value.type = jbvBinary;
	value.val.binary.data = &kept->root;
	value.val.binary.len = VARSIZE(kept) - VARHDRSZ;
	edit = document_edit(document);
	document_set(edit, &value, JSON_PATH(JSON_KEY("links")));
	return document_finish(edit);
}

/*
 * A document without `alternate` members that hold nothing, which the schema
 * forbids; but a null that a client once published stays as it is.
 */
Jsonb *
without_empty_alternates(Jsonb *document, const Jsonb *old)
{
	DocumentEdit *edit = NULL;
	MemberCursor assets = begin_assets(assets_of(document));
	Asset		asset;
	JsonbSlice	alternate;
	JsonbSlice	before;

	while (next_asset(&assets, &asset))
	{
		JsonKey		path[3] = {JSON_KEY("assets"), asset.key, JSON_KEY("alternate")};

		if (!document_slice(asset.object, &alternate, 1, &path[2]))
			continue;
		if (alternate.type != JENTRY_ISNULL &&
			(!slice_is_object(&alternate) || JsonContainerSize(slice_container(&alternate)) > 0))
			continue;
		if (alternate.type == JENTRY_ISNULL && document_slice(&old->root, &before, 3, path) && before.type == JENTRY_ISNULL)
			continue;
		if (edit == NULL)
			edit = document_edit(document);
		document_remove(edit, 3, path);
	}
	return edit ? document_finish(edit) : document;
}

/* A replacement whose assets keep the alternates that it does not speak of: a publisher knows no replicas. */
Jsonb *
keep_alternates(Jsonb *document, const Jsonb *old)
{
	DocumentEdit *edit = NULL;
	MemberCursor assets = begin_assets(assets_of(document));
	Asset		asset;
	JsonbValue	alternate;

	while (next_asset(&assets, &asset))
	{
		JsonKey		path[3] = {JSON_KEY("assets"), asset.key, JSON_KEY("alternate")};

		if (document_get(asset.object, &alternate, 1, &path[2]) || !document_get(&old->root, &alternate, 3, path))
			continue;
		if (edit == NULL)
			edit = document_edit(document);
		document_set(edit, &alternate, 3, path);
	}
	return edit ? document_finish(edit) : document;
}

/* A retracted document as readers see it: without its assets. */
Jsonb *
published_document(Jsonb *document)
{
	DocumentEdit *edit = document_edit(document);
	JsonbValue	assets = empty_value(false);

	document_set(edit, &assets, JSON_PATH(JSON_KEY("assets")));
	return document_finish(edit);
}

/* Order text Datums by their bytes. */
static int
compare_text_datums(const void *a, const void *b)
{
	return compare_texts(*(text *const *) a, *(text *const *) b);
}

/* Nodes of a document, as they are collected. */
typedef struct NodeCollector
{
	KeyTable   *nodes;
	const Jsonb *old;			/* the document before; NULL: none */
	KeyTable   *old_nodes;		/* of which nothing is asked; collected where
								 * it matters */
	ProblemList *problems;		/* NULL: nothing is checked */
} NodeCollector;

static void collect_nodes(const Jsonb *document, NodeCollector *collector);

/* Has the document before that node? */
static bool
was_there(NodeCollector *collector, JsonKey node)
{
	NodeCollector before = {0};

	if (collector->old == NULL)
		return false;
	if (collector->old_nodes == NULL)
	{
		collect_nodes(collector->old, &before);
		collector->old_nodes = before.nodes;
	}
	return find_entry(collector->old_nodes, node) != NULL;
}

/* Add a node; note a name that is too long, unless it was there before. */
static void
add_node(NodeCollector *collector, JsonKey name, const Place *place)
{
	bool		found;

	enter_entry(collector->nodes, name, &found);
	if (!found && collector->problems && name.len > NAME_MAX_LENGTH && !was_there(collector, name))
		add_problem(collector->problems, place, TOO_LONG_A_NAME);
}

/* Add the nodes of one asset: that of its primary location, and its alternates. */
static void
add_asset_nodes(NodeCollector *collector, const Asset *asset, const Place *place)
{
	Place		name_place = MEMBER_PLACE(place, "alternate:name");
	Place		alternate_place = MEMBER_PLACE(place, "alternate");
	const JsonbContainer *alternates;
	MemberCursor entries;
	JsonbSlice	name;

	if (document_slice(asset->object, &name, JSON_PATH(JSON_KEY("alternate:name"))) && name.type == JENTRY_ISSTRING)
		add_node(collector, slice_key(&name), &name_place);
	alternates = document_object(asset->object, JSON_PATH(JSON_KEY("alternate")));
	if (alternates == NULL)
		return;
	members_init(&entries, alternates);
	while (members_next(&entries))
	{
		Place		place_of_key = {&alternate_place, entries.key.data, entries.key.len, 0};

		CHECK_FOR_INTERRUPTS();
		add_node(collector, slice_key(&entries.key), &place_of_key);
	}
}

/* Collect the data nodes of all locations of all assets. */
static void
collect_nodes(const Jsonb *document, NodeCollector *collector)
{
	Place		assets_place = MEMBER_PLACE(NULL, "assets");
	MemberCursor assets = begin_assets(assets_of(document));
	Asset		asset;

	collector->nodes = make_key_table();
	while (next_asset(&assets, &asset))
	{
		Place		place = {&assets_place, asset.key.data, asset.key.len, 0};

		add_asset_nodes(collector, &asset, &place);
	}
}

/* Note that a document brings too many nodes. */
static void
check_node_count(NodeCollector *collector)
{
	int			new = 0;
	key_table_iterator iterator;
	KeyEntry   *entry;

	if (collector->nodes->members <= NAMES_MAX)
		return;
	key_table_start_iterate(collector->nodes, &iterator);
	while ((entry = key_table_iterate(collector->nodes, &iterator)) != NULL)
		new += !was_there(collector, entry->key);
	if (new > NAMES_MAX)
		add_pointed_problem(collector->problems, "/assets", psprintf("must not bring more than %d data nodes in one change", NAMES_MAX));
}

/* The keys of a table as a sorted text[]. */
static Datum
sorted_keys(KeyTable *table)
{
	Datum	   *sorted = palloc_extended(sizeof(Datum) * Max(1, table->members), MCXT_ALLOC_HUGE);
	int			count = 0;
	key_table_iterator iterator;
	KeyEntry   *entry;

	key_table_start_iterate(table, &iterator);
	while ((entry = key_table_iterate(table, &iterator)) != NULL)
		sorted[count++] = PointerGetDatum(cstring_to_text_with_len(entry->key.data, entry->key.len));
	qsort(sorted, count, sizeof(Datum), compare_text_datums);
	return PointerGetDatum(construct_array(sorted, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * The data nodes of all locations of all assets, as a sorted text[]. With a
 * list of problems, notes those that are too long or too many beside the nodes
 * of the old document, or NULL.
 */
Datum
document_nodes(const Jsonb *document, const Jsonb *old, ProblemList *problems)
{
	NodeCollector collector = {.old = old,.problems = problems};

	collect_nodes(document, &collector);
	if (problems)
		check_node_count(&collector);
	return problems && problems->count > 0 ? (Datum) 0 : sorted_keys(collector.nodes);
}

/* Add the strings of an array to a table. */
static void
enter_strings(KeyTable *table, const JsonbContainer *array)
{
	JsonbCursor cursor;
	JsonbSlice	string;
	bool		found;

	cursor_init(&cursor, array, 0);
	while (elements_next(&cursor, &string))
	{
		CHECK_FOR_INTERRUPTS();
		if (string.type == JENTRY_ISSTRING)
			enter_entry(table, slice_key(&string), &found);
	}
}

/* The array at a pointer; NULL where there is none. */
static JsonbContainer *
array_at(const Jsonb *document, const char *pointer)
{
	JsonbValue	value;

	if (document == NULL || !json_pointer_get(document, pointer, strlen(pointer), &value) ||
		value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
		return NULL;
	return value.val.binary.data;
}

/* Does a table have a key that another has not? */
static bool
has_more(KeyTable *table, KeyTable *other)
{
	key_table_iterator iterator;
	KeyEntry   *entry;

	key_table_start_iterate(table, &iterator);
	while ((entry = key_table_iterate(table, &iterator)) != NULL)
		if (find_entry(other, entry->key) == NULL)
			return true;
	return false;
}

/* Note that a document names too many institutions, unless the old one named them all. */
static void
check_institutions(const Jsonb *document, const Jsonb *old, const char *path, ProblemList *problems)
{
	JsonbContainer *names = array_at(document, path);
	JsonbContainer *old_names = array_at(old, path);
	KeyTable   *institutions;
	KeyTable   *old_institutions;

	if (names == NULL || JsonContainerSize(names) <= NAMES_MAX)
		return;
	institutions = make_key_table();
	enter_strings(institutions, names);
	if (institutions->members <= NAMES_MAX)
		return;
	old_institutions = make_key_table();
	if (old_names)
		enter_strings(old_institutions, old_names);
	if (has_more(institutions, old_institutions))
		add_pointed_problem(problems, path, psprintf("must not name more than %d institutions", NAMES_MAX));
}

/*
 * Refuse a document that is no STAC item, or says that it is another one, or
 * brings more than it may beside what the old one, or NULL, has; else answer
 * its data nodes.
 */
void
check_item_document(Jsonb *document, const Jsonb *old, Datum collection_id, const ParsedId *id,
					const char *institution_path, Datum *nodes)
{
	ProblemList problems = {0};
	text	   *collection = DatumGetTextPP(collection_id);

	check_stac_item(&document->root, &problems);
	if (JB_ROOT_IS_OBJECT(document))
	{
		check_says(document, NULL, "id", id->id, id->len, &problems);
		check_says(document, NULL, "collection", VARDATA_ANY(collection), VARSIZE_ANY_EXHDR(collection), &problems);
		check_says(document, "properties", "base_id", id->id, id->base_len, &problems);
		if (id->version)
			check_says(document, "properties", "version", id->version, id->version_len, &problems);
		check_institutions(document, old, institution_path, &problems);
		*nodes = document_nodes(document, old, &problems);
	}
	report_problems(&problems, "item", "document is not the STAC item that it must be");
}
