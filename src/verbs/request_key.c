/*
 * verbs/request_key.c
 *		Idempotency keys: see verbs/request_key.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "access/identity.h"
#include "base/bytes.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/statement.h"
#include "item/id.h"
#include "json/slice.h"
#include "verbs/request_key.h"

/* What is wrong with a key; NULL if nothing is. */
const char *
request_id_problem(const text *request_id)
{
	if (VARSIZE_ANY_EXHDR(request_id) == 0)
		return "must not be empty";
	if (VARSIZE_ANY_EXHDR(request_id) > NAME_MAX_LENGTH)
		return TOO_LONG_A_NAME;
	return NULL;
}

/* A key and the digest of its request. */
RequestKey *
make_request_key(text *request_id, const JsonbValue *request)
{
	RequestKey *key = palloc(sizeof(RequestKey));
	char	   *words = JsonbToCString(NULL, request->val.binary.data, request->val.binary.len);
	text	   *bytes = cstring_to_text(words);

	key->request_id = request_id;
	key->digest = DirectFunctionCall1(sha256_bytea, PointerGetDatum(bytes));
	pfree(bytes);
	pfree(words);
	return key;
}

/* The parameters of a statement about a key. */
static void
key_parameters(const RequestKey *key, Datum *values)
{
	values[0] = PointerGetDatum(current_client());
	values[1] = PointerGetDatum(key->request_id);
	values[2] = key->digest;
}

/* Enter a key unless it is there; waits for who has just entered it. SPI is connected. */
static void
enter_key(Datum *values)
{
	static Statement statement = {
		"INSERT INTO esgf_stac.request (client, request_id, digest) VALUES ($1, $2, $3)"
		" ON CONFLICT (client, request_id) DO NOTHING",
		3, {TEXTOID, TEXTOID, BYTEAOID}
	};

	run_statement_as_owner(&statement, values, NULL);
}

/* Order keys by their bytes. */
static int
compare_request_keys(const ListCell *a, const ListCell *b)
{
	const text *ida = ((RequestKey *) lfirst(a))->request_id;
	const text *idb = ((RequestKey *) lfirst(b))->request_id;

	return compare_texts(ida, idb);
}

/* Enter all keys of a call, in one order. */
void
enter_keys(List *keys)
{
	List	   *sorted = list_copy(keys);
	ListCell   *cell;
	Datum		values[3];

	list_sort(sorted, compare_request_keys);
	SPI_connect();
	foreach(cell, sorted)
	{
		CHECK_FOR_INTERRUPTS();
		key_parameters(lfirst(cell), values);
		enter_key(values);
	}
	SPI_finish();
}

/* What a request was answered the first time; NULL if this is the first time. */
Jsonb *
remembered_outcome(const RequestKey *key)
{
	static Statement statement = {
		"SELECT outcome, digest OPERATOR(pg_catalog.=) $3 FROM esgf_stac.request"
		" WHERE client OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2",
		3, {TEXTOID, TEXTOID, BYTEAOID}
	};
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[3];
	Datum		outcome;
	bool		unanswered;
	bool		isnull;

	key_parameters(key, values);
	SPI_connect();
	/* An old key may have been pruned since it was found. */
	while (run_statement_as_owner(&statement, values, NULL) == 0)
		enter_key(values);
	outcome = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &unanswered);
	if (!unanswered && !DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)))
		ereport(ERROR,
				(errproblem(PROBLEM_REQUEST_ID_REUSED), errtable_of("request"),
				 errsentence("request_id \"%s\" belongs to another request", text_to_cstring(key->request_id))));
	MemoryContextSwitchTo(caller);
	outcome = unanswered ? (Datum) 0 : JsonbPGetDatum(DatumGetJsonbPCopy(outcome));
	SPI_finish();
	return unanswered ? NULL : DatumGetJsonbP(outcome);
}

/* Remember what a request came to. */
void
remember_outcome(const RequestKey *key, Jsonb *outcome)
{
	static Statement statement = {
		"UPDATE esgf_stac.request SET digest = $3, outcome = $4"
		" WHERE client OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2",
		4, {TEXTOID, TEXTOID, BYTEAOID, JSONBOID}
	};
	Datum		values[4];

	key_parameters(key, values);
	values[3] = JsonbPGetDatum(outcome);
	SPI_connect();
	run_statement_as_owner(&statement, values, NULL);
	SPI_finish();
}

/* Forget a key whose request was refused: it may come again, with another body too. */
void
forget_unanswered_key(const RequestKey *key)
{
	static Statement statement = {
		"DELETE FROM esgf_stac.request WHERE client OPERATOR(pg_catalog.=) $1"
		" AND request_id OPERATOR(pg_catalog.=) $2 AND outcome IS NULL",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {PointerGetDatum(current_client()), PointerGetDatum(key->request_id)};

	SPI_connect();
	run_statement_as_owner(&statement, values, NULL);
	SPI_finish();
}
