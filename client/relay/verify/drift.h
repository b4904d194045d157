/*
 * drift.h
 *		What differs between a sink and the truth, and the table of that name.
 *
 * truth		what the stream would have put there: an item's version here, and
 *				whether its document belongs to the stream
 */
#ifndef VERIFY_DRIFT_H
#define VERIFY_DRIFT_H

#include "catalogue/catalogue.h"
#include "sinks/reader.h"

typedef enum DriftKind
{
	DRIFT_NONE,
	DRIFT_MISSING,
	DRIFT_STALE,
	DRIFT_AHEAD,
	DRIFT_SURPLUS,
	DRIFT_DIFFERS,
	DRIFT_REFUSED,
} DriftKind;

#define DRIFT_KINDS (DRIFT_REFUSED + 1)

/* The table has so many rows of a verification; beyond that they are counted. */
#define MOST_ROWS 100000

typedef struct Truth
{
	int64_t		version;		/* 0: there is no such item */
	bool		in_stream;
	bool		differs;		/* the document that the sink holds, if it was
								 * read */
	bool		refused;		/* an unsettled dead letter has this version */
} Truth;

/* Differences on their way into the table, and how many there were. */
typedef struct Drift
{
	bool		cure;			/* two histories gave the same versions */
	bool		again;			/* what is found now was found before */
	Buffer		collection_ids; /* arrays */
	Buffer		item_ids;
	Buffer		kinds;
	Buffer		here;
	Buffer		there;
	Buffer		repairs;
	int			count;			/* in them */
	int64_t		rows;			/* in the table */
	int64_t		found[DRIFT_KINDS];
	int64_t		total;
	int64_t		repaired[DRIFT_KINDS];
} Drift;

extern const char *const drift_names[DRIFT_KINDS];

extern DriftKind drift_judge(const ReaderKind *reader, const Holding *holding, const Truth *truth);
extern ExitStatus truth_collections(const Catalogue *catalogue, char **collections, Holdings *items);
extern ExitStatus truth_read(const Catalogue *catalogue, const Holdings *items, Truth *truths);
extern void drift_add(Drift *drift, DriftKind kind, const Holding *holding, const Truth *truth);
extern ExitStatus drift_write(Drift *drift, const Catalogue *catalogue, const char *verification, bool all);
extern int64_t drift_left(const Drift *drift);
extern void drift_free(Drift *drift);

#endif							/* VERIFY_DRIFT_H */
