/*
 * item/dataset.c
 *		Locks datasets, finds out which version is the newest, demotes the ones
 *		that are superseded, and sees that all versions of a dataset are one
 *		institution's: see item/dataset.h.
 *
 * A row of an item is judged against the others when its statement ends, by
 * what the table then holds, whatever the order in which its rows came: the
 * statement notes which datasets it touches, and settles them. A demotion is a
 * change of its own, with its own version and event.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "base/bytes.h"
#include "base/catalogue.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/insertion.h"
#include "base/occasion.h"
#include "base/problems.h"
#include "base/statement.h"
#include "item/dataset.h"
#include "item/glance.h"
#include "item/row.h"
#include "json/edit.h"
#include "json/slice.h"

#define INSTITUTION_SHOWN 200

/*
 * A version as the index item_dataset has it: whether it is latest (0), another
 * candidate (1), or neither (2), and its number, -1 where its id has none.
 */
#define STANDING(item) \
	"(CASE WHEN " item ".latest THEN 0 WHEN " item ".deleted OR " item ".retracted THEN 2 ELSE 1 END)"
#define NUMBER(item) "coalesce(" item ".dataset_version::pg_catalog.numeric, -1)"

/*
 * The versions of the dataset that $1 and $2 name. The collation is that of the
 * index; item_pkey, which begins with the collection too, would read all of it.
 */
#define OF_DATASET(item) \
	item ".collection_id COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) $1 AND " item ".base_id OPERATOR(pg_catalog.=) $2"

/* Its row. */
#define IS_DATASET(dataset) \
	dataset ".collection_id OPERATOR(pg_catalog.=) $1 AND " dataset ".base_id OPERATOR(pg_catalog.=) $2"

static const MadeTable dataset_table = {
	"dataset", true, 0, 5, {{TEXTOID, true}, {TEXTOID, true}, {TEXTOID, false}, {JSONBOID, false}, {INT4OID, false}}
};

/* A dataset of which a statement has changed a version, in a way that concerns the others, or which it has made. */
typedef struct TouchedDataset
{
	SubTransactionId subxid;
	bool		made;			/* for a version that is about to come */
	uint64		settlings;		/* so many were before */
	Datum		collection_id;
	Datum		base_id;
	Datum		latest_id;		/* of the version, if it is latest; else 0 */
	Institution institution;	/* what the version says, if all are to say
								 * so; or without a value */
} TouchedDataset;

/* In the order in which they were touched, in a memory context of their own. */
static List *touched = NIL;
static MemoryContext touched_context = NULL;

/* How many lists of them were settled. */
static uint64 settlings = 0;

/* How many were touched before a subtransaction began. */
static int
touched_before(SubTransactionId subxid)
{
	int			count = 0;

	while (count < list_length(touched) && ((TouchedDataset *) list_nth(touched, count))->subxid < subxid)
		count++;
	return count;
}

/* What a statement touched and then undid need not be settled. */
static void
forget_touched(SubXactEvent event, SubTransactionId subxid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		touched = list_truncate(touched, touched_before(subxid));
}

/* With the transaction ends the memory of what it touched. */
static void
forget_all_touched(XactEvent event, void *arg)
{
	touched = NIL;
	touched_context = NULL;
}

/* Listen to ends of transactions, and have a place for what this one touches. */
static void
prepare_to_touch(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(forget_all_touched, NULL);
		RegisterSubXactCallback(forget_touched, NULL);
		registered = true;
	}
	if (touched_context == NULL)
		touched_context = GenerationContextCreate(TopTransactionContext, "esgf_stac touched datasets",
												  ALLOCSET_DEFAULT_SIZES);
}

/* The path of an institution in a memory context: mostly it is that of the one before. */
static char *
keep_path(const char *path)
{
	const char *before = touched ? ((TouchedDataset *) llast(touched))->institution.path : NULL;

	return before && strcmp(before, path) == 0 ? (char *) before : pstrdup(path);
}

/* The same of a collection's id. */
static Datum
keep_collection_id(Datum collection_id)
{
	const TouchedDataset *before = touched ? llast(touched) : NULL;

	return before && compare_texts(DatumGetTextPP(before->collection_id), DatumGetTextPP(collection_id)) == 0 ?
		before->collection_id : PointerGetDatum(PG_DETOAST_DATUM_COPY(collection_id));
}

/* Note a dataset, with what is said of a version. */
static TouchedDataset *
note_touched(Datum collection_id, Datum base_id, const Institution *institution, Datum latest_id)
{
	MemoryContext old;
	TouchedDataset *dataset;

	prepare_to_touch();
	old = MemoryContextSwitchTo(touched_context);
	dataset = palloc0(sizeof(TouchedDataset));
	dataset->subxid = GetCurrentSubTransactionId();
	dataset->settlings = settlings;
	dataset->collection_id = keep_collection_id(collection_id);
	dataset->base_id = PointerGetDatum(PG_DETOAST_DATUM_COPY(base_id));
	if (latest_id)
		dataset->latest_id = PointerGetDatum(PG_DETOAST_DATUM_COPY(latest_id));
	if (institution)
	{
		dataset->institution = *institution;
		dataset->institution.value = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(institution->value));
		dataset->institution.path = keep_path(institution->path);
	}
	touched = lappend(touched, dataset);
	MemoryContextSwitchTo(old);
	return dataset;
}

/* Note a dataset of which a version has changed, to settle it when the statement ends. */
void
touch_dataset(Datum collection_id, Datum base_id, const Institution *institution, Datum latest_id)
{
	note_touched(collection_id, base_id, institution, latest_id);
}

/* The base_id of an item as text. */
static Datum
base_id_datum(const ParsedId *id)
{
	return PointerGetDatum(cstring_to_text_with_len(id->id, id->base_len));
}

/* Lock the row of a dataset; false: there is none. */
static bool
lock_row(Datum collection_id, Datum base_id)
{
	static Statement statement = {
		"SELECT FROM esgf_stac.dataset AS d WHERE " IS_DATASET("d") " FOR UPDATE",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {collection_id, base_id};

	return run_statement_as_owner(&statement, values, NULL) == 1;
}

/* Lock the dataset of an item, before the item; false: there is none, and so no item. */
bool
lock_dataset(Datum collection_id, const ParsedId *id)
{
	bool		found;

	SPI_connect();
	found = lock_row(collection_id, base_id_datum(id));
	SPI_finish();
	return found;
}

/* The columns of a dataset that say whose it is. */
static inline Datum
institution_datum(const Institution *institution)
{
	return JsonbPGetDatum(institution ? institution->value : NULL);
}

static inline Datum
generation_datum(const Institution *institution)
{
	return Int32GetDatum(institution ? institution->generation : 0);
}

/* What all versions of a dataset are to say of their institution, or NULL. */
static inline const Institution *
asked_institution(const TouchedDataset *dataset)
{
	return dataset->institution.value ? &dataset->institution : NULL;
}

/* Make the row of a dataset without a statement; false: that does not go, or it is there. */
static bool
insert_dataset(Datum *values, const char *nulls)
{
	Insertion	insertion;
	bool		inserted;

	if (!begin_insertion(&insertion, &dataset_table))
		return false;
	for (int i = 0; i < dataset_table.count; i++)
	{
		insertion.slot->tts_values[i] = values[i];
		insertion.slot->tts_isnull[i] = nulls[i] == 'n';
	}
	inserted = insert_row_unless_there(&insertion);
	end_insertion(&insertion);
	return inserted;
}

/* Make the dataset of an item that is the first of it; false: there is one, or somebody makes it. */
static bool
make_dataset(Datum collection_id, Datum base_id, const ParsedId *id, bool latest, const Institution *institution)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.dataset (collection_id, base_id, latest_id, institution, institution_generation)"
		" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (collection_id, base_id) DO NOTHING",
		5, {TEXTOID, TEXTOID, TEXTOID, JSONBOID, INT4OID}
	};
	Datum		values[5] = {collection_id, base_id, PointerGetDatum(cstring_to_text_with_len(id->id, id->len)),
	institution_datum(institution), generation_datum(institution)};
	char		nulls[5] = {' ', ' ', latest ? ' ' : 'n', institution ? ' ' : 'n', institution ? ' ' : 'n'};
	bool		made = insert_dataset(values, nulls);

	if (!made)
	{
		SPI_connect();
		made = run_statement_as_owner(&statement, values, nulls) == 1;
		SPI_finish();
	}
	if (made)
		note_touched(collection_id, base_id, institution, latest ? values[2] : (Datum) 0)->made = true;
	return made;
}

/*
 * Lock the dataset of an item that appears, or make it where there is none, which
 * is answered: then no other version is there, and it says what this one says.
 *
 * The row is written even if it stays as it is, so that whoever waited for it
 * with an old snapshot is told (40001) instead of deciding by what was; once is
 * enough for that, and a statement may bring thousands of versions.
 */
bool
enter_dataset(Datum collection_id, const ParsedId *id, bool latest, const Institution *institution)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.dataset AS d (collection_id, base_id) VALUES ($1, $2)"
		" ON CONFLICT (collection_id, base_id) DO UPDATE SET latest_id = d.latest_id"
		" WHERE d.xmin OPERATOR(pg_catalog.<>) $3",
		3, {TEXTOID, TEXTOID, XIDOID}
	};
	Datum		values[3] = {collection_id, base_id_datum(id)};
	DatasetRow	row;

	if (current_occasion()->dataset_expected && find_dataset_row(collection_id, values[1], &row) && row.ours)
		return false;
	if (make_dataset(collection_id, values[1], id, latest, institution))
		return true;
	if (find_dataset_row(collection_id, values[1], &row) && row.ours)
		return false;
	values[2] = TransactionIdGetDatum(GetCurrentTransactionIdIfAny());
	SPI_connect();
	run_statement_as_owner(&statement, values, NULL);
	SPI_finish();
	return false;
}

/* An array as an argument of a statement, which says of each element whether it is null. */
static Datum
array_datum(Datum *values, bool *nulls, int count, Oid type, int length, bool by_value)
{
	int			lower = 1;

	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower, type, length, by_value, TYPALIGN_INT));
}

/*
 * Lock datasets, each of them once, in the order that they have, or make those
 * that are not there. WHERE false: a row that is there is locked, and stays as it is.
 */
void
enter_datasets(EnteredDataset *datasets, int count)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.dataset AS d (collection_id, base_id, latest_id, institution, institution_generation)"
		" SELECT k.* FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
		" pg_catalog.unnest($4), pg_catalog.unnest($5)) AS k"
		" ON CONFLICT (collection_id, base_id) DO UPDATE SET latest_id = d.latest_id WHERE false"
		" RETURNING d.collection_id, d.base_id",
		5, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID, INT4ARRAYOID}
	};
	Datum	   *columns[5];
	bool	   *nulls[5];
	Datum		values[5];
	int			made;
	int			next = 0;

	if (count == 0)
		return;
	for (int c = 0; c < 5; c++)
	{
		columns[c] = palloc(sizeof(Datum) * count);
		nulls[c] = palloc0(sizeof(bool) * count);
	}
	for (int i = 0; i < count; i++)
	{
		columns[0][i] = datasets[i].collection_id;
		columns[1][i] = datasets[i].base_id;
		columns[2][i] = datasets[i].latest_id;
		columns[3][i] = JsonbPGetDatum(datasets[i].institution.value);
		columns[4][i] = Int32GetDatum(datasets[i].institution.generation);
		nulls[2][i] = datasets[i].latest_id == (Datum) 0;
		nulls[3][i] = nulls[4][i] = datasets[i].institution.value == NULL;
	}
	for (int c = 0; c < 3; c++)
		values[c] = array_datum(columns[c], nulls[c], count, TEXTOID, -1, false);
	values[3] = array_datum(columns[3], nulls[3], count, JSONBOID, -1, false);
	values[4] = array_datum(columns[4], nulls[4], count, INT4OID, sizeof(int32), true);
	SPI_connect();
	made = run_statement_as_owner(&statement, values, NULL);
	for (int i = 0; i < count && next < made; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[next];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		datasets[i].made =
			compare_texts(DatumGetTextPP(SPI_getbinval(row, desc, 1, &isnull)), DatumGetTextPP(datasets[i].collection_id)) == 0 &&
			compare_texts(DatumGetTextPP(SPI_getbinval(row, desc, 2, &isnull)), DatumGetTextPP(datasets[i].base_id)) == 0;
		if (datasets[i].made)
			next++;
	}
	SPI_finish();
}

/* Remove a dataset that the caller has locked if it has no items. */
void
forget_dataset_if_empty(Datum collection_id, const ParsedId *id)
{
	static Statement statement = {
		"DELETE FROM esgf_stac.dataset AS d WHERE " IS_DATASET("d")
		" AND NOT EXISTS (SELECT FROM esgf_stac.item AS i WHERE " OF_DATASET("i") ")",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {collection_id, base_id_datum(id)};
	Occasion	occasion = {BY_CLEANING};

	SPI_connect();
	run_on_occasion(&occasion, &statement, values, NULL);
	SPI_finish();
}

/* Another version, so standing, whose number compares so with $4, which is that of the id $3. */
#define OTHER_VERSION(item, standing, operator) \
	OF_DATASET(item) " AND " STANDING(item) " OPERATOR(pg_catalog.=) " standing \
	" AND " NUMBER(item) " OPERATOR(pg_catalog." operator ") coalesce($4::pg_catalog.numeric, -1)" \
	" AND " item ".id OPERATOR(pg_catalog.<>) $3"

/*
 * May an item of the dataset, which has been entered, be latest? Not beside
 * another candidate that is newer, or one as new that is latest: versions are
 * numbers, and neither of two equal ones takes latest from the other.
 * With keep_own, an item that is there and active is to stay what it is.
 */
bool
may_be_latest(Datum collection_id, const ParsedId *id, bool keep_own)
{
	static Statement statement = {
		"SELECT coalesce((SELECT i.latest FROM esgf_stac.item AS i WHERE i.collection_id OPERATOR(pg_catalog.=) $1"
		" AND i.id OPERATOR(pg_catalog.=) $3 AND NOT i.deleted AND $5),"
		" NOT EXISTS (SELECT FROM esgf_stac.item AS n WHERE " OTHER_VERSION("n", "0", ">=") ")"
		" AND NOT EXISTS (SELECT FROM esgf_stac.item AS n WHERE " OTHER_VERSION("n", "1", ">") "))",
		5, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID}
	};
	Datum		values[5] = {collection_id, base_id_datum(id), PointerGetDatum(cstring_to_text_with_len(id->id, id->len))};
	text	   *latest;
	bool		isnull;
	bool		result;

	if (count_versions(collection_id, values[1], &latest) == VERSIONS_NONE)
		return true;
	if (id->version)
		values[3] = PointerGetDatum(cstring_to_text_with_len(id->version, id->version_len));
	values[4] = BoolGetDatum(keep_own);
	SPI_connect();
	run_statement_as_owner(&statement, values, id->version ? NULL : "   n ");
	result = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return result;
}

/* What a document says at that path; null where nothing stands there. */
static void
read_institution(const Jsonb *document, const char *path, JsonbValue *value)
{
	if (!json_pointer_get(document, path, strlen(path), value))
		value->type = jbvNull;
}

/* What a document says of its institution, in a collection so configured. */
Institution
institution_of(const Jsonb *document, const CollectionSettings *settings)
{
	JsonbValue	value;

	read_institution(document, settings->institution_path, &value);
	return (Institution) {JsonbValueToJsonb(&value), settings->institution_path, settings->institution_generation};
}

/* Do two documents say the same of their institution? */
bool
same_institution(const Jsonb *a, const Jsonb *b, const CollectionSettings *settings)
{
	JsonbValue	va;
	JsonbValue	vb;

	read_institution(a, settings->institution_path, &va);
	read_institution(b, settings->institution_path, &vb);
	return values_equal(&va, &vb);
}

/* What a version says of its institution, for people. */
static char *
describe_institution(const JsonbValue *value)
{
	StringInfoData text;

	if (value->type == jbvNull)
		return "absent";
	initStringInfo(&text);
	JsonbToCString(&text, &JsonbValueToJsonb((JsonbValue *) value)->root, -1);
	if (text.len > INSTITUTION_SHOWN)
		strcpy(text.data + pg_mbcliplen(text.data, text.len, INSTITUTION_SHOWN), "...");
	return text.data;
}

/*
 * Lock a dataset and all its versions: whoever changes one, and has not heard
 * yet that the collection has another path, is waited for or waits. In a
 * transaction whose snapshot is older than such a change that is an error (40001).
 */
static void
lock_versions(const TouchedDataset *dataset)
{
	static Statement statement = {
		"SELECT pg_catalog.count(*) FROM (SELECT FROM esgf_stac.item AS i WHERE " OF_DATASET("i") " FOR SHARE) AS locked",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {dataset->collection_id, dataset->base_id};

	lock_row(dataset->collection_id, dataset->base_id);
	run_statement_as_owner(&statement, values, NULL);
}

/* See that all versions of a dataset, deleted ones too, say this of their institution. */
static void
check_institution(const TouchedDataset *dataset)
{
	static Statement statement = {
		"SELECT i.id, i.document FROM esgf_stac.item AS i WHERE " OF_DATASET("i")
		" AND coalesce(esgf_stac.jsonb_pointer(i.document, $4), 'null') OPERATOR(pg_catalog.<>) $3 LIMIT 1",
		4, {TEXTOID, TEXTOID, JSONBOID, TEXTOID}
	};
	const Institution *institution = &dataset->institution;
	Datum		values[4] = {dataset->collection_id, dataset->base_id, JsonbPGetDatum(institution->value),
	CStringGetTextDatum(institution->path)};
	HeapTuple	row;
	TupleDesc	desc;
	JsonbValue	other;
	JsonbValue	this;
	bool		isnull;

	if (run_statement_as_owner(&statement, values, NULL) == 0)
		return;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	read_institution(DatumGetJsonbP(SPI_getbinval(row, desc, 2, &isnull)), institution->path, &other);
	read_institution(institution->value, "", &this);
	ereport(ERROR,
			(errproblem(PROBLEM_INSTITUTION_DIFFERS), errtable_of("item"),
			 errmsg("dataset \"%s\" belongs to another institution", TextDatumGetCString(dataset->base_id)),
			 errdetail_pointer(institution->path,
							   psprintf("must be %s as in \"%s\", not %s", describe_institution(&other),
										SPI_getvalue(row, desc, 1), describe_institution(&this)))));
}

/* A dataset as its row says, and as its versions are. */
typedef struct DatasetState
{
	text	   *recorded;		/* what its row says is latest, or NULL */
	bool		known;			/* does its row say this of the institution? */
	text	   *latest;			/* the newest version that is latest, or NULL */
	bool		others;			/* is another one latest beside it? */
	bool		superseded;		/* is another candidate newer? */
} DatasetState;

/*
 * Read a dataset: its row, the two newest versions that are latest, and the
 * newest other candidate.
 */
static void
read_dataset(const TouchedDataset *dataset, DatasetState *state)
{
	static Statement statement = {
		"SELECT 'd', d.latest_id, NULL::pg_catalog.numeric, coalesce(d.institution OPERATOR(pg_catalog.=) $3 AND"
		" d.institution_generation OPERATOR(pg_catalog.=) $4, false) FROM esgf_stac.dataset AS d WHERE " IS_DATASET("d")
		" UNION ALL (SELECT 'l', i.id, " NUMBER("i") ", NULL FROM esgf_stac.item AS i WHERE " OF_DATASET("i")
		" AND " STANDING("i") " OPERATOR(pg_catalog.=) 0 ORDER BY " NUMBER("i") " DESC LIMIT 2)"
		" UNION ALL (SELECT 'c', i.id, " NUMBER("i") ", NULL FROM esgf_stac.item AS i WHERE " OF_DATASET("i")
		" AND " STANDING("i") " OPERATOR(pg_catalog.=) 1 ORDER BY " NUMBER("i") " DESC LIMIT 1)",
		4, {TEXTOID, TEXTOID, JSONBOID, INT4OID}
	};
	const Institution *institution = asked_institution(dataset);
	Datum		values[4] = {dataset->collection_id, dataset->base_id, institution_datum(institution), generation_datum(institution)};
	int			count = run_statement_as_owner(&statement, values, institution ? NULL : "  nn");
	Datum		number = (Datum) 0;

	memset(state, 0, sizeof(*state));
	for (int i = 0; i < count; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char		kind = *SPI_getvalue(row, desc, 1);
		bool		isnull;
		Datum		id = SPI_getbinval(row, desc, 2, &isnull);

		if (kind == 'd')
		{
			state->recorded = isnull ? NULL : DatumGetTextPP(id);
			state->known = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
		}
		else if (kind == 'l' && state->latest == NULL)
		{
			state->latest = DatumGetTextPP(id);
			number = SPI_getbinval(row, desc, 3, &isnull);
		}
		else if (state->latest)
		{
			if (kind == 'l')
				state->others = true;
			else
				state->superseded = DatumGetBool(DirectFunctionCall2(numeric_gt, SPI_getbinval(row, desc, 3, &isnull), number));
		}
	}
}

/* Demote the versions of a dataset that are latest beside a newer candidate. */
static void
supersede(const TouchedDataset *dataset)
{
	static Statement statement = {
		"UPDATE esgf_stac.item AS i SET reason = NULL"
		" WHERE " OF_DATASET("i") " AND " STANDING("i") " OPERATOR(pg_catalog.=) 0"
		" AND (i.id OPERATOR(pg_catalog.<>) (SELECT n.id FROM esgf_stac.item AS n WHERE " OF_DATASET("n")
		" AND " STANDING("n") " OPERATOR(pg_catalog.=) 0 ORDER BY " NUMBER("n") " DESC LIMIT 1)"
		" OR " NUMBER("i") " OPERATOR(pg_catalog.<) (SELECT " NUMBER("n") " FROM esgf_stac.item AS n WHERE " OF_DATASET("n")
		" AND " STANDING("n") " OPERATOR(pg_catalog.=) 1 ORDER BY " NUMBER("n") " DESC LIMIT 1))",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {dataset->collection_id, dataset->base_id};
	Occasion	occasion = {BY_SUPERSESSION};

	run_on_occasion(&occasion, &statement, values, NULL);
}

/* Write down which version of a dataset is latest, and whose they all are, as far as that was asked. */
static void
write_dataset(const TouchedDataset *dataset, const text *latest)
{
	static Statement statement = {
		"UPDATE esgf_stac.dataset AS d SET latest_id = $3, institution = coalesce($4, d.institution),"
		" institution_generation = coalesce($5, d.institution_generation) WHERE " IS_DATASET("d"),
		5, {TEXTOID, TEXTOID, TEXTOID, JSONBOID, INT4OID}
	};
	const Institution *institution = asked_institution(dataset);
	Datum		values[5] = {dataset->collection_id, dataset->base_id, PointerGetDatum(latest),
	institution_datum(institution), generation_datum(institution)};
	char		nulls[5] = {' ', ' ', latest ? ' ' : 'n', institution ? ' ' : 'n', institution ? ' ' : 'n'};

	run_statement_as_owner(&statement, values, nulls);
}

/* Order datasets as all lock them. */
static int
compare_datasets(const ListCell *a, const ListCell *b)
{
	const TouchedDataset *da = lfirst(a);
	const TouchedDataset *db = lfirst(b);
	int			result = compare_texts((text *) DatumGetPointer(da->collection_id), (text *) DatumGetPointer(db->collection_id));

	return result ? result :
		compare_texts((text *) DatumGetPointer(da->base_id), (text *) DatumGetPointer(db->base_id));
}

/* Are two ids the same, or both none? */
static bool
same_id(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return compare_texts(a, b) == 0;
}

/* Is that what a dataset's row says of the institution? */
static bool
is_recorded(const Institution *institution, const DatasetRow *row)
{
	return row->institution && row->institution_generation == institution->generation &&
		documents_equal(row->institution, institution->value);
}

/*
 * Settle a dataset that has one version, where nobody else can enter it: then
 * there is nothing to compare, and nothing to supersede. Answers whether it is so.
 */
static bool
settle_single(const TouchedDataset *dataset)
{
	const Institution *institution = asked_institution(dataset);
	DatasetRow	row;
	text	   *latest;
	bool		unknown;

	if (!find_dataset_row(dataset->collection_id, dataset->base_id, &row))
		return false;
	unknown = institution && !is_recorded(institution, &row);
	if ((unknown && !row.ours) ||
		count_versions(dataset->collection_id, dataset->base_id, &latest) != VERSIONS_ONE)
		return false;
	if (unknown || !same_id(row.latest_id, latest))
	{
		SPI_connect();
		write_dataset(dataset, latest);
		SPI_finish();
	}
	return true;
}

/*
 * Settle a dataset. What all its versions are known to say of their institution
 * stands in its row: they are read only where that is unknown, or another.
 */
static void
settle_dataset(const TouchedDataset *dataset)
{
	DatasetState state;
	bool		unknown;

	if (settle_single(dataset))
		return;
	SPI_connect();
	read_dataset(dataset, &state);
	unknown = asked_institution(dataset) && !state.known;
	if (unknown)
	{
		lock_versions(dataset);
		check_institution(dataset);
	}
	if (state.others || state.superseded)
		supersede(dataset);
	if (state.superseded)
		state.latest = NULL;
	if (unknown || !same_id(state.recorded, state.latest))
		write_dataset(dataset, state.latest);
	SPI_finish();
}

/* The same, and of one dataset first that it was made, then what asks for its institution. */
static int
compare_touched(const ListCell *a, const ListCell *b)
{
	const TouchedDataset *da = lfirst(a);
	const TouchedDataset *db = lfirst(b);
	int			result = compare_datasets(a, b);

	if (result == 0)
		result = db->made - da->made;
	return result ? result : (asked_institution(da) == NULL) - (asked_institution(db) == NULL);
}

/* Do two notes of a dataset say the same of its institution? */
static bool
same_asked(const TouchedDataset *a, const TouchedDataset *b)
{
	return a->institution.value && b->institution.value && a->institution.generation == b->institution.generation &&
		documents_equal(a->institution.value, b->institution.value);
}

/* Does what was noted of a dataset ask for no more than what was noted before? */
static bool
is_settled(const ListCell *before, const ListCell *noted)
{
	const TouchedDataset *a = lfirst(before);
	const TouchedDataset *b = lfirst(noted);

	return compare_datasets(before, noted) == 0 && !a->made && (asked_institution(b) == NULL || same_asked(a, b));
}

/* Is the next cell of a list about the same dataset? */
static bool
goes_on(const List *list, int index)
{
	return index + 1 < list_length(list) && compare_datasets(list_nth_cell(list, index), list_nth_cell(list, index + 1)) == 0;
}

/*
 * Was a dataset made for the one version that the list has of it, from the given
 * cell on, and does its row say what this says? Then nothing is left to settle:
 * nobody else enters a dataset that this transaction has made. Not so where a
 * statement has settled meanwhile, which was called on the way.
 */
static bool
is_made_for_one(const List *list, int first, uint64 before)
{
	const TouchedDataset *made = list_nth(list, first);
	const TouchedDataset *version;

	if (!made->made || made->settlings != before || !goes_on(list, first))
		return false;
	version = list_nth(list, first + 1);
	return !version->made && same_id((text *) DatumGetPointer(version->latest_id), (text *) DatumGetPointer(made->latest_id)) &&
		same_asked(made, version) && !goes_on(list, first + 1);
}

/*
 * Settle the datasets of a list, when so many lists were settled before. That one
 * was made counts by itself only where its version did not come: a trigger kept
 * it out, or is on its way still.
 */
static void
settle_list(List *list, uint64 before)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "esgf_stac settling", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);

	list_sort(list, compare_touched);
	for (int i = 0; i < list_length(list); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_made_for_one(list, i, before))
			i++;
		else if (!(((TouchedDataset *) list_nth(list, i))->made && goes_on(list, i)) &&
				 (i == 0 || !is_settled(list_nth_cell(list, i - 1), list_nth_cell(list, i))))
			settle_dataset(list_nth(list, i));
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

/*
 * Settle the datasets that the statement which ends here has touched. What was
 * touched before this subtransaction is for the statement around it: were it
 * settled here, it would be undone with what is done here.
 */
void
settle_datasets(void)
{
	int			before = touched_before(GetCurrentSubTransactionId());

	while (list_length(touched) > before)
	{
		List	   *list = list_copy_tail(touched, before);
		MemoryContext context = before == 0 ? touched_context : NULL;

		touched = list_truncate(touched, before);
		if (context)
			touched_context = NULL;
		settle_list(list, settlings++);
		if (context)
			MemoryContextDelete(context);
	}
}
