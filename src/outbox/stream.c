/*
 * outbox/stream.c
 *		Judges the filters of streams on a document as it was before a change
 *		and as it is after it. Each backend keeps the filtered streams.
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

#include "base/compat.h"
#include "base/table_cache.h"
#include "outbox/stream.h"

typedef struct FilteredStream
{
	char	   *name;
	List	   *collections;	/* of char *; NIL = all */
	JsonPath   *filter;
} FilteredStream;

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

/* Keep one stream. */
static void *
keep_stream(void *streams, HeapTuple row, TupleDesc desc)
{
	FilteredStream *stream = palloc0(sizeof(FilteredStream));
	bool		isnull;
	Datum		collections = SPI_getbinval(row, desc, 2, &isnull);

	if (!isnull)
		stream->collections = list_of_texts(DatumGetArrayTypeP(collections));
	stream->name = SPI_getvalue(row, desc, 1);
	stream->filter = (JsonPath *) PG_DETOAST_DATUM_COPY(SPI_getbinval(row, desc, 3, &isnull));
	return lappend(streams, stream);
}

/*
 * Read the filtered streams. One whose filter has a variable, as 0.1.0 let it
 * have, is never satisfied.
 */
static void *
read_streams(void)
{
	static Statement statement = {
		"SELECT name, collections, filter FROM esgf_stac.stream"
		" WHERE CASE WHEN filter IS NOT NULL THEN NOT esgf_stac_internal.has_variable(filter) END"
	};

	return keep_rows(&statement, NULL, keep_stream, NIL);
}

static TableCache stream_cache = {"stream", read_streams};

/* Does anybody ask what is in a document? */
bool
have_filtered_streams(void)
{
	return cached_rows(&stream_cache) != NIL;
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
 * Does a document, NULL if there is none, satisfy a filter? Unknown is no. A
 * time without a zone is in UTC, whoever asks: compared with one that has a
 * zone it would be an error else.
 */
bool
satisfies(Jsonb *document, JsonPath *filter)
{
	static pg_tz *utc = NULL;
	pg_tz	   *callers = session_timezone;
	bool		result;

	if (document == NULL)
		return false;
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

/*
 * Find the filtered streams that a document is in after its change, and those
 * that it was in before and just left, or all others; NULL stands for no document.
 */
void
judge_streams(const char *collection_id, Jsonb *before, Jsonb *after, bool leaves_all,
			  Datum *streams, Datum *left_streams)
{
	List	   *all = cached_rows(&stream_cache);
	List	   *in = NIL;
	List	   *left = NIL;
	ListCell   *cell;

	foreach(cell, all)
	{
		FilteredStream *stream = lfirst(cell);

		if (!list_has(stream->collections, collection_id))
			continue;
		if (satisfies(after, stream->filter))
			in = lappend(in, stream->name);
		else if (leaves_all || satisfies(before, stream->filter))
			left = lappend(left, stream->name);
	}
	*streams = text_array(in);
	*left_streams = text_array(left);
}
