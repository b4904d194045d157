/*
 * verbs/methods.h
 *		What can be asked of an item: one row a method, with all that is to be
 *		known of it; and a request that asks it, as a verb or transact() is given it.
 *
 * A new method is a row of the table, the function that it applies, its verb
 * (verbs.c, sql/install/40_item.sql) and its page in doc/verbs/.
 *
 * A precondition names the state that the item must be in: its version
 * (if_match; 0: it must not exist), or the time of its last change
 * (if_unmodified_since).
 */
#ifndef ESGF_STAC_VERBS_METHODS_H
#define ESGF_STAC_VERBS_METHODS_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "base/occasion.h"
#include "change/client_patch.h"
#include "item/settings.h"

/* What a request brings, beside names and preconditions. */
typedef enum Body
{
	BODY_NONE,
	BODY_ITEM,
	BODY_PATCH,
	BODY_ALTERNATES
} Body;

/* Is the item's dataset locked before the item? It is where other versions of it may change. */
typedef enum DatasetLock
{
	DATASET_UNLOCKED,
	DATASET_LOCKED,
	DATASET_LOCKED_BY_PATCH		/* if the patch touches what hangs on the
								 * dataset */
} DatasetLock;

typedef struct ItemRequest ItemRequest;

typedef struct Method
{
	const char *name;			/* as transact() is told it, and events say it */
	Body		body;
	void		(*form) (ItemRequest *request); /* judges the body before
												 * anything is looked up;
												 * NULL: any will do */
	bool		takes_node;
	bool		needs_version;	/* where the collection wants one with each
								 * change */
	DatasetLock dataset;
	bool		creates;		/* an item where none is active; its document
								 * may be what names it */
	bool		restores;		/* the item must be deleted */
	bool		deletes;

	/*
	 * The document that an item becomes which is there, detoasted or not;
	 * NULL: nothing is written.
	 */
	Datum		(*apply) (ItemRequest *request, const CollectionSettings *settings, Datum document);
} Method;

/* What a merge patch's nulls for members that STAC requires are. */
typedef enum NullMembers
{
	NULLS_AS_COLLECTION,		/* what the collection's setting says */
	NULLS_IGNORED,
	NULLS_REJECTED
} NullMembers;

struct ItemRequest
{
	const Method *method;
	text	   *collection_id;
	text	   *item_id;		/* of a POST: taken from the document; NULL:
								 * it is about the collection */
	Jsonb	   *body;			/* the document, the patch or the alternates,
								 * as submitted; of one peeked at: the
								 * document of an item that it may create */
	Patch	   *patch;			/* of a PATCH: read from the body */
	NullMembers null_members;	/* likewise */
	text	   *node;			/* of a replica */
	text	   *reason;
	text	   *request_id;
	bool		has_if_match;
	int64		if_match;
	bool		has_if_unmodified_since;
	TimestampTz if_unmodified_since;
	Occasion	occasion;		/* of the statement that does it */
	const struct Outcome *outcome;	/* of one peeked at: what becomes of it
									 * (verbs/outcome.h) */
};

extern const Method *find_method(const char *name, int len);
extern text *document_id(Jsonb *document);
extern Jsonb *with_id(Jsonb *document, const text *id);

#endif							/* ESGF_STAC_VERBS_METHODS_H */
