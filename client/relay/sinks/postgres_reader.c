/*
 * postgres_reader.c
 *		What a table holds of each item, over a connection of its own.
 */
#include "sinks/reader.h"

#include <stdlib.h>

#include "lib/database.h"
#include "sinks/postgres.h"

/* The columns of what is read. */
enum
{
	ROW_COLLECTION, ROW_ITEM, ROW_VERSION, ROW_HAS_DOCUMENT, ROW_DOCUMENT
};

typedef struct PostgresReader
{
	SinkReader	reader;
	const char *target;
	PGconn	   *connection;
	Buffer		table;			/* quoted */
	char	   *collection_id;	/* of the last row that was read; NULL: none
								 * was */
	char	   *item_id;
} PostgresReader;

static SinkReader *
postgres_make(const SinkSettings *settings)
{
	PostgresReader *table = allocate(sizeof(PostgresReader));

	table->target = settings->target;
	return &table->reader;
}

static void
forget_position(PostgresReader *table)
{
	free(table->collection_id);
	free(table->item_id);
	table->collection_id = table->item_id = NULL;
}

static void
postgres_close(SinkReader *reader)
{
	PostgresReader *table = (PostgresReader *) reader;

	PQfinish(table->connection);
	buffer_free(&table->table);
	forget_position(table);
	free(table);
}

/* Connect; of a page of keys each is looked up, whatever the planner thinks of it */
static bool
postgres_open(SinkReader *reader, Buffer *problem)
{
	PostgresReader *table = (PostgresReader *) reader;
	char	   *conninfo;
	const char *name;

	if (!postgres_split_target(table->target, &conninfo, &name))
		abort();				/* the sink's check has seen it */
	table->connection = database_connect(conninfo, false, "a connection to read the sink", problem);
	free(conninfo);
	if (table->connection == NULL)
		return false;
	postgres_quote_table(table->connection, &table->table, name, "");
	return database_do(table->connection, problem, "SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off");
}

static bool
postgres_begin(SinkReader *reader, int64_t *total, Buffer *problem)
{
	PostgresReader *table = (PostgresReader *) reader;
	const char *parameters[] = {table->table.data};
	PGresult   *result = database_query(table->connection, problem,
										"SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = $1::pg_catalog.regclass", 1, parameters);

	if (result == NULL)
		return false;
	*total = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	forget_position(table);
	return true;
}

/* Begin a query of rows */
static void
begin_query(const PostgresReader *table, Buffer *query)
{
	buffer_printf(query, "SELECT t.collection_id, t.item_id, t.version, t.document IS NOT NULL, %s",
				  table->reader.documents ? "t.document" : "NULL");
}

/* Take what a row says of an item */
static void
take_row(Holdings *holdings, Holding *holding, const PGresult *rows, int row)
{
	bool		has_document = PQgetvalue(rows, row, ROW_HAS_DOCUMENT)[0] == 't';

	holding_set(holdings, holding, has_document ? HELD_DOCUMENT : HELD_DELETION, strtoll(PQgetvalue(rows, row, ROW_VERSION), NULL, 10),
				PQgetisnull(rows, row, ROW_DOCUMENT) ? NULL : PQgetvalue(rows, row, ROW_DOCUMENT), (size_t) PQgetlength(rows, row, ROW_DOCUMENT));
}

static bool
postgres_page(SinkReader *reader, int most, Holdings *page, Buffer *problem)
{
	PostgresReader *table = (PostgresReader *) reader;
	const char *parameters[] = {table->collection_id, table->item_id};
	Buffer		query = {0};
	PGresult   *rows;
	int			count;

	begin_query(table, &query);
	buffer_printf(&query, " FROM %s t%s ORDER BY t.collection_id, t.item_id LIMIT %d", table->table.data,
				  table->item_id != NULL ? " WHERE (t.collection_id, t.item_id) > ($1, $2)" : "", most);
	rows = database_query(table->connection, problem, query.data, table->item_id != NULL ? 2 : 0, parameters);
	buffer_free(&query);
	if (rows == NULL)
		return false;
	count = PQntuples(rows);
	for (int row = 0; row < count; row++)
		take_row(page, holdings_add(page, PQgetvalue(rows, row, ROW_COLLECTION), PQgetvalue(rows, row, ROW_ITEM)), rows, row);
	if (count > 0)
	{
		forget_position(table);
		table->collection_id = copy_string(PQgetvalue(rows, count - 1, ROW_COLLECTION));
		table->item_id = copy_string(PQgetvalue(rows, count - 1, ROW_ITEM));
	}
	PQclear(rows);
	return true;
}

static bool
postgres_lookup(SinkReader *reader, Holdings *items, Buffer *problem)
{
	PostgresReader *table = (PostgresReader *) reader;
	Buffer		collection_ids = {0};
	Buffer		item_ids = {0};
	Buffer		query = {0};
	const char *parameters[2];
	PGresult   *rows;

	for (int i = 0; i < items->count; i++)
	{
		array_add(&collection_ids, items->list[i].collection_id);
		array_add(&item_ids, items->list[i].item_id);
	}
	parameters[0] = array_text(&collection_ids);
	parameters[1] = array_text(&item_ids);
	begin_query(table, &query);
	buffer_printf(&query, ", k.place FROM unnest($1::text[], $2::text[]) WITH ORDINALITY k (collection_id, item_id, place)"
				  " JOIN %s t ON t.collection_id = k.collection_id AND t.item_id = k.item_id", table->table.data);
	rows = database_query(table->connection, problem, query.data, 2, parameters);
	for (int row = 0; rows != NULL && row < PQntuples(rows); row++)
		take_row(items, &items->list[atoi(PQgetvalue(rows, row, ROW_DOCUMENT + 1)) - 1], rows, row);
	buffer_free(&collection_ids);
	buffer_free(&item_ids);
	buffer_free(&query);
	PQclear(rows);
	return rows != NULL;
}

const ReaderKind postgres_reader = {
	.make = postgres_make,
	.open = postgres_open,
	.begin = postgres_begin,
	.page = postgres_page,
	.lookup = postgres_lookup,
	.most = 1000,
	.keeps_deletions = true,
	.close = postgres_close,
};
