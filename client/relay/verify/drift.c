/*
 * drift.c
 *		What differs between a sink and the truth.
 */
#include "verify/drift.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/database.h"

/* So far above its present version reissue_item() takes an item. */
#define FARTHEST_LEAP 1000000

const char *const drift_names[DRIFT_KINDS] = {
	[DRIFT_NONE] = "equal",
	[DRIFT_MISSING] = "missing",
	[DRIFT_STALE] = "stale",
	[DRIFT_AHEAD] = "ahead",
	[DRIFT_SURPLUS] = "surplus",
	[DRIFT_DIFFERS] = "differs",
	[DRIFT_REFUSED] = "refused",
};

/* How what a sink should hold is not what it holds */
static DriftKind
compare(const ReaderKind *reader, const Holding *holding, const Truth *truth)
{
	bool		is_known = truth->version > 0;

	if (holding->held != HELD_NOTHING && is_known && holding->version > truth->version)
		return DRIFT_AHEAD;
	if (truth->in_stream)
	{
		if (holding->held != HELD_DOCUMENT)
			return DRIFT_MISSING;
		if (holding->version < truth->version)
			return DRIFT_STALE;
		return truth->differs ? DRIFT_DIFFERS : DRIFT_NONE;
	}

	/*
	 * The deletion of what is unknown would keep out an item that is yet to
	 * be.
	 */
	if (holding->held == HELD_DOCUMENT || (holding->held == HELD_DELETION && !is_known && reader->keeps_deletions))
		return DRIFT_SURPLUS;
	return DRIFT_NONE;
}

/* The same, if nothing explains it */
DriftKind
drift_judge(const ReaderKind *reader, const Holding *holding, const Truth *truth)
{
	DriftKind	kind = compare(reader, holding, truth);
	bool		explained = kind == DRIFT_MISSING || kind == DRIFT_STALE || kind == DRIFT_SURPLUS;

	return explained && truth->refused ? DRIFT_REFUSED : kind;
}

/*
 * Documents have told their collections, and may be wrong: what such an id names
 * in one of those is an item of that
 */
ExitStatus
truth_collections(const Catalogue *catalogue, char **collections, Holdings *items)
{
	Buffer		problem = {0};
	Buffer		told = {0};
	Buffer		item_ids = {0};
	Buffer		possible = {0};
	const char *parameters[3];
	PGresult   *result;

	for (char **one = collections; *one != NULL; one++)
		array_add(&possible, *one);
	for (int i = 0; i < items->count; i++)
	{
		array_add(&told, items->list[i].collection_id);
		array_add(&item_ids, items->list[i].item_id);
	}
	parameters[0] = array_text(&told);
	parameters[1] = array_text(&item_ids);
	parameters[2] = array_text(&possible);
	result = database_query(catalogue->sql, &problem,
							"SELECT coalesce((SELECT i.collection_id FROM esgf_stac.published_item i WHERE i.collection_id = k.collection_id AND i.id = k.item_id),"
							" (SELECT i.collection_id FROM esgf_stac.published_item i WHERE i.collection_id = ANY ($3::text[]) AND i.id = k.item_id LIMIT 1), k.collection_id)"
							" FROM unnest($1::text[], $2::text[]) WITH ORDINALITY k (collection_id, item_id, place) ORDER BY k.place", 3, parameters);
	buffer_free(&told);
	buffer_free(&item_ids);
	buffer_free(&possible);
	if (result == NULL)
		return database_lost(&problem);
	for (int i = 0; i < items->count; i++)
	{
		free(items->list[i].collection_id);
		items->list[i].collection_id = copy_string(PQgetvalue(result, i, 0));
	}
	PQclear(result);
	return STATUS_RUNNING;
}

/* Read the truth of some items, and compare the documents that were read of them */
ExitStatus
truth_read(const Catalogue *catalogue, const Holdings *items, Truth *truths)
{
	Buffer		problem = {0};
	Buffer		collection_ids = {0};
	Buffer		item_ids = {0};
	Buffer		documents = {0};
	const char *parameters[4] = {catalogue->settings->stream};
	PGresult   *result;

	for (int i = 0; i < items->count; i++)
	{
		array_add(&collection_ids, items->list[i].collection_id);
		array_add(&item_ids, items->list[i].item_id);
		if (items->bytes > 0)
			array_add(&documents, items->list[i].document);
	}
	parameters[1] = array_text(&collection_ids);
	parameters[2] = array_text(&item_ids);
	parameters[3] = items->bytes > 0 ? array_text(&documents) : NULL;
	result = database_query(catalogue->sql, &problem,
							"SELECT coalesce(version, 0), in_stream, same IS FALSE, refused"
							" FROM esgf_stac_internal.verification_states($1, $2, $3, $4)", 4, parameters);
	buffer_free(&collection_ids);
	buffer_free(&item_ids);
	buffer_free(&documents);
	if (result == NULL)
		return database_lost(&problem);
	for (int i = 0; i < items->count; i++)
		truths[i] = (Truth)
	{
		.version = strtoll(PQgetvalue(result, i, 0), NULL, 10),
			.in_stream = PQgetvalue(result, i, 1)[0] == 't',
			.differs = PQgetvalue(result, i, 2)[0] == 't',
			.refused = PQgetvalue(result, i, 3)[0] == 't',
	};
	PQclear(result);
	return STATUS_RUNNING;
}

/*
 * What heals a difference: its state is sent, the sink forgets it, or it gets a
 * version that no history has given. What is far ahead is damage, and no history.
 */
static const char *
repair_of(const Drift *drift, DriftKind kind, const Holding *holding, const Truth *truth)
{
	switch (kind)
	{
		case DRIFT_MISSING:
		case DRIFT_STALE:
			return "send";
		case DRIFT_DIFFERS:
			return drift->cure ? "reissue" : "send";
		case DRIFT_SURPLUS:
			return truth->version > 0 ? "send" : "remove";
		case DRIFT_AHEAD:
			return holding->version > truth->version + FARTHEST_LEAP ? "remove" : "reissue";
		case DRIFT_REFUSED:
		case DRIFT_NONE:
			break;
	}
	return NULL;
}

/* Add a version to an array, or null where there is none */
static void
add_version(Buffer *array, bool known, int64_t version)
{
	char		number[32];

	snprintf(number, sizeof(number), "%" PRId64, version);
	array_add(array, known ? number : NULL);
}

/* Count a difference; it goes into the table with others */
void
drift_add(Drift *drift, DriftKind kind, const Holding *holding, const Truth *truth)
{
	drift->found[kind] += !drift->again;
	drift->total += !drift->again;
	array_add(&drift->collection_ids, holding->collection_id);
	array_add(&drift->item_ids, holding->item_id);
	array_add(&drift->kinds, drift_names[kind]);
	add_version(&drift->here, truth->version > 0, truth->version);
	add_version(&drift->there, holding->held != HELD_NOTHING, holding->version);
	array_add(&drift->repairs, repair_of(drift, kind, holding, truth));
	drift->count++;
}

static void
clear(Drift *drift)
{
	buffer_clear(&drift->collection_ids);
	buffer_clear(&drift->item_ids);
	buffer_clear(&drift->kinds);
	buffer_clear(&drift->here);
	buffer_clear(&drift->there);
	buffer_clear(&drift->repairs);
	drift->count = 0;
}

void
drift_free(Drift *drift)
{
	buffer_free(&drift->collection_ids);
	buffer_free(&drift->item_ids);
	buffer_free(&drift->kinds);
	buffer_free(&drift->here);
	buffer_free(&drift->there);
	buffer_free(&drift->repairs);
	*drift = (Drift)
	{
		.count = 0
	};
}

/*
 * Write into the table what was found since the last time: all of it, or as many
 * rows as it may have. What was found before is to be repaired once more.
 */
ExitStatus
drift_write(Drift *drift, const Catalogue *catalogue, const char *verification, bool all)
{
	Buffer		problem = {0};
	char		room[32];
	const char *parameters[8];
	PGresult   *result;

	if (drift->count == 0)
		return STATUS_RUNNING;
	snprintf(room, sizeof(room), "%" PRId64, MOST_ROWS - drift->rows);
	parameters[0] = verification;
	parameters[1] = array_text(&drift->collection_ids);
	parameters[2] = array_text(&drift->item_ids);
	parameters[3] = array_text(&drift->kinds);
	parameters[4] = array_text(&drift->here);
	parameters[5] = array_text(&drift->there);
	parameters[6] = array_text(&drift->repairs);
	parameters[7] = all ? NULL : room;
	result = database_query(catalogue->sql, &problem,
							"INSERT INTO esgf_stac.drift (verification, collection_id, item_id, kind, version_here, version_there, repair)"
							" SELECT $1, d.* FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[]) d LIMIT $8"
							" ON CONFLICT (verification, collection_id, item_id) DO UPDATE SET repair = excluded.repair, asked_at = NULL, sent_at = NULL,"
							" version_there = coalesce(excluded.version_there, drift.version_there)", 8, parameters);
	clear(drift);
	if (result == NULL)
		return database_lost(&problem);
	drift->rows += atoi(PQcmdTuples(result));
	PQclear(result);
	return STATUS_RUNNING;
}

/* How many differ still? */
int64_t
drift_left(const Drift *drift)
{
	int64_t		left = drift->total;

	for (int kind = 0; kind < DRIFT_KINDS; kind++)
		left -= drift->repaired[kind];
	return left;
}
