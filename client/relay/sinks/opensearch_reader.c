/*
 * opensearch_reader.c
 *		What an index of OpenSearch or Elasticsearch holds of each item.
 *
 * A search sees what was refreshed, so a scroll only finds ids; _mget is
 * realtime, and decides. A document is read as a whole: it comes back as it was
 * sent, while of a part of it numbers are rounded.
 *
 * place		an index, or an alias of one, that items stand in: of a collection,
 *				or of all
 * hits			those of the scroll that are not looked at yet
 */
#include "sinks/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/template.h"
#include "lib/json.h"
#include "lib/log.h"
#include "sinks/opensearch.h"
#include "sinks/requests.h"

/* Ids of one answer, and how long the next may be waited for. */
#define SCROLL_SIZE 10000
#define SCROLL_TIME "30m"

/* Documents may be large. */
#define ANSWER_LIMIT (1024 * 1024 * 1024)

typedef struct Place
{
	char	   *index;
	const char *collection_id;	/* NULL: that of its items differs */
} Place;

typedef struct OpensearchReader
{
	SinkReader	reader;
	const SinkSettings *settings;
	OpensearchNames names;
	Buffer		url;			/* of the server, with a slash */
	HttpClient	client;
	bool		is_open;
	Place	   *places;
	int			place_count;
	int			walked;			/* of the places, with the one under way */
	Buffer		scroll_id;
	Buffer		scroll;			/* the answer that holds the hits */
	Json		hits;
	size_t		next_hit;
	int64_t		strays;			/* documents that no item would be */
	int64_t		remembered_for;
	Buffer		name;			/* one that is made just now */
} OpensearchReader;

static SinkReader *
opensearch_make(const SinkSettings *settings)
{
	OpensearchReader *index = allocate(sizeof(OpensearchReader));

	index->settings = settings;
	opensearch_names(settings, &index->url, &index->names);
	return &index->reader;
}

static void
opensearch_close(SinkReader *reader)
{
	OpensearchReader *index = (OpensearchReader *) reader;

	if (index->is_open)
		http_close(&index->client);
	for (int i = 0; i < index->place_count; i++)
		free(index->places[i].index);
	free(index->places);
	buffer_free(&index->url);
	buffer_free(&index->scroll_id);
	buffer_free(&index->scroll);
	buffer_free(&index->name);
	free(index);
}

/* Called while the server is waited for */
static bool
waits(void *owner, Wait *wait)
{
	(void) owner;
	wait_attend();
	if (wait_tell_due(wait))
		log_line(LOG_WARNING, "waiting for the sink to answer, for %d s now", wait_seconds(wait));
	return !stop_requested;
}

/* ---------------------------------------------------------------- requests */

/* Ask the server; false and a problem unless it answers with a good status, or 404 */
static bool
ask(OpensearchReader *index, const char *method, const char *path, const char *body, Buffer *problem)
{
	Buffer		url = {0};
	Buffer		bytes = {0};
	struct curl_slist *headers = NULL;
	bool		good;

	buffer_printf(&url, "%s%s", index->url.data, path);
	buffer_text(&bytes, body);
	http_header(&headers, "Content-Type", "application/json");
	http_header(&headers, "Expect", "");
	opensearch_login(index->settings, &headers);
	good = http_ask(&index->client, method, url.data, &bytes, headers, problem);
	curl_slist_free_all(headers);
	buffer_free(&url);
	buffer_free(&bytes);
	if (good && !http_status_good(index->client.status) && index->client.status != 404)
	{
		buffer_printf(problem, "%s /%s: ", method, path);
		http_answer(&index->client, problem);
		good = false;
	}
	return good;
}

/* The last answer as JSON; false and a problem if it is none */
static bool
read_answer(OpensearchReader *index, Json *answer, Buffer *problem)
{
	if (index->client.answer.length > 0 && json_whole(index->client.answer.data, index->client.answer.length, answer))
		return true;
	buffer_text(problem, "that is no answer: ");
	http_answer(&index->client, problem);
	return false;
}

/* The name that a template has for an item, until the next one */
static const char *
expand(OpensearchReader *index, const char *template, const char *collection_id, const char *item_id)
{
	const Event event = {.collection_id = collection_id,.item_id = item_id};

	buffer_clear(&index->name);
	event_template_expand(&index->name, template, &event);
	return index->name.data;
}

/* ---------------------------------------------------------------- places */

static void
add_place(OpensearchReader *index, const char *collection_id)
{
	const char *name = expand(index, index->names.index, collection_id != NULL ? collection_id : "", "");

	/* The sink refuses the items of such a collection. */
	if (!opensearch_is_index(name))
		return;
	index->places = reallocate(index->places, (size_t) (index->place_count + 1) * sizeof(Place));
	index->places[index->place_count++] = (Place)
	{
		.index = copy_string(name),.collection_id = collection_id
	};
}

/* Read "60s" or "1500ms" */
static int64_t
read_milliseconds(Json value)
{
	static const struct
	{
		const char *unit;
		int64_t		milliseconds;
	}			units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	Buffer		text = {0};
	char	   *unit;
	int64_t		number = 0;
	int64_t		milliseconds = 60000;

	if (json_string(value, &text))
	{
		number = strtoll(text.data, &unit, 10);
		for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strcmp(unit, units[i].unit) == 0)
				milliseconds = number * units[i].milliseconds;
	}
	buffer_free(&text);
	return milliseconds;
}

/* How many milliseconds does an index remember deletions? Its settings, or else the defaults say */
static int64_t
gc_deletes_of(Json index)
{
	static const char *const parts[] = {"settings", "defaults"};
	Json		part;
	Json		value;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (json_member(index, parts[i], &part) && json_member(part, "index.gc_deletes", &value))
			return read_milliseconds(value);
	return 60000;
}

/* Is a place one index? And how long does it remember? One that is not there yet holds nothing */
static bool
check_place(OpensearchReader *index, const Place *place, Buffer *problem)
{
	Buffer		path = {0};
	Json		answer;
	Json		name;
	Json		found;
	size_t		next = 0;
	int			count = 0;
	bool		good;

	buffer_printf(&path, "%s/_settings/index.gc_deletes?flat_settings=true&include_defaults=true", place->index);
	good = ask(index, "GET", path.data, "", problem) && read_answer(index, &answer, problem);
	buffer_free(&path);
	if (!good || index->client.status == 404)
		return good;
	while (json_entry(answer, &next, &name, &found))
	{
		int64_t		remembered_for = gc_deletes_of(found);

		if (remembered_for > index->remembered_for)
			index->remembered_for = remembered_for;
		count++;
	}
	if (count > 1)
	{
		buffer_printf(problem, "\"%s\" is an alias of %d indices", place->index, count);
		index->reader.unfit = true;
	}
	return count <= 1;
}

static bool
opensearch_reader_open(SinkReader *reader, Buffer *problem)
{
	OpensearchReader *index = (OpensearchReader *) reader;
	HttpSettings http;
	bool		good = true;

	requests_http_settings(index->settings, &http);
	http_open(&index->client, index->url.data, &http, waits, index);
	index->client.answer_limit = ANSWER_LIMIT;
	index->is_open = true;
	if (strstr(index->names.index, "{collection}") == NULL)
	{
		add_place(index, NULL);
		reader->collection_told = strstr(index->names.document_id, "{collection}") == NULL;
	}
	else
		for (char **collection = reader->collections; *collection != NULL; collection++)
			add_place(index, *collection);
	for (int i = 0; good && i < index->place_count; i++)
		good = check_place(index, &index->places[i], problem);
	return good;
}

static int64_t
opensearch_remembers(SinkReader *reader)
{
	return ((OpensearchReader *) reader)->remembered_for;
}

/* ---------------------------------------------------------------- items */

/* Does a document's id name an item of that collection? Then which? */
static bool
take_item_id(OpensearchReader *index, const char *id, const char *collection_id, Buffer *item_id)
{
	const char *mark = "\001";
	const char *name = expand(index, index->names.document_id, collection_id, mark);
	size_t		before = strcspn(name, mark);
	size_t		behind = strlen(strrchr(name, mark[0]) + 1);
	size_t		length = strlen(id);

	if (length < before + behind)
		return false;
	buffer_clear(item_id);
	buffer_append(item_id, id + before, length - before - behind);
	return item_id->length > 0 && strcmp(expand(index, index->names.document_id, collection_id, item_id->data), id) == 0;
}

/* Of which collection is a document that says so itself? Where there is only one, of that, whatever it says */
static const char *
collection_of(const OpensearchReader *index, const Place *place, const char *said)
{
	char	  **collections = index->reader.collections;

	if (place->collection_id != NULL)
		return place->collection_id;
	return collections[0] != NULL && collections[1] == NULL ? collections[0] : said;
}

/*
 * Which item is a document? Its collection is that of its place, or stands in its
 * id, or in it: of the last the search told
 */
static bool
take_keys(OpensearchReader *index, const Place *place, const char *id, const char *collection_id, Holdings *page)
{
	Buffer		item_id = {0};
	bool		known = false;

	if (place->collection_id != NULL || strstr(index->names.document_id, "{collection}") == NULL)
	{
		collection_id = collection_of(index, place, collection_id);
		known = take_item_id(index, id, collection_id, &item_id);
	}
	else
		for (char **one = index->reader.collections; *one != NULL && !known; one++)
		{
			collection_id = *one;
			known = take_item_id(index, id, collection_id, &item_id);
		}
	if (known)
		holdings_add(page, collection_id, item_id.data);
	else
		index->strays++;
	buffer_free(&item_id);
	return known;
}

/* Note what a document is, or why there is none */
static bool
take_document(Holdings *items, Holding *item, Json document, Buffer *problem)
{
	Json		value;
	int64_t		version;

	if (json_member(document, "error", &value))
	{
		Json		type;

		if (json_member(value, "type", &type) && type.length > 2 && strncmp(type.start, "\"index_not_found", 16) == 0)
			return true;
		buffer_text(problem, "_mget: ");
		buffer_append(problem, value.start, value.length < 1000 ? value.length : 1000);
		return false;
	}
	if (!json_member(document, "found", &value) || value.start[0] != 't')
		return true;
	if (!json_member(document, "_version", &value) || !json_integer(value, &version))
	{
		buffer_text(problem, "_mget tells no version");
		return false;
	}
	holding_set(items, item, HELD_DOCUMENT, version, NULL, 0);
	if (json_member(document, "_source", &value))
		holding_set(items, item, HELD_DOCUMENT, version, value.start, value.length);
	return true;
}

/* Ask for the documents of some items */
static bool
opensearch_lookup(SinkReader *reader, Holdings *items, Buffer *problem)
{
	OpensearchReader *index = (OpensearchReader *) reader;
	Buffer		body = {0};
	Json		answer;
	Json		documents;
	Json		document;
	size_t		next = 0;
	int			count = 0;
	bool		good;

	buffer_text(&body, "{\"docs\":[");
	for (int i = 0; i < items->count; i++)
	{
		const Holding *item = &items->list[i];

		buffer_text(&body, i > 0 ? ",{\"_index\":" : "{\"_index\":");
		append_string(&body, expand(index, index->names.index, item->collection_id, item->item_id));
		buffer_text(&body, ",\"_id\":");
		append_string(&body, expand(index, index->names.document_id, item->collection_id, item->item_id));
		buffer_text(&body, "}");
	}
	buffer_text(&body, "]}");
	good = ask(index, "POST", reader->documents ? "_mget" : "_mget?_source=false", body.data, problem) &&
		read_answer(index, &answer, problem);
	buffer_free(&body);
	if (!good)
		return false;
	if (json_member(answer, "docs", &documents))
		while (good && count < items->count && json_element(documents, &next, &document))
			good = take_document(items, &items->list[count++], document, problem);
	if (good && count < items->count)
		buffer_text(problem, "_mget answers for less documents than it was asked for");
	return good && count == items->count;
}

/* ---------------------------------------------------------------- walking */

/* Take the hits of the last answer to a search or scroll */
static bool
take_hits(OpensearchReader *index, Buffer *problem)
{
	Json		answer;
	Json		value;

	index->next_hit = 0;
	index->hits = (Json)
	{
		.length = 0
	};
	if (!read_answer(index, &answer, problem))
		return false;
	buffer_clear(&index->scroll);
	buffer_append(&index->scroll, answer.start, answer.length);
	answer.start = index->scroll.data;
	buffer_clear(&index->scroll_id);
	if (json_member(answer, "_scroll_id", &value) && json_string(value, &index->scroll_id) &&
		json_member(answer, "hits", &value) && json_member(value, "hits", &index->hits))
		return true;
	buffer_text(problem, "that is no answer to a search: ");
	http_answer(&index->client, problem);
	return false;
}

/* What was not refreshed yet is to be found as well, where we may ask for that */
static void
refresh(OpensearchReader *index, const Place *place)
{
	Buffer		path = {0};
	Buffer		ignored = {0};

	buffer_printf(&path, "%s/_refresh", place->index);
	ask(index, "POST", path.data, "", &ignored);
	buffer_free(&path);
	buffer_free(&ignored);
}

/* Begin to scroll through a place */
static bool
begin_scroll(OpensearchReader *index, const Place *place, Buffer *problem)
{
	bool		tells_collection = place->collection_id != NULL || strstr(index->names.document_id, "{collection}") != NULL;
	Buffer		path = {0};
	Buffer		body = {0};
	bool		good;

	refresh(index, place);
	buffer_printf(&path, "%s/_search?scroll=" SCROLL_TIME, place->index);
	buffer_printf(&body, "{\"size\":%d,\"sort\":[\"_doc\"],\"_source\":%s}", SCROLL_SIZE, tells_collection ? "false" : "[\"collection\"]");
	good = ask(index, "POST", path.data, body.data, problem) && (index->client.status == 404 || take_hits(index, problem));
	buffer_free(&path);
	buffer_free(&body);
	return good;
}

/* Go on; after the last hit the server may forget the scroll */
static bool
continue_scroll(OpensearchReader *index, bool *more, Buffer *problem)
{
	Buffer		body = {0};
	Json		hit;
	size_t		next = 0;
	bool		good;

	buffer_text(&body, "{\"scroll\":\"" SCROLL_TIME "\",\"scroll_id\":");
	append_string(&body, index->scroll_id.data);
	buffer_text(&body, "}");
	good = ask(index, "POST", "_search/scroll", body.data, problem) && take_hits(index, problem);
	*more = good && json_element(index->hits, &next, &hit);
	buffer_clear(&body);
	if (good && !*more)
	{
		Buffer		ignored = {0};

		buffer_text(&body, "{\"scroll_id\":");
		append_string(&body, index->scroll_id.data);
		buffer_text(&body, "}");
		ask(index, "DELETE", "_search/scroll", body.data, &ignored);
		buffer_free(&ignored);
		buffer_clear(&index->scroll_id);
	}
	buffer_free(&body);
	return good;
}

/* Count what all places hold */
static bool
opensearch_begin(SinkReader *reader, int64_t *total, Buffer *problem)
{
	OpensearchReader *index = (OpensearchReader *) reader;
	Buffer		path = {0};
	bool		good = true;

	*total = 0;
	index->walked = 0;
	index->strays = 0;
	buffer_clear(&index->scroll_id);
	for (int i = 0; good && i < index->place_count; i++)
	{
		Json		answer;
		Json		value;
		int64_t		count;

		refresh(index, &index->places[i]);
		buffer_clear(&path);
		buffer_printf(&path, "%s/_count", index->places[i].index);
		good = ask(index, "GET", path.data, "", problem);
		if (good && index->client.status != 404 && read_answer(index, &answer, problem) &&
			json_member(answer, "count", &value) && json_integer(value, &count))
			*total += count;
	}
	buffer_free(&path);
	return good;
}

/* Add the items of the next hits */
static void
take_items(OpensearchReader *index, int most, Holdings *page)
{
	Buffer		id = {0};
	Buffer		collection_id = {0};
	Json		hit;
	Json		value;

	while (page->count < most && json_element(index->hits, &index->next_hit, &hit))
	{
		buffer_clear(&id);
		buffer_clear(&collection_id);
		buffer_text(&collection_id, "");
		if (json_member(hit, "_source", &value) && json_member(value, "collection", &value))
			json_string(value, &collection_id);
		if (json_member(hit, "_id", &value) && json_string(value, &id))
			take_keys(index, &index->places[index->walked - 1], id.data, collection_id.data, page);
	}
	buffer_free(&id);
	buffer_free(&collection_id);
}

static bool
opensearch_page(SinkReader *reader, int most, Holdings *page, Buffer *problem)
{
	OpensearchReader *index = (OpensearchReader *) reader;
	bool		more = true;

	for (;;)
	{
		if (index->scroll_id.length > 0)
			take_items(index, most, page);
		if (page->count > 0)
			return opensearch_lookup(reader, page, problem);
		if (index->scroll_id.length > 0 && !continue_scroll(index, &more, problem))
			return false;
		if (index->scroll_id.length > 0)
			continue;
		if (index->walked == index->place_count)
			break;
		if (!begin_scroll(index, &index->places[index->walked++], problem))
			return false;
	}
	if (index->strays > 0)
		log_line(LOG_WARNING, "verify: the sink has %" PRId64 " documents with ids that no item would get; they are not looked at", index->strays);
	return true;
}

const ReaderKind opensearch_reader = {
	.make = opensearch_make,
	.open = opensearch_reader_open,
	.begin = opensearch_begin,
	.page = opensearch_page,
	.lookup = opensearch_lookup,
	.most = 10000,
	.remembers = opensearch_remembers,
	.close = opensearch_close,
};
