#!/usr/bin/env python3
"""Mail people what others did to their data, and which of it an index refused.

Follows a stream by esgf_stac.changes. What is to be told waits in notifier.state,
in the same transaction as the cursor behind it, until the window of its person is
over; it goes away in the transaction that sent it. So one who is killed loses no
notice. One mail comes twice, with the same Message-ID, if he is killed, or loses
the mail server or the database, after the mail server has taken it and before
that is committed: SMTP cannot take part in a transaction.

Exit status: 0 done, with --once, 1 some mail was not taken and will be tried
again, 2 stopped.
"""

import argparse
import email.message
import email.policy
import email.utils
import smtplib
import sys
import time
import uuid
from datetime import timezone

import psycopg

PAGE = 1000  # events that are read at once
LINES = 100  # of a mail; the rest is counted
PAUSE = 30  # seconds between two looks at most
POLICY = email.policy.SMTP.clone(max_line_length=990, cte_type="7bit")  # a line of ASCII goes as it is
TOLD = {  # what others may do to an item, and its owner is told
    "item.retracted": "was retracted",
    "item.superseded": "was superseded by a newer version",
    "item.replica_removed": "lost a replica",
    "item.deleted": "was deleted",
}

BEGIN = "INSERT INTO notifier.state (stream, address) VALUES (%(stream)s, '') ON CONFLICT DO NOTHING"
LOCK = "SELECT cursor, since FROM notifier.state WHERE (stream, address) = (%(stream)s, '') FOR UPDATE"
PASSED = "UPDATE notifier.state SET cursor = %s WHERE (stream, address) = (%s, '')"

# Each event of a page: the cursor behind it, and, if somebody else did it to an
# item whose owner has an address, that address and what to say.
EVENTS = """
    SELECT page.cursor, told.address, told.type, told.collection_id, told.item_id, told.at, told.reason, told.batch, told.sub, told.iss
      FROM (SELECT c.cursor, c.event - 'document' AS event, row_number() OVER () AS n
              FROM esgf_stac.changes(%(cursor)s, %(page)s, nullif(%(stream)s, '')) c) page
      LEFT JOIN LATERAL (
        SELECT owner.address, o.type, i.collection_id, i.id AS item_id, o.occurred_at AS at, o.reason, o.batch,
               o.identity ->> 'sub' AS sub, coalesce(o.identity ->> 'iss', '') AS iss
          FROM esgf_stac.outbox o
          JOIN esgf_stac.item i ON i.collection_id = o.aggregatetype AND i.id = o.aggregateid
          JOIN notifier.person owner ON owner.sub = i.created_by ->> 'sub' AND owner.iss = coalesce(i.created_by ->> 'iss', '')
         WHERE o.aggregatetype = page.event ->> 'collection_id' AND o.aggregateid = page.event ->> 'item_id'
           AND o.version = (page.event ->> 'version')::bigint
           AND o.type = ANY (%(told)s) AND o.occurred_at >= %(since)s
           AND NOT EXISTS (SELECT FROM notifier.person actor
                            WHERE actor.sub = o.identity ->> 'sub' AND actor.iss = coalesce(o.identity ->> 'iss', '')
                              AND actor.address = owner.address)
      ) told ON true
     ORDER BY page.n"""

# The open dead letters that were not read before and whose item's owner has an
# address. Each is known by its hash; a later refusal of the same is another.
LETTERS = """
    WITH open AS (
        SELECT hash_record_extended((stream, collection_id, item_id, version, at), 0) AS hash, *
          FROM esgf_stac.dead_letter
         WHERE settled_at IS NULL AND %(stream)s IN ('', stream)
    ), before AS (
        SELECT unnest(letters) AS hash FROM notifier.state WHERE (stream, address) = (%(stream)s, '')
    ), noted AS (
        UPDATE notifier.state SET letters = now.hashes
          FROM (SELECT coalesce(array_agg(hash ORDER BY hash), '{}') AS hashes FROM open) now
         WHERE (stream, address) = (%(stream)s, '') AND letters <> now.hashes
    )
    SELECT owner.address, open.collection_id, open.item_id, open.at, open.stream, open.reason
      FROM open
      JOIN esgf_stac.item i ON i.collection_id = open.collection_id AND i.id = open.item_id
      JOIN notifier.person owner ON owner.sub = i.created_by ->> 'sub' AND owner.iss = coalesce(i.created_by ->> 'iss', '')
     WHERE open.at >= %(since)s AND NOT EXISTS (SELECT FROM before WHERE before.hash = open.hash)
     ORDER BY open.at"""

KEEP = """
    INSERT INTO notifier.state AS s (stream, address, notices, lines) VALUES (%s, %s, %s, %s)
        ON CONFLICT (stream, address) DO UPDATE
       SET notices = s.notices + excluded.notices, lines = (s.lines || excluded.lines)[:%s]"""

DUE = "SELECT address FROM notifier.state WHERE stream = %s AND address <> '' AND since <= now() - %s::interval ORDER BY since"
TAKE = "DELETE FROM notifier.state WHERE stream = %s AND address = %s AND since <= now() - %s::interval RETURNING since, notices, lines"
PUT_OFF = "UPDATE notifier.state SET since = now() WHERE stream = %s AND address = %s"


def say(text):
    print(text, file=sys.stderr, flush=True)


def short(text, length=200):
    """What somebody else wrote, in one line of a limited length, without characters that are none."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= length else text[: length - 3] + "..."


def line_of_event(kind, collection, item, at, reason, batch, sub, iss):
    """What is said of an event."""
    who = f"by {short(sub or 'somebody')}" + (f" of {short(iss)}" if iss else "")
    batch = f", batch {short(batch)}" if batch else ""
    return f"{clock(at)} {collection} {short(item, 300)} {TOLD[kind]} {who}{batch}" + (f": {short(reason)}" if reason else "")


def line_of_letter(collection, item, at, stream, reason):
    """What is said of a dead letter."""
    return f"{clock(at)} {collection} {short(item, 300)} was refused by the index of stream {stream}: {short(reason)}"


def clock(at):
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M}"


def keep(connection, args, told):
    """Keep lines, each with its address, until they are mailed."""
    lines = {}
    for address, line in told:
        lines.setdefault(address, []).append(line)
    for address, found in sorted(lines.items()):
        connection.execute(KEEP, [args.stream, address, len(found), found[:LINES], LINES])


def read_letters(connection, args):
    """Read the dead letters that there are by now."""
    with connection.transaction():
        _, since = connection.execute(LOCK, vars(args)).fetchone()
        rows = connection.execute(LETTERS, {**vars(args), "since": since}).fetchall()
        keep(connection, args, [(address, line_of_letter(*row)) for address, *row in rows])


def read_events(connection, args):
    """Read a page of events; false at the end."""
    with connection.transaction():
        cursor, since = connection.execute(LOCK, vars(args)).fetchone()
        rows = connection.execute(EVENTS, {**vars(args), "cursor": cursor, "since": since, "page": PAGE, "told": list(TOLD)}).fetchall()
        keep(connection, args, [(address, line_of_event(*row)) for _, address, *row in rows if address])
        if rows:
            connection.execute(PASSED, [rows[-1][0], args.stream])
        return bool(rows)


def make_mail(args, address, since, notices, lines):
    """A mail. The same notices make the same Message-ID, by which who gets it twice can tell."""
    mail = email.message.EmailMessage(POLICY)
    mail["From"], mail["To"] = args.sender, address
    mail["Subject"] = f"{notices:,} {'notice' if notices == 1 else 'notices'} about your data"
    mail["Date"] = email.utils.localtime()
    name = uuid.uuid5(uuid.NAMESPACE_OID, f"{args.stream} {address} {since.timestamp()} {notices}")
    mail["Message-ID"] = f"<{name}@{mail['From'].addresses[0].domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's machine answers
    more = [f"and {notices - len(lines):,} more."] if notices > len(lines) else []
    mail.set_content("\n".join(["What others did to data that you published, and what an index refused of it (UTC):", "", *lines, *more, ""]))
    return mail


def send_mails(connection, args):
    """Mail what is due; answers how many mails were not taken, and are put off by a window."""
    due, refused = connection.execute(DUE, [args.stream, args.every]).fetchall(), 0
    if due:
        with smtplib.SMTP(*args.smtp, timeout=30) as server:
            for (address,) in due:
                try:
                    with connection.transaction():
                        taken = connection.execute(TAKE, [args.stream, address, args.every]).fetchone()
                        if taken:
                            server.send_message(make_mail(args, address, *taken))
                except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException, smtplib.SMTPNotSupportedError) as error:
                    say(f"a mail to {address} was not taken: {error}")
                    connection.execute(PUT_OFF, [args.stream, address])
                    refused += 1
    return refused


def follow(connection, args):
    """Read all that there is and mail what is due, once or for ever."""
    (every,) = connection.execute("SELECT extract(epoch FROM %s::interval)::float", [args.every]).fetchone()
    connection.execute(BEGIN, vars(args))
    while True:
        read_letters(connection, args)
        while read_events(connection, args):
            pass
        refused = send_mails(connection, args)
        if args.once:
            return 1 if refused else 0
        time.sleep(min(max(every, 1), PAUSE))


def host_and_port(text):
    host, _, port = text.rpartition(":") if ":" in text else (text, "", "25")
    return host, int(port)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="sender", required=True, metavar="ADDRESS", help="from whom the mails are")
    parser.add_argument("--every", default="1h", metavar="INTERVAL", help="a person's window begins with a notice, and after this his mail goes out; 1h")
    parser.add_argument("--smtp", default="localhost:25", type=host_and_port, metavar="HOST[:PORT]", help="the mail server; localhost:25")
    parser.add_argument("--stream", default="", help="tell only of its events and dead letters; of all otherwise")
    parser.add_argument("--once", action="store_true", help="end when all is read and what is due is mailed, as cron wants it")
    return parser.parse_args()


def main():
    args = read_arguments()
    while True:
        try:
            with psycopg.connect(autocommit=True, application_name="notifier.py") as connection:
                return follow(connection, args)
        except (psycopg.OperationalError, OSError) as error:  # smtplib's errors are OSErrors
            say(f"the database or the mail server is away: {error}")
            if args.once:
                return 1
            time.sleep(PAUSE)
        except psycopg.Error as error:
            say(f"stopped: {error}")
            return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
