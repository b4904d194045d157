/*
 * catalogue.h
 *		The database of our stream, for as long as a session lasts.
 */
#ifndef CATALOGUE_CATALOGUE_H
#define CATALOGUE_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/handshake.h"
#include "lib/wait.h"

/* Which stream that is, and what is asked of it. */
typedef struct CatalogueSettings
{
	const char *dbname;
	const char *stream;
	char		slot[64];		/* the name of slot and publication */
	bool		create;
	bool		if_not_exists;
	bool		snapshot;
	bool		from_beginning;
	bool		no_loop;
	bool		has_sink;		/* else only --create */
	bool		cures;			/* a sink of another history is healed */
} CatalogueSettings;

typedef struct Catalogue
{
	CatalogueSettings *settings;
	PGconn	   *sql;			/* for queries */
	PGconn	   *replication;	/* for the stream */
	uint64_t	system_identifier;
	int			timeline;
	uint64_t	server_position;	/* where the server's WAL ended when we
									 * connected */
	uint64_t	slot_position;	/* what the slot had confirmed then */
	int64_t		slot_held;		/* bytes of WAL that the server keeps for it */
	char	   *row_filter;		/* of the publication; NULL: not read yet */
	int			skips;			/* events that are to be passed over, as known
								 * when the session began */
} Catalogue;

extern ExitStatus catalogue_connect(const Catalogue *catalogue, PGconn **connection);
extern ExitStatus catalogue_check(const Catalogue *catalogue);
extern ExitStatus catalogue_wal_end(const Catalogue *catalogue, uint64_t *position);
extern bool undelivered_query(Catalogue *catalogue, uint64_t horizon, Buffer *query, const char *columns, Buffer *problem);
extern void catalogue_disconnect(Catalogue *catalogue);

#endif							/* CATALOGUE_CATALOGUE_H */
