/*
 * verification.h
 *		The comparison of what a sink holds with what the stream would have put
 *		there, page by page, beside live events.
 *
 * No difference is reported that is only delay. The sink is read first, then the
 * truth: versions only rise and a version has one document, so that "ahead" and
 * "differs" count at once. The others are suspects until the relay has confirmed
 * what was committed before; then both are read again.
 *
 * suspect		an item that differs, with the version that it had here
 */
#ifndef VERIFY_VERIFICATION_H
#define VERIFY_VERIFICATION_H

#include "verify/drift.h"

typedef struct VerifySettings
{
	bool		wanted;
	bool		deep;
	bool		repair;
} VerifySettings;

typedef struct SuspectItems
{
	Holdings	items;
	Truth	   *truths;			/* when they were last read */
	int			space;
} SuspectItems;

/* What is under way. */
typedef enum VerifyPhase
{
	VERIFY_NOT,
	VERIFY_SINK,				/* is all that it holds in the stream? */
	VERIFY_STREAM,				/* does it hold all of the stream? */
	VERIFY_REPAIR,
} VerifyPhase;

typedef struct Verification
{
	/* Set by whom it serves. */
	const VerifySettings *settings;
	const Catalogue *catalogue;
	const SinkSettings *sink;
	const SinkKind *sink_kind;

	/*
	 * Return when this process has delivered all up to a position; NULL: it
	 * does not read the stream, another relay does.
	 */
	ExitStatus	(*deliver) (void *owner, uint64_t position);
	void	   *owner;

	bool		diverged;		/* the sink was fed from another history */
	Buffer		witness;		/* its newest event then, if it can tell */

	char	   *id;				/* NULL: it has not begun */
	char	  **collections;	/* NULL ends them */
	SinkReader *reader;
	int			page_size;		/* of documents */
	SuspectItems suspects;
	Drift		drift;
	int64_t		items;			/* of the stream that were compared */

	/* How far it is, for people. */
	VerifyPhase phase;
	int64_t		phase_done;
	int64_t		phase_total;	/* -1: not known */
	int64_t		phase_begun_at;
	int64_t		written_at;
	int64_t		told_at;
} Verification;

/* verification.c */
extern ExitStatus verification_begin(Verification *verification);
extern ExitStatus verification_run(Verification *verification);
extern ExitStatus verification_note(Verification *verification, int64_t done);
extern ExitStatus verification_write(Verification *verification);
extern ExitStatus reader_lost(Buffer *problem);

/* confirmation.c */
extern ExitStatus confirmation_await(Verification *verification);

/* compare.c */
extern int	compare_size(const Verification *verification);
extern ExitStatus compare_items(Verification *verification, Holdings *items);
extern ExitStatus compare_suspects(Verification *verification);
extern void suspects_free(Verification *verification);

/* repair.c */
extern ExitStatus repair_run(Verification *verification);

/* progress.c */
extern void verification_begin_phase(Verification *verification, VerifyPhase phase, int64_t total);
extern void verification_progress(const Verification *verification, Buffer *text);
extern void verification_tell(Verification *verification);
extern void verification_print(const Verification *verification);

#endif							/* VERIFY_VERIFICATION_H */
