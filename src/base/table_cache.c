/*
 * base/table_cache.c
 *		Keeps rows until they change: see base/table_cache.h.
 *
 * The drop_caches triggers send a relcache invalidation of a table that was
 * written, which reaches the writer at his next command, and at a rollback, and
 * everybody else when he commits. Rows are read as they are committed then, and
 * not as the transaction's snapshot shows them: what is kept over transactions
 * must not be older than the invalidations that were heard, and a right that was
 * withdrawn is gone for a REPEATABLE READ transaction, too.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/table_cache.h"

PG_FUNCTION_INFO_V1(esgf_drop_caches);

/* Those of tables, once they are used. */
static TableCache *caches = NULL;

/* Note that rows of a table may have changed, or those of any. */
static void
on_relcache_change(Datum arg, Oid relid)
{
	for (TableCache *cache = caches; cache; cache = cache->next)
		if (relid == InvalidOid || relid == cache->relid)
			forget_rows(cache);
}

/* Have a cache hear of changes, before its rows are read for the first time. */
static void
listen(TableCache *cache)
{
	if (caches == NULL)
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	cache->next = caches;
	caches = cache;
	cache->listening = true;
}

/*
 * Fill a cache, and then let go of what it kept. An error on the way leaves it as
 * it was; of a change that comes meanwhile we may not have seen the rows, so that
 * what was read will do for now, but not for the next time.
 */
static void *
refill(TableCache *cache)
{
	MemoryContext context;
	MemoryContext old;
	uint64		as_of;
	void	   *kept;

	if (cache->table && !cache->listening)
		listen(cache);
	as_of = cache->changes;
	if (cache->table)
		cache->relid = get_relname_relid(cache->table, get_namespace_oid("esgf_stac", true));

	/*
	 * Until it is complete, it goes with the subtransaction in which an error
	 * ends.
	 */
	context = AllocSetContextCreate(CurTransactionContext, "esgf_stac cache", ALLOCSET_SMALL_SIZES);
	MemoryContextSetIdentifier(context, cache->table);
	old = MemoryContextSwitchTo(context);
	kept = cache->fill();
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);

	if (cache->context)
		MemoryContextDelete(cache->context);
	cache->context = context;
	cache->kept = kept;
	cache->as_of = as_of;
	return kept;
}

/*
 * What is kept of a table's rows, read anew where they may have changed. A
 * statement that takes no new lock has heard of nothing since the transaction
 * began: listen.
 */
void *
cached_rows(TableCache *cache)
{
	AcceptInvalidationMessages();
	return cache->context && cache->as_of == cache->changes ? cache->kept : refill(cache);
}

/* Have a cache filled anew when it is asked next. */
void
forget_rows(TableCache *cache)
{
	cache->changes++;
}

/* Fill a cache, as kept is empty, from the rows of a statement. */
void *
keep_rows(Statement *statement, Datum *values, RowKeeper keep, void *kept)
{
	MemoryContext context = CurrentMemoryContext;
	int			count;

	SPI_connect();
	count = read_latest_as_owner(statement, values, NULL);
	MemoryContextSwitchTo(context);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		kept = keep(kept, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
	SPI_finish();
	return kept;
}

/* Trigger: tell every backend that rows of this table have changed. */
Datum
esgf_drop_caches(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "drop_caches")));
	CacheInvalidateRelcache(trigdata->tg_relation);
	return PointerGetDatum(NULL);
}
