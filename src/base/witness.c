/*
 * base/witness.c
 *		Rows that say which transaction wrote them, as their headers do. pg_upgrade
 *		moves both to another cluster, as they are; a restore writes the rows anew,
 *		by a transaction of its own. So adopt_catalogue() knows whether what was
 *		noted of transactions still means something.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "base/compat.h"

PG_FUNCTION_INFO_V1(esgf_note_writer);

/* Read a column of a row, which is never null. */
static Datum
read_column(HeapTuple row, TupleDesc desc, const char *name)
{
	bool		isnull;

	return SPI_getbinval(row, desc, SPI_fnumber(desc, name), &isnull);
}

/* Does its header name the transaction that the row says wrote it? */
static bool
is_kept(HeapTuple row, TupleDesc desc)
{
	FullTransactionId written = DatumGetFullTransactionId(read_column(row, desc, "written"));

	return TransactionIdEquals(XidFromFullTransactionId(written), HeapTupleHeaderGetRawXmin(row->t_data));
}

/*
 * Trigger: have a row say which transaction writes it (or which of its
 * savepoints: that is what the header has). A row of another cluster goes on as
 * what it was, until it is adopted.
 */
Datum
esgf_note_writer(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	int			column;
	bool		isnull = false;
	Datum		written;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired before each row", "note_writer")));
	desc = RelationGetDescr(trigdata->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	column = SPI_fnumber(desc, "written");
	if ((uint64) DatumGetInt64(read_column(row, desc, "system_identifier")) == GetSystemIdentifier() ||
		(TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) && is_kept(trigdata->tg_trigtuple, desc)))
		written = FullTransactionIdGetDatum(GetCurrentFullTransactionId());
	else if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		written = read_column(trigdata->tg_trigtuple, desc, "written");
	else
		return PointerGetDatum(row);
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &column, &written, &isnull));
}
