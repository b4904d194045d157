/*
 * verbs/reissue.c
 *		reissue_item(): gives an item a version above one that a copy of it has,
 *		and that was never given here. Nothing else changes, and no right is asked
 *		for: whoever may call it may mend copies, in maintenance, too.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "access/identity.h"
#include "base/catalogue.h"
#include "base/errors.h"
#include "base/statement.h"
#include "item/settings.h"
#include "json/build.h"
#include "verbs/perform.h"
#include "verbs/verbs.h"

/* So far a copy may be ahead; beyond, it is damaged. */
#define LEAP_MAX INT64CONST(1000000)

PG_FUNCTION_INFO_V1(esgf_reissue_item);

/* Lock an item, deleted or not, and answer its version. */
static int64
lock_version(const ItemRequest *request)
{
	static Statement statement = {
		"SELECT version FROM esgf_stac.item"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id)};
	CollectionSettings settings;
	bool		isnull;

	if (run_statement_as_owner(&statement, values, NULL) == 0)
	{
		get_collection_settings(VARDATA_ANY(request->collection_id), VARSIZE_ANY_EXHDR(request->collection_id), &settings);
		item_missing(request);
	}
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Refuse what is no version that a copy could have. */
static void
check_leap(int64 above, int64 version)
{
	if (above < 1)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("argument \"%s\" must be a version", "above"),
				 errhint("Give the version that the copy has; the first one is 1.")));
	if (above > version && above - version > LEAP_MAX)
		ereport(ERROR,
				(errproblem(PROBLEM_BAD_REQUEST), errtable_of("item"),
				 errmsg("version " INT64_FORMAT " is more than " INT64_FORMAT " above the present one", above, LEAP_MAX),
				 errdetail("The item has version " INT64_FORMAT ".", version),
				 errhint("That is damage, and no history: remove it from the copy, and send the item anew.")));
}

/* What was asked, and which version was there: those between were never given. */
static Jsonb *
describe_reissue(int64 above, int64 version)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_number_member(&state, "above", above);
	push_string_member(&state, "method", "REISSUE", strlen("REISSUE"));
	push_number_member(&state, "version", version);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Write the row anew; the triggers see on which occasion. */
static void
write_row(ItemRequest *request)
{
	static Statement statement = {
		"UPDATE esgf_stac.item SET reason = NULL"
		" WHERE collection_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2] = {PointerGetDatum(request->collection_id), PointerGetDatum(request->item_id)};

	run_on_occasion(&request->occasion, &statement, values, NULL);
}

/* reissue_item(collection_id, item_id, above) */
Datum
esgf_reissue_item(PG_FUNCTION_ARGS)
{
	static const char *const hint = "Nothing may be left out.";
	ItemRequest request = {NULL};
	int64		above;
	int64		version;

	request.collection_id = DatumGetTextPP(required_argument(fcinfo, 0, "collection_id", "item", hint));
	request.item_id = DatumGetTextPP(required_argument(fcinfo, 1, "item_id", "item", hint));
	above = DatumGetInt64(required_argument(fcinfo, 2, "above", "item", hint));
	check_request_lengths(&request);
	require_writable_catalogue();
	require_own_rights();

	SPI_connect();
	version = lock_version(&request);
	check_leap(above, version);
	request.occasion.receipt.version = version;
	if (above >= version)
	{
		request.occasion.kind = BY_REISSUE;
		request.occasion.version = above + 1;
		request.occasion.request = describe_reissue(above, version);
		write_row(&request);
	}
	SPI_finish();
	return receipt_datum(fcinfo, &request);
}
