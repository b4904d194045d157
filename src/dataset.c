/*
 * dataset.c
 *		Locks datasets, finds out which version is the newest, and demotes the
 *		one that is superseded: see dataset.h.
 *
 * A demotion is a change of its own, with its own version and event. It waits
 * for the end of the statement that published its successor, so that the
 * events of each item keep their order.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "catalogue.h"
#include "dataset.h"

/* An item that another one of its dataset has just replaced as latest. */
typedef struct Demotion
{
	SubTransactionId subxid;
	Datum		collection_id;
	Datum		id;
} Demotion;

static List *pending = NIL;
static bool is_superseding = false;

/* A demotion whose cause was rolled back must not happen. */
static void
forget_demotions(SubXactEvent event, SubTransactionId subxid, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		foreach(cell, pending)
		{
			if (((Demotion *) lfirst(cell))->subxid >= subxid)
				pending = foreach_delete_current(pending, cell);
		}
}

/* With the transaction ends the memory of what was pending. */
static void
forget_all_demotions(XactEvent event, void *arg)
{
	pending = NIL;
	is_superseding = false;
}

/* Remember an item to demote when the statement ends. */
static void
demote_later(Datum collection_id, Datum id)
{
	static bool registered = false;
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Demotion   *demotion = palloc(sizeof(Demotion));

	if (!registered)
	{
		RegisterXactCallback(forget_all_demotions, NULL);
		RegisterSubXactCallback(forget_demotions, NULL);
		registered = true;
	}
	demotion->subxid = GetCurrentSubTransactionId();
	demotion->collection_id = PointerGetDatum(PG_DETOAST_DATUM_COPY(collection_id));
	demotion->id = PointerGetDatum(PG_DETOAST_DATUM_COPY(id));
	pending = lappend(pending, demotion);
	MemoryContextSwitchTo(old);
}

/* The base_id of an item as text. */
static Datum
base_id_datum(const ParsedId *id)
{
	return PointerGetDatum(cstring_to_text_with_len(id->id, id->base_len));
}

/* Lock the dataset of an item, before the item; false: there is none, and so no item. */
bool
lock_dataset(Datum collection_id, const ParsedId *id)
{
	static Statement statement = {
		"SELECT FROM esgf_stac.dataset WHERE collection_id OPERATOR(pg_catalog.=) $1"
		" AND base_id OPERATOR(pg_catalog.=) $2 FOR UPDATE",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {collection_id, base_id_datum(id)};
	bool		found;

	SPI_connect();
	found = run_statement_as_owner(&statement, values, NULL) == 1;
	SPI_finish();
	return found;
}

/*
 * Lock the dataset of an item that appears, making it where there is none.
 * Answers whether the dataset holds the item for its latest already, as a new
 * one does of its first item if that may be latest.
 *
 * The row is written even if it stays as it is, so that whoever waited for it
 * with an old snapshot is told (40001) instead of deciding by what was.
 */
bool
enter_dataset(Datum collection_id, const ParsedId *id, bool may_be_latest)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.dataset AS d (collection_id, base_id, latest_id) VALUES ($1, $2, $3)"
		" ON CONFLICT (collection_id, base_id) DO UPDATE SET latest_id = d.latest_id"
		" RETURNING coalesce(latest_id OPERATOR(pg_catalog.=) $3, false)",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[3] = {collection_id, base_id_datum(id), PointerGetDatum(cstring_to_text_with_len(id->id, id->len))};
	bool		isnull;
	bool		is_latest;

	SPI_connect();
	run_statement_as_owner(&statement, values, may_be_latest ? NULL : "  n");
	is_latest = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return is_latest;
}

/* Remove a dataset that the caller has locked if it has no items. */
void
forget_dataset_if_empty(Datum collection_id, const ParsedId *id)
{
	static Statement statement = {
		"DELETE FROM esgf_stac.dataset AS d WHERE d.collection_id OPERATOR(pg_catalog.=) $1"
		" AND d.base_id OPERATOR(pg_catalog.=) $2 AND NOT EXISTS (SELECT FROM esgf_stac.item AS i"
		" WHERE i.collection_id OPERATOR(pg_catalog.=) $1 AND i.base_id OPERATOR(pg_catalog.=) $2)",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {collection_id, base_id_datum(id)};

	SPI_connect();
	removal_permitted = true;
	PG_TRY();
	{
		run_statement_as_owner(&statement, values, NULL);
	}
	PG_FINALLY();
	{
		removal_permitted = false;
	}
	PG_END_TRY();
	SPI_finish();
}

/*
 * Is another version of the locked dataset newer, active and unretracted?
 * With or_same, that an item of this very id is so counts as well.
 */
bool
has_newer_version(Datum collection_id, const ParsedId *id, bool or_same)
{
	static Statement statement = {
		"SELECT dataset_version, id OPERATOR(pg_catalog.=) $3 FROM esgf_stac.item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND base_id OPERATOR(pg_catalog.=) $2"
		" AND NOT deleted AND NOT retracted",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[3] = {collection_id, base_id_datum(id), PointerGetDatum(cstring_to_text_with_len(id->id, id->len))};
	int			count;
	bool		newer = false;

	SPI_connect();
	count = run_statement_as_owner(&statement, values, NULL);
	for (int i = 0; i < count && !newer; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *version = SPI_getvalue(row, desc, 1);
		bool		isnull;

		if (DatumGetBool(SPI_getbinval(row, desc, 2, &isnull)))
			newer = or_same;
		else
			newer = compare_dataset_versions(version, version ? strlen(version) : 0, id->version, id->version_len) > 0;
	}
	SPI_finish();
	return newer;
}

/* The document of the newest version beside an item, deleted ones too; NULL if there is none. */
Jsonb *
newest_other_version(Datum collection_id, Datum base_id, Datum id)
{
	static Statement statement = {
		"SELECT document FROM esgf_stac.item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND base_id OPERATOR(pg_catalog.=) $2"
		" AND id OPERATOR(pg_catalog.<>) $3"
		" ORDER BY pg_catalog.length(pg_catalog.ltrim(dataset_version, '0')) DESC NULLS LAST,"
		" pg_catalog.ltrim(dataset_version, '0') DESC LIMIT 1",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[3] = {collection_id, base_id, id};
	Jsonb	   *document = NULL;

	SPI_connect();
	if (run_statement_as_owner(&statement, values, NULL) == 1)
	{
		bool		isnull;
		Jsonb	   *found = DatumGetJsonbP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));

		document = SPI_palloc(VARSIZE(found));
		memcpy(document, found, VARSIZE(found));
	}
	SPI_finish();
	return document;
}

/*
 * Write down that an item became latest, and demote the one that was. Its
 * dataset has been entered. Answers whether this stood there already, which
 * means that the dataset was made for this item.
 */
bool
record_latest(Datum collection_id, Datum base_id, Datum id)
{
	static Statement get = {
		"SELECT latest_id, latest_id OPERATOR(pg_catalog.=) $3 FROM esgf_stac.dataset"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND base_id OPERATOR(pg_catalog.=) $2",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	static Statement set = {
		"UPDATE esgf_stac.dataset SET latest_id = $3"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND base_id OPERATOR(pg_catalog.=) $2",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[3] = {collection_id, base_id, id};
	Datum		before;
	bool		isnull;
	bool		recorded;

	SPI_connect();
	if (run_statement_as_owner(&get, values, NULL) != 1)
		elog(ERROR, "dataset \"%s\" has not been entered", TextDatumGetCString(base_id));
	before = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	recorded = !isnull && DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	if (!recorded)
	{
		if (!isnull)
			demote_later(collection_id, before);
		run_statement_as_owner(&set, values, NULL);
	}
	SPI_finish();
	return recorded;
}

/* Write down that an item ceased to be latest. */
void
forget_latest(Datum collection_id, Datum base_id, Datum id)
{
	static Statement statement = {
		"UPDATE esgf_stac.dataset SET latest_id = NULL WHERE collection_id OPERATOR(pg_catalog.=) $1"
		" AND base_id OPERATOR(pg_catalog.=) $2 AND latest_id OPERATOR(pg_catalog.=) $3",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[3] = {collection_id, base_id, id};

	SPI_connect();
	run_statement_as_owner(&statement, values, NULL);
	SPI_finish();
}

/* An item appears that is not to be latest: then no older version is latest any more. */
void
end_older_latest(Datum collection_id, Datum base_id, Datum id)
{
	static Statement statement = {
		"SELECT latest_id FROM esgf_stac.dataset WHERE collection_id OPERATOR(pg_catalog.=) $1"
		" AND base_id OPERATOR(pg_catalog.=) $2",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {collection_id, base_id};
	text	   *item = DatumGetTextPP(id);
	text	   *latest;
	ParsedId	own;
	ParsedId	other;
	bool		isnull;
	Datum		latest_id;

	SPI_connect();
	run_statement_as_owner(&statement, values, NULL);
	latest_id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		latest = DatumGetTextPP(latest_id);
		parse_item_id(VARDATA_ANY(item), VARSIZE_ANY_EXHDR(item), &own);
		parse_item_id(VARDATA_ANY(latest), VARSIZE_ANY_EXHDR(latest), &other);
		if (compare_dataset_versions(other.version, other.version_len, own.version, own.version_len) < 0)
		{
			forget_latest(collection_id, base_id, latest_id);
			demote_later(collection_id, latest_id);
		}
	}
	SPI_finish();
}

/* Is the change under way a demotion? */
bool
superseding(void)
{
	return is_superseding;
}

/* Demote what the statement that ends here has superseded. */
void
supersede_pending(void)
{
	static Statement statement = {
		"UPDATE esgf_stac.item SET reason = NULL WHERE collection_id OPERATOR(pg_catalog.=) $1"
		" AND id OPERATOR(pg_catalog.=) $2 AND latest",
		2, {TEXTOID, TEXTOID}
	};

	if (is_superseding || pending == NIL)
		return;
	SPI_connect();
	while (pending != NIL)
	{
		Demotion   *demotion = linitial(pending);
		Datum		values[2] = {demotion->collection_id, demotion->id};

		pending = list_delete_first(pending);
		is_superseding = true;
		PG_TRY();
		{
			run_statement_as_owner(&statement, values, NULL);
		}
		PG_FINALLY();
		{
			is_superseding = false;
		}
		PG_END_TRY();
	}
	SPI_finish();
}
