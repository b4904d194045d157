/*
 * details.c
 *		What the page shows of a program beside its metrics.
 */
#include "lib/details.h"

#include "lib/database.h"
#include "lib/page.h"
#include "lib/wait.h"
#include "lib/watch.h"

/* The database is asked that often. */
#define ASK_MS 5000

/* Append a table; false if the database does not tell */
static bool
add_table(PGconn *sql, const char *subject, const DetailsTable *table, Buffer *html)
{
	Buffer		title = {0};
	Buffer		problem = {0};
	PGresult   *count = table->count != NULL ? database_query(sql, &problem, table->count, 1, &subject) : NULL;
	PGresult   *rows = table->count == NULL || count != NULL ? database_query(sql, &problem, table->rows, 1, &subject) : NULL;
	bool		good = rows != NULL;

	if (good)
	{
		buffer_text(&title, table->title);
		if (count != NULL)
			buffer_printf(&title, ": %s", PQgetvalue(count, 0, 0));
		page_table(html, title.data, table->none, rows);
	}
	PQclear(count);
	PQclear(rows);
	buffer_free(&title);
	buffer_free(&problem);
	return good;
}

/* Ask for the tables, if it is time and nothing else is under way; if that fails, those of before stay */
void
details_ask(Details *details, PGconn *sql, const char *subject, const DetailsTable *tables, int count)
{
	Buffer		html = {0};
	bool		good = true;

	if (monotonic_ms() < details->asked_at + ASK_MS || PQtransactionStatus(sql) != PQTRANS_IDLE)
		return;
	details->asked_at = monotonic_ms();
	for (int i = 0; i < count && good; i++)
		good = add_table(sql, subject, &tables[i], &html);
	if (good)
	{
		buffer_free(&details->tables);
		details->tables = html;
	}
	else
		buffer_free(&html);
}

/* The fact where the database is */
void
details_add_database(Buffer *facts, const PGconn *sql)
{
	if (sql == NULL || PQstatus(sql) != CONNECTION_OK)
		page_fact(facts, "Database", "not connected");
	else
		page_fact(facts, "Database", "%s at %s:%s", PQdb(sql), PQhost(sql), PQport(sql));
}

/* Have the page show the facts, and below them the tables */
void
details_show(const Details *details, Buffer *facts)
{
	buffer_append(facts, details->tables.data != NULL ? details->tables.data : "", details->tables.length);
	watch_show(facts);
	buffer_free(facts);
}
