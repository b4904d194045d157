/*
 * base/insertion.c
 *		Inserts rows without a statement: see base/insertion.h.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "base/catalogue.h"
#include "base/compat.h"
#include "base/insertion.h"

/* Does a table do something of its own when rows are inserted? */
static bool
has_insert_triggers(const TriggerDesc *triggers)
{
	return triggers &&
		(triggers->trig_insert_before_row || triggers->trig_insert_after_row || triggers->trig_insert_instead_row ||
		 triggers->trig_insert_before_statement || triggers->trig_insert_after_statement || triggers->trig_insert_new_table);
}

/* Are the columns of a table those that we made? */
static bool
has_columns(TupleDesc desc, const MadeTable *made)
{
	if (desc->natts != made->count)
		return false;
	for (int i = 0; i < made->count; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || column->attgenerated != '\0' || column->atttypid != made->columns[i].type ||
			column->atttypmod != -1 || column->attnotnull != made->columns[i].not_null)
			return false;
	}
	return true;
}

/* Is a table as we made it, as far as insertions are concerned? One of another owner asks for a right. */
static bool
is_as_made(Relation table, const MadeTable *made)
{
	TupleDesc	desc = RelationGetDescr(table);

	return table->rd_rel->relowner == tables_owner && table->rd_rel->relkind == RELKIND_RELATION && !table->rd_rel->relispartition &&
		!table->rd_rel->relrowsecurity && table->rd_rules == NULL && !has_insert_triggers(table->trigdesc) &&
		(desc->constr ? desc->constr->num_check : 0) == made->checks && has_columns(desc, made);
}

/*
 * Begin to insert rows, with the rights of the table's owner, in which no code
 * but that of indexes is run; false: the table is not as we made it.
 */
bool
begin_insertion(Insertion *insertion, const MadeTable *made)
{
	Relation	table = table_open(table_oid(made->name), RowExclusiveLock);

	if (!is_as_made(table, made))
	{
		table_close(table, NoLock);
		return false;
	}
	become_owner(&insertion->caller);
	insertion->table = table;
	insertion->estate = CreateExecutorState();
	insertion->target = makeNode(ResultRelInfo);
	InitResultRelInfo(insertion->target, table, 1, NULL, 0);
	ExecOpenIndices(insertion->target, made->speculative);
	insertion->slot = table_slot_create(table, NULL);
	ExecStoreAllNullTuple(insertion->slot);
	return true;
}

/* Insert the row whose values the slot holds, and clear it. */
void
insert_row(Insertion *insertion)
{
	TupleTableSlot *slot = insertion->slot;

	table_tuple_insert(insertion->table, slot, GetCurrentCommandId(true), 0, NULL);
	insert_index_entries(insertion->target, slot, insertion->estate, NULL);
	ResetPerTupleExprContext(insertion->estate);
	ExecStoreAllNullTuple(slot);
}

/* Insert the row; false: another one of its key came first. */
static bool
insert_speculatively(Insertion *insertion)
{
	TupleTableSlot *slot = insertion->slot;
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		conflict = false;

	table_tuple_insert_speculative(insertion->table, slot, GetCurrentCommandId(true), 0, NULL, token);
	insert_index_entries(insertion->target, slot, insertion->estate, &conflict);
	table_tuple_complete_speculative(insertion->table, slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	return !conflict;
}

/*
 * Insert the row unless one of its key is there, or comes meanwhile: who sees
 * then what is there decides by a statement.
 */
bool
insert_row_unless_there(Insertion *insertion)
{
	ItemPointerData conflict;
	bool		inserted = check_index_entries(insertion->target, insertion->slot, insertion->estate, &conflict) &&
	insert_speculatively(insertion);

	ResetPerTupleExprContext(insertion->estate);
	ExecStoreAllNullTuple(insertion->slot);
	return inserted;
}

/* All rows are inserted, and seen by what comes. */
void
end_insertion(Insertion *insertion)
{
	ExecCloseIndices(insertion->target);
	ExecDropSingleTupleTableSlot(insertion->slot);
	FreeExecutorState(insertion->estate);
	become_caller(&insertion->caller);
	table_close(insertion->table, NoLock);
	CommandCounterIncrement();
}
