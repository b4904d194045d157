/*
 * ndjson_reader.c
 *		What a file of event lines says of each item: its highest version counts,
 *		and of equal ones the last.
 *
 * The file is read through once, and later what was added. In memory stays
 * where the line of each item stands, and not what it says.
 *
 * entry		that line; entries stand in the order of the first lines
 * index		finds an entry by its hash: a table with open addressing
 */
#include "sinks/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/json.h"

/* So much is read at once; the keys of a line mostly stand in its head. */
#define CHUNK_SIZE (256 * 1024)
#define HEAD_SIZE 2048

/* No entry stands there. */
#define NONE UINT32_MAX

typedef struct Entry
{
	uint64_t	hash;
	int64_t		version;
	off_t		place;			/* of its line */
	bool		has_document;
} Entry;

typedef struct NdjsonReader
{
	SinkReader	reader;
	const char *path;
	int			descriptor;		/* -1: not open */
	struct stat opened;
	off_t		end;			/* of what was read */
	Buffer		chunk;			/* what stands behind that, for a part */
	Entry	   *entries;
	uint32_t	count;
	uint32_t	space;
	uint32_t   *index;
	uint32_t	index_size;		/* a power of two, at least twice the count */
	uint32_t	walked;
	Buffer		line;			/* one that is looked at again */
	Buffer		collection_id;	/* its keys */
	Buffer		item_id;
} NdjsonReader;

/* What a line says. */
typedef struct Line
{
	Json		collection_id;
	Json		item_id;
	Json		document;
	int64_t		version;
} Line;

static bool
ndjson_check(const SinkSettings *settings, Buffer *problem)
{
	bool		fit = settings->format == FORMAT_EVENT && strcmp(settings->target, "-") != 0;

	if (!fit)
		buffer_text(problem, "only a file with --format event can be compared");
	return fit;
}

static SinkReader *
ndjson_make(const SinkSettings *settings)
{
	NdjsonReader *file = allocate(sizeof(NdjsonReader));

	file->path = settings->target;
	file->descriptor = -1;
	return &file->reader;
}

static void
ndjson_close(SinkReader *reader)
{
	NdjsonReader *file = (NdjsonReader *) reader;

	if (file->descriptor >= 0)
		close(file->descriptor);
	free(file->entries);
	free(file->index);
	buffer_free(&file->chunk);
	buffer_free(&file->line);
	buffer_free(&file->collection_id);
	buffer_free(&file->item_id);
	free(file);
}

static bool
fail(const NdjsonReader *file, Buffer *problem)
{
	buffer_printf(problem, "could not read file \"%s\": %s", file->path, strerror(errno));
	return false;
}

/* Open the file that has the name now, and know nothing of it */
static bool
open_anew(NdjsonReader *file, Buffer *problem)
{
	if (file->descriptor >= 0)
		close(file->descriptor);
	file->end = 0;
	file->count = file->walked = 0;
	buffer_clear(&file->chunk);
	if (file->index_size > 0)
		memset(file->index, 0xFF, file->index_size * sizeof(uint32_t));
	file->descriptor = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return (file->descriptor >= 0 && fstat(file->descriptor, &file->opened) == 0) || fail(file, problem);
}

static bool
ndjson_reader_open(SinkReader *reader, Buffer *problem)
{
	NdjsonReader *file = (NdjsonReader *) reader;

	if (!open_anew(file, problem))
		return false;
	reader->unfit = !S_ISREG(file->opened.st_mode);
	if (reader->unfit)
		buffer_printf(problem, "\"%s\" is no file that keeps its lines", file->path);
	return !reader->unfit;
}

/* ---------------------------------------------------------------- lines */

/* Read an event's line, or its beginning; false if it tells of no item's state */
static bool
read_line(const char *text, size_t length, Line *line)
{
	Json		object = {.start = text,.length = length};
	Json		version;

	return json_member(object, "collection_id", &line->collection_id) && json_member(object, "item_id", &line->item_id) &&
		json_member(object, "version", &version) && json_integer(version, &line->version) &&
		!json_is_null(line->item_id) && json_member(object, "document", &line->document);
}

/* Read the keys of a line, or of its beginning */
static bool
read_keys(NdjsonReader *file, const char *text, size_t length)
{
	Json		object = {.start = text,.length = length};
	Json		value;

	buffer_clear(&file->collection_id);
	buffer_clear(&file->item_id);
	return json_member(object, "collection_id", &value) && json_string(value, &file->collection_id) &&
		json_member(object, "item_id", &value) && json_string(value, &file->item_id);
}

/* Read more of a file into a buffer; 0 at its end */
static ssize_t
read_more(const NdjsonReader *file, Buffer *buffer, off_t place, size_t size)
{
	static char bytes[CHUNK_SIZE];
	ssize_t		count = pread(file->descriptor, bytes, size, place + (off_t) buffer->length);

	if (count > 0)
		buffer_append(buffer, bytes, (size_t) count);
	return count;
}

/* Read again the line that stands at a place, whole or at least its keys */
static bool
read_again(NdjsonReader *file, off_t place, bool whole)
{
	buffer_clear(&file->line);
	while (read_more(file, &file->line, place, file->line.length == 0 && !whole ? HEAD_SIZE : CHUNK_SIZE) > 0)
	{
		char	   *end = memchr(file->line.data, '\n', file->line.length);

		if (end != NULL)
			buffer_cut(&file->line, (size_t) (end - file->line.data));
		if (end != NULL || !whole)
			if (read_keys(file, file->line.data, file->line.length))
				return true;
		if (end != NULL)
			return false;
	}
	return false;
}

/* ---------------------------------------------------------------- entries */

/* FNV-1a; what has the same hash is compared, so that any will do */
static uint64_t
hash_key(const char *collection_id, const char *item_id)
{
	uint64_t	hash = UINT64_C(14695981039346656037);

	for (; *collection_id != '\0'; collection_id++)
		hash = (hash ^ (unsigned char) *collection_id) * UINT64_C(1099511628211);
	hash *= UINT64_C(1099511628211);
	for (; *item_id != '\0'; item_id++)
		hash = (hash ^ (unsigned char) *item_id) * UINT64_C(1099511628211);
	return hash ^ hash >> 32;
}

/* Find where an item's entry stands in the index, or may be put. Its keys may be those that are read last */
static uint32_t
find_slot(NdjsonReader *file, uint64_t hash, const char *collection_id, const char *item_id)
{
	uint32_t	slot = (uint32_t) hash & (file->index_size - 1);

	while (file->index[slot] != NONE)
	{
		const Entry *entry = &file->entries[file->index[slot]];

		if (entry->hash == hash && read_again(file, entry->place, false) &&
			strcmp(file->collection_id.data, collection_id) == 0 && strcmp(file->item_id.data, item_id) == 0)
			break;
		slot = (slot + 1) & (file->index_size - 1);
	}
	return slot;
}

/* Make room for one more */
static void
make_room(NdjsonReader *file)
{
	if (file->count == file->space)
	{
		file->space = file->space > 0 ? file->space + file->space / 2 : 1024;
		file->entries = reallocate(file->entries, file->space * sizeof(Entry));
	}
	if (file->count < file->index_size / 2)
		return;
	free(file->index);
	file->index_size = file->index_size > 0 ? file->index_size * 2 : 4096;
	file->index = allocate(file->index_size * sizeof(uint32_t));
	memset(file->index, 0xFF, file->index_size * sizeof(uint32_t));
	for (uint32_t i = 0; i < file->count; i++)
	{
		uint32_t	slot = (uint32_t) file->entries[i].hash & (file->index_size - 1);

		while (file->index[slot] != NONE)
			slot = (slot + 1) & (file->index_size - 1);
		file->index[slot] = i;
	}
}

/* Take a line that stands at a place */
static void
take_line(NdjsonReader *file, const char *text, size_t length, off_t place)
{
	Line		line;
	char	   *collection_id;
	char	   *item_id;
	Entry	   *entry;
	uint64_t	hash;
	uint32_t	slot;

	if (!read_line(text, length, &line) || !read_keys(file, text, length))
		return;
	collection_id = copy_string(file->collection_id.data);
	item_id = copy_string(file->item_id.data);
	make_room(file);
	hash = hash_key(collection_id, item_id);
	slot = find_slot(file, hash, collection_id, item_id);
	if (file->index[slot] == NONE)
	{
		file->index[slot] = file->count++;
		file->entries[file->index[slot]] = (Entry)
		{
			.hash = hash,.version = INT64_MIN
		};
	}
	entry = &file->entries[file->index[slot]];
	if (line.version >= entry->version)
		*entry = (Entry)
	{
		.hash = hash,.version = line.version,.place = place,.has_document = !json_is_null(line.document)
	};
	free(collection_id);
	free(item_id);
}

/* Take the whole lines of the chunk */
static void
take_lines(NdjsonReader *file)
{
	Buffer	   *chunk = &file->chunk;
	char	   *next = chunk->data;
	char	   *end;

	while ((end = memchr(next, '\n', chunk->length - (size_t) (next - chunk->data))) != NULL)
	{
		take_line(file, next, (size_t) (end - next), file->end + (next - chunk->data));
		next = end + 1;
	}
	file->end += next - chunk->data;
	chunk->length -= (size_t) (next - chunk->data);
	memmove(chunk->data, next, chunk->length);
}

/*
 * Read what was added to the file; from its beginning, if the name has another
 * one. A line that was half there may have been cut since, and written anew
 */
static bool
refresh(NdjsonReader *file, Buffer *problem)
{
	struct stat now;
	Wait		wait = wait_begin(NULL);
	ssize_t		count = 0;

	if (stat(file->path, &now) != 0)
		return fail(file, problem);
	if ((now.st_ino != file->opened.st_ino || now.st_dev != file->opened.st_dev || now.st_size < file->end) && !open_anew(file, problem))
		return false;
	buffer_clear(&file->chunk);
	while (!stop_requested && (count = read_more(file, &file->chunk, file->end, CHUNK_SIZE)) > 0)
	{
		take_lines(file);
		wait_on(&wait, -1, 0, 0);
	}
	if (count < 0)
		return fail(file, problem);
	if (stop_requested)
		buffer_text(problem, "interrupted");
	return !stop_requested;
}

/* Note what an entry says of an item */
static bool
hold(NdjsonReader *file, Holdings *holdings, Holding *holding, const Entry *entry, Buffer *problem)
{
	Line		line;

	holding_set(holdings, holding, entry->has_document ? HELD_DOCUMENT : HELD_DELETION, entry->version, NULL, 0);
	if (!file->reader.documents || !entry->has_document)
		return true;
	if (!read_again(file, entry->place, true) || !read_line(file->line.data, file->line.length, &line))
	{
		buffer_printf(problem, "file \"%s\" was changed while it was read", file->path);
		return false;
	}
	holding_set(holdings, holding, HELD_DOCUMENT, entry->version, line.document.start, line.document.length);
	return true;
}

static bool
ndjson_begin(SinkReader *reader, int64_t *total, Buffer *problem)
{
	NdjsonReader *file = (NdjsonReader *) reader;

	file->walked = 0;
	if (!refresh(file, problem))
		return false;
	*total = file->count;
	return true;
}

static bool
ndjson_page(SinkReader *reader, int most, Holdings *page, Buffer *problem)
{
	NdjsonReader *file = (NdjsonReader *) reader;
	bool		good = true;

	for (int i = 0; good && i < most && file->walked < file->count; i++)
	{
		const Entry *entry = &file->entries[file->walked++];

		good = read_again(file, entry->place, false);
		if (good)
			good = hold(file, page, holdings_add(page, file->collection_id.data, file->item_id.data), entry, problem);
		else
			buffer_printf(problem, "file \"%s\" was changed while it was read", file->path);
	}
	return good;
}

static bool
ndjson_lookup(SinkReader *reader, Holdings *items, Buffer *problem)
{
	NdjsonReader *file = (NdjsonReader *) reader;
	bool		good = refresh(file, problem);

	for (int i = 0; good && i < items->count && file->index_size > 0; i++)
	{
		Holding    *item = &items->list[i];
		uint32_t	slot = find_slot(file, hash_key(item->collection_id, item->item_id), item->collection_id, item->item_id);

		if (file->index[slot] != NONE)
			good = hold(file, items, item, &file->entries[file->index[slot]], problem);
	}
	return good;
}

const ReaderKind ndjson_reader = {
	.check = ndjson_check,
	.make = ndjson_make,
	.open = ndjson_reader_open,
	.begin = ndjson_begin,
	.page = ndjson_page,
	.lookup = ndjson_lookup,
	.most = 1000,
	.close = ndjson_close,
};
