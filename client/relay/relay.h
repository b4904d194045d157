/*
 * relay.h
 *		What the parts of the relay share.
 *
 * session		from connecting to losing a connection; main.c begins a new one
 * batch		events on their way to the sink, in the order of the stream
 * received		up to there, every event is in the batch or at the sink
 * durable		up to there, the sink keeps every event: what we confirm
 * delivered	the end of the last transaction of which that holds
 * horizon		every event of an older transaction is durable
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "lib/database.h"
#include "relay/options.h"
#include "relay/pgoutput.h"

/* What the table consumer remembers of our stream. */
typedef struct Consumer
{
	bool		known;			/* the stream was read before, in this history */
	bool		restored;		/* it may have been read in another */
	bool		delivering;		/* a relay had a sink for it before */
	bool		problem_told;	/* the row says why the stream stands still */
	int			timeline;
	uint64_t	delivered;
	uint64_t	confirmed;
	uint64_t	horizon;
	bool		seeded;
	bool		seeding;		/* a snapshot is under way */
	char	   *seeded_collection;	/* its last item; NULL at its beginning */
	char	   *seeded_item;
	int64_t		snapshot_sent;
	int64_t		snapshot_total; /* -1: not known */
	int64_t		snapshot_resumed;	/* items that earlier sessions sent */
	int64_t		snapshot_at;	/* when this session began */
	char	   *delivered_snapshot; /* queries saw in it what is durable; NULL:
									 * not known */
} Consumer;

/* A horizon to be: it holds once all up to that position is durable. */
typedef struct Candidate
{
	uint64_t	horizon;
	char	   *snapshot;
	bool		covers;			/* something that no earlier one did */
	uint64_t	position;		/* 0: none */
} Candidate;

/* What the operator watches. */
typedef struct Metrics
{
	int64_t		events;
	int64_t		bytes;			/* of documents */
	int64_t		retries;
	int64_t		dead_letters;
	int64_t		sessions;
	int64_t		committed_at;	/* the last transaction delivered:
								 * microseconds since 1970 */
	int64_t		oldest_at;		/* when the oldest event was made that is not
								 * delivered: microseconds since 1970; 0: all
								 * are */
	int64_t		begun_at;		/* the commit of the transaction under way, by
								 * the same clock */
	bool		flowing;		/* events came since they were last settled */
	uint64_t	server_end;		/* where the server's WAL ends */
	int64_t		held;			/* bytes of WAL that the slot holds */

	int64_t		written_at;
	int64_t		asked_at;		/* the database, for oldest_at */
	int64_t		complained_at;	/* that the file cannot be written */
	int64_t		shown_at;
	int64_t		shown_events;
	int64_t		shown_bytes;
} Metrics;

/*
 * Items whose current state is to be sent, once the stream has passed a
 * position and queries see what had been committed before it.
 */
typedef struct Redrive
{
	uint64_t	position;		/* 0: none */
	char	   *pending;		/* those commits */
	PGresult   *items;			/* with their versions then */
	bool	   *overtaken;		/* the stream brought a later version since */
} Redrive;

/* An event that failed in a session that is over, see suspect.c. */
typedef struct Suspect Suspect;

typedef struct Relay
{
	Options		options;

	PGconn	   *sql;			/* for queries */
	PGconn	   *replication;	/* for the stream */
	uint64_t	system_identifier;
	int			timeline;
	uint64_t	server_position;	/* where the server's WAL ended when we
									 * connected */
	uint64_t	slot_position;	/* what the slot had confirmed then */

	Sink	   *sink;
	Event	   *batch;
	int			batch_count;
	size_t		batch_bytes;
	Suspect    *suspects;
	int			suspect_count;
	int			suspect_room;
	int64_t		gather_until;	/* until then a batch may still grow */
	bool		unflushed;		/* the sink has events that no flush covers */
	bool		sink_is_down;	/* the sink waits for its server, and knows why */

	Decoder		decoder;
	bool		streaming;
	uint64_t	reported;		/* what we last confirmed to the server; 0:
								 * tell it anew */
	int64_t		reported_at;	/* when we last spoke to it */
	int64_t		heard_at;		/* when it last spoke to us */
	size_t		ahead;			/* bytes that were read before their time */
	bool		in_transaction;
	bool		ending;			/* this confirmation is the last */
	uint64_t	received;
	uint64_t	received_end;	/* the end of the last transaction received */
	uint64_t	durable;
	uint64_t	delivered;
	int			delivered_timeline; /* 0: no session yet */
	uint64_t	last_xid;		/* of the last event delivered */
	bool		uncovered;		/* something was delivered that no snapshot in
								 * consumer covers */
	bool		begun_anew;		/* --create was asked for, after a restore */

	Consumer	consumer;
	int			skips;			/* events that are to be passed over, as known
								 * when the session began */
	char	   *row_filter;		/* of the publication; NULL: not read yet */
	char	   *problem;		/* why the stream stands still */
	int64_t		problem_at;		/* when that was written down */
	bool		stuck;			/* at an event that cannot be sent: what the
								 * sink takes says nothing */
	uint64_t	stuck_at;		/* what was delivered then */
	Candidate	candidate;
	uint64_t	horizon_position;	/* where the horizon was taken */
	Redrive		redrive;
	Metrics		metrics;
} Relay;

/* main.c */
extern ExitStatus heed_signals(Relay *relay);

/* delivery.c */
extern ExitStatus sink_open(Relay *relay);
extern void sink_close(Relay *relay);
extern ExitStatus batch_add(Relay *relay, const Event *event);
extern void batch_drop(Relay *relay);
extern ExitStatus batch_deliver(Relay *relay);
extern ExitStatus batch_settle(Relay *relay);

/* suspect.c */
extern void suspect_remember(Relay *relay, const Event *event);
extern void suspect_recall(Relay *relay, Event *event);

/* envelope.c */
extern ExitStatus envelope_prepare(Relay *relay);

/* catalogue.c */
extern ExitStatus database_lost(Buffer *problem);
extern ExitStatus catalogue_connect(Relay *relay, PGconn **connection);
extern ExitStatus catalogue_check(Relay *relay);

/* history.c */
extern ExitStatus history_connect(Relay *relay);
extern ExitStatus history_check(Relay *relay);

/* consumer.c */
extern ExitStatus consumer_load(Relay *relay);
extern ExitStatus consumer_begin(Relay *relay);
extern ExitStatus consumer_deliver(Relay *relay);
extern ExitStatus consumer_forget(Relay *relay);
extern ExitStatus consumer_replayed(Relay *relay);
extern ExitStatus consumer_seeded(Relay *relay, const char *collection_id, const char *item_id);
extern ExitStatus consumer_advance(Relay *relay);
extern ExitStatus consumer_cover(Relay *relay);
extern void consumer_problem(Relay *relay, const char *what, const char *problem);
extern void consumer_remind(Relay *relay);
extern void consumer_well(Relay *relay);

/* dead_letter.c */
extern ExitStatus dead_letter_add(Relay *relay, const Event *event);
extern void redrive_note(Relay *relay, const Event *event);
extern ExitStatus redrive(Relay *relay);
extern void redrive_forget(Relay *relay);

/* visibility.c */
extern ExitStatus commits_pending(Relay *relay, char **xids);
extern ExitStatus commits_visible(Relay *relay, const char *xids, bool *visible);
extern ExitStatus wait_until_visible(Relay *relay, const char *xids);
extern ExitStatus wait_for_commits(Relay *relay);

/* skip.c */
extern void skip_tell(Relay *relay, const char *problem);
extern bool skip_asked(Relay *relay);
extern ExitStatus skip_prepare(Relay *relay);
extern void skip_condition(const Relay *relay, Buffer *query);

/* slot.c */
extern ExitStatus slot_prepare(Relay *relay);
extern void slot_held(Relay *relay);

/* replay.c */
extern ExitStatus replay(Relay *relay);
extern void snapshot_progress(const Relay *relay, Buffer *text);
extern bool undelivered_query(Relay *relay, Buffer *query, const char *columns, Buffer *problem);
extern ExitStatus replay_query(Relay *relay, const char *query, int count, const char *const *parameters);

/* metrics.c */
extern void metrics_ask(Relay *relay);
extern void metrics_tick(Relay *relay);
extern void metrics_write(Relay *relay);

/* stream.c */
extern ExitStatus stream_start(Relay *relay);
extern ExitStatus stream_run(Relay *relay);
extern void stream_attend(Relay *relay);

#endif							/* RELAY_RELAY_H */
