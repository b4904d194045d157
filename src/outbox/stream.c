/*
 * outbox/stream.c
 *		Judges which streams an item is in: see outbox/stream.h. Each backend
 *		keeps the streams, and the rules of their sites.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"
#include "utils/memutils.h"

#include "base/catalogue.h"
#include "base/compat.h"
#include "base/table_cache.h"
#include "outbox/stream.h"

/* Items of some collections that satisfy a filter. */
typedef struct Choice
{
	List	   *collections;	/* of char *; NIL: all */
	JsonPath   *filter;			/* NULL: all */
} Choice;

typedef struct Stream
{
	char	   *name;
	Choice		choice;
	char	   *node;			/* of the site that it is for; NULL: of none */
} Stream;

/* What the site of a stream wants, or has wanted since that was made. */
typedef struct StreamWish
{
	char	   *stream;
	Choice		choice;
} StreamWish;

PG_FUNCTION_INFO_V1(esgf_is_in_stream);
PG_FUNCTION_INFO_V1(esgf_satisfies);

/* The elements of a text[] as strings. */
static List *
list_of_texts(ArrayType *array)
{
	Datum	   *elements;
	int			count;
	List	   *list = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		list = lappend(list, TextDatumGetCString(elements[i]));
	return list;
}

/* Read a choice of a row's columns. */
static Choice
read_choice(HeapTuple row, TupleDesc desc, int collections, int filter)
{
	Choice		choice = {0};
	bool		isnull;
	Datum		value = SPI_getbinval(row, desc, collections, &isnull);

	if (!isnull)
		choice.collections = list_of_texts(DatumGetArrayTypeP(value));
	value = SPI_getbinval(row, desc, filter, &isnull);
	if (!isnull)
		choice.filter = (JsonPath *) PG_DETOAST_DATUM_COPY(value);
	return choice;
}

/* Keep one wish. */
static void *
keep_wish(void *wishes, HeapTuple row, TupleDesc desc)
{
	StreamWish *wish = palloc(sizeof(StreamWish));

	wish->stream = SPI_getvalue(row, desc, 1);
	wish->choice = read_choice(row, desc, 2, 3);
	return lappend(wishes, wish);
}

/* Read the wishes of all streams. Rules that want the same are one. */
static void *
read_wishes(void)
{
	static Statement statement = {
		"SELECT stream, collections, filter::pg_catalog.jsonpath FROM"
		" (SELECT DISTINCT s.name AS stream, r.collections, r.filter::pg_catalog.text FROM esgf_stac.stream AS s"
		" JOIN esgf_stac.replication_rule AS r ON r.node OPERATOR(pg_catalog.=) s.node"
		" AND (r.valid_to IS NULL OR r.valid_to OPERATOR(pg_catalog.>) s.created)) AS wish"
	};

	return keep_rows(&statement, NULL, keep_wish, NIL);
}

static TableCache wish_cache = {"replication_rule", read_wishes};

/* Keep one stream. */
static void *
keep_stream(void *streams, HeapTuple row, TupleDesc desc)
{
	Stream	   *stream = palloc(sizeof(Stream));

	stream->name = SPI_getvalue(row, desc, 1);
	stream->choice = read_choice(row, desc, 2, 3);
	stream->node = SPI_getvalue(row, desc, 4);
	return lappend(streams, stream);
}

/*
 * Read the streams, whose wishes may be others then. One whose filter has a
 * variable, as 0.1.0 let it have, is never satisfied.
 */
static void *
read_streams(void)
{
	static Statement statement = {
		"SELECT name, collections, filter, node FROM esgf_stac.stream"
		" WHERE filter IS NULL OR NOT esgf_stac_internal.has_variable(filter)"
	};

	forget_rows(&wish_cache);
	return keep_rows(&statement, NULL, keep_stream, NIL);
}

static TableCache stream_cache = {"stream", read_streams};

/* Does it depend on the item whether an event is in a stream? */
static bool
is_filtered(const Stream *stream)
{
	return stream->choice.filter || stream->node;
}

/* Does anybody ask what is in a document? */
bool
have_filtered_streams(void)
{
	List	   *all = cached_rows(&stream_cache);
	ListCell   *cell;

	foreach(cell, all)
		if (is_filtered(lfirst(cell)))
		return true;
	return false;
}

/* Is a collection one of a list? */
static bool
list_has(List *collections, const char *id)
{
	ListCell   *cell;

	if (collections == NIL)
		return true;
	foreach(cell, collections)
		if (strcmp(lfirst(cell), id) == 0)
		return true;
	return false;
}

/* Call jsonb_path_match_tz(document, filter, silent => true). */
static bool
match_path(Jsonb *document, JsonPath *filter)
{
	static uint32 no_variables[2] = {0, JB_FOBJECT};	/* an empty object, made
														 * once */

	LOCAL_FCINFO(fcinfo, 4);
	Datum		result;

	SET_VARSIZE(no_variables, sizeof(no_variables));
	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(document);
	fcinfo->args[1].value = PointerGetDatum(filter);
	fcinfo->args[2].value = PointerGetDatum(no_variables);
	fcinfo->args[3].value = BoolGetDatum(true);
	for (int i = 0; i < 4; i++)
		fcinfo->args[i].isnull = false;
	result = jsonb_path_match_tz(fcinfo);
	return !fcinfo->isnull && DatumGetBool(result);
}

/*
 * Does a document satisfy a filter? Unknown is no. A time without a zone is in
 * UTC, whoever asks: compared with one that has a zone it would be an error else.
 */
bool
satisfies(Jsonb *document, JsonPath *filter)
{
	static pg_tz *utc = NULL;
	pg_tz	   *callers = session_timezone;
	bool		result;

	if (utc == NULL)
		utc = pg_tzset("GMT");
	session_timezone = utc;
	PG_TRY();
	{
		result = match_path(document, filter);
	}
	PG_FINALLY();
	{
		session_timezone = callers;
	}
	PG_END_TRY();
	return result;
}

/* satisfies(document, filter) */
Datum
esgf_satisfies(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(satisfies(PG_GETARG_JSONB_P(0), PG_GETARG_JSONPATH_P(1)));
}

/* A list of Datums of type text as text[], or 0 for none. */
static Datum
text_array(List *names)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, list_length(names)));
	int			count = 0;
	ListCell   *cell;

	if (names == NIL)
		return (Datum) 0;
	foreach(cell, names)
		elements[count++] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Is a document of a collection among what is chosen? */
static bool
is_chosen(const Choice *choice, const char *collection_id, Datum document)
{
	return list_has(choice->collections, collection_id) &&
		(choice->filter == NULL || satisfies(DatumGetJsonbP(document), choice->filter));
}

/* Is a text one of a text[]? */
static bool
array_has(Datum array, const char *text)
{
	List	   *texts = list_of_texts(DatumGetArrayTypeP(array));
	bool		found = texts != NIL && list_has(texts, text);

	list_free_deep(texts);
	return found;
}

/* Does the site of a stream have an item, or want it? */
static bool
concerns_site(const Stream *stream, const char *collection_id, const StreamedItem *item)
{
	List	   *wishes;
	ListCell   *cell;

	if (array_has(item->nodes, stream->node))
		return true;
	wishes = cached_rows(&wish_cache);
	foreach(cell, wishes)
	{
		StreamWish *wish = lfirst(cell);

		if (strcmp(wish->stream, stream->name) == 0 && is_chosen(&wish->choice, collection_id, item->document))
			return true;
	}
	return false;
}

/* Is an item in a stream? */
static bool
is_in_stream(const Stream *stream, const char *collection_id, const StreamedItem *item)
{
	return item->document != (Datum) 0 && is_chosen(&stream->choice, collection_id, item->document) &&
		(stream->node == NULL || concerns_site(stream, collection_id, item));
}

/* is_in_stream(stream, collection_id, document, nodes) */
Datum
esgf_is_in_stream(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *collection_id = text_to_cstring(PG_GETARG_TEXT_PP(1));
	StreamedItem item = {PG_GETARG_DATUM(2), PG_GETARG_DATUM(3)};
	List	   *all;
	ListCell   *cell;

	require_catalogue();
	all = cached_rows(&stream_cache);
	foreach(cell, all)
	{
		Stream	   *stream = lfirst(cell);

		if (strcmp(stream->name, name) == 0)
			PG_RETURN_BOOL(is_in_stream(stream, collection_id, &item));
	}
	PG_RETURN_BOOL(false);
}

/*
 * Find the filtered streams that an item is in after its change, and those that
 * it was in before and just left, or all others.
 */
void
judge_streams(const char *collection_id, const StreamedItem *before, const StreamedItem *after,
			  bool leaves_all, Datum *streams, Datum *left_streams)
{
	List	   *all = cached_rows(&stream_cache);
	List	   *in = NIL;
	List	   *left = NIL;
	ListCell   *cell;

	foreach(cell, all)
	{
		Stream	   *stream = lfirst(cell);

		if (!is_filtered(stream) || !list_has(stream->choice.collections, collection_id))
			continue;
		if (is_in_stream(stream, collection_id, after))
			in = lappend(in, stream->name);
		else if (leaves_all || is_in_stream(stream, collection_id, before))
			left = lappend(left, stream->name);
	}
	*streams = text_array(in);
	*left_streams = text_array(left);
}
