#!/usr/bin/env python3
"""Publish, patch, retract or delete many items, add or remove replicas of them, or undo such a run by its batch.

Requests go to esgf_stac.transact in chunks: each chunk is a transaction, each
request in it stands alone. The batch names the run. It is on every event, and
with the item it makes a request's idempotency key: so an interrupted run is
started again with the same command, and nothing is done twice.

What was refused is a line of JSON on standard output. Exit status: 0 all is
done, 1 some requests were refused, 2 stopped before the end.
"""

import argparse
import hashlib
import itertools
import json
import sys
import time

import psycopg

CHUNK = 500  # transact takes at most 1,000
KEY_MAX = 255  # bytes of an idempotency key

TRANSACT = """
    SELECT item_id, problem
      FROM esgf_stac.transact(%s::jsonb, atomic => false, identity => %s::jsonb)
     ORDER BY ordinal"""

# What a batch did first to each item, and its versions before that and after the
# last change, newest first; who was superseded becomes latest again when all
# others are undone.
DONE = """
    SELECT collection_id, item_id, action, before, after
      FROM (SELECT aggregatetype AS collection_id, aggregateid AS item_id, min(seq) AS seq,
                   (array_agg(type ORDER BY version))[1] AS action, min(version) - 1 AS before, max(version) AS after
              FROM esgf_stac.outbox
             WHERE batch = %s
             GROUP BY aggregatetype, aggregateid) done
     ORDER BY action = 'item.superseded', seq DESC"""

# A past document, to replace the present one; without `alternate` an asset would keep its replicas.
BEFORE = """
    SELECT jsonb_set(document, '{assets}', (SELECT coalesce(jsonb_object_agg(key, '{"alternate": {}}' || value), '{}')
                                              FROM jsonb_each(document -> 'assets')))::text
      FROM esgf_stac.get_item(%s, %s, %s)"""

UNDO = {
    "item.published": {"method": "DELETE"},
    "item.restored": {"method": "DELETE"},
    "item.deleted": {"method": "RESTORE"},
    "item.retracted": {"method": "REINSTATE"},
    "item.superseded": {"method": "PATCH", "patch": {"properties": {"latest": True}}},
    "item.replica_added": {"method": "PUT"},
    "item.replica_removed": {"method": "PUT"},
    "item.updated": {"method": "PUT"},
}


def read_lines(names):
    """The lines of files that are not empty, each with its place."""
    for name in names:
        with open(name, encoding="utf-8") as file:
            yield from ((f"{name}:{number}", line.strip()) for number, line in enumerate(file, 1) if line.strip())


def make_key(*parts):
    """An idempotency key; a long one by its digest."""
    key = "/".join(parts)
    return key if len(key.encode()) <= KEY_MAX else hashlib.sha256(key.encode()).hexdigest()


def make_request(args, method, collection_id, item_id, body="", **members):
    """A request as JSON; a body, `"name": JSON`, stays as it was written, numbers and all."""
    text = json.dumps({"method": method, "collection_id": collection_id, "item_id": item_id, "reason": args.reason,
                       "request_id": make_key(args.batch, method, collection_id, item_id), **members})
    return f"{text[:-1]}, {body}}}" if body else text


def publish(args, place, line):
    """Publish the item on a line."""
    try:
        item = json.loads(line)
        return make_request(args, "POST", item["collection"], item["id"], f'"item": {line}')
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place} is no item with an id and a collection: {error!r}") from error


def add_replica(args, place, line):
    """Add a replica of the item on a line, whose assets are the locations at our node."""
    try:
        item = json.loads(line)
        return make_request(args, "ADD_REPLICA", item["collection"], item["id"], node=args.node, alternates=dict(item["assets"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place} is no object with an id, a collection and assets: {error!r}") from error


# Verbs for items whose ids are in the files, one a line.
BY_ID = {
    "patch": lambda args, place, line: make_request(args, "PATCH", args.collection, line, f'"patch": {args.patch}'),
    "retract": lambda args, place, line: make_request(args, "RETRACT", args.collection, line),
    "delete": lambda args, place, line: make_request(args, "DELETE", args.collection, line),
    "remove-replica": lambda args, place, line: make_request(args, "REMOVE_REPLICA", args.collection, line, node=args.node),
}
BY_LINE = {"publish": publish, "add-replica": add_replica, **BY_ID}


def undo(args, connection, collection_id, item_id, action, before, after):
    """Undo what was done to an item, unless somebody has changed it since."""
    body, how = "", UNDO[action]
    if how["method"] == "PUT":
        try:
            (document,) = connection.execute(BEFORE, [collection_id, item_id, before]).fetchone()
            body = f'"item": {document}'
        except psycopg.Error as error:
            if error.diag.constraint_name != "item-does-not-exist":
                raise
            how = {"method": "CHECK"}  # it is deleted by now: so this is refused
    return make_request(args, collection_id=collection_id, item_id=item_id, if_match=after, body=body, **how)


def undo_all(args, connection):
    """How many items a batch has changed, and the requests that undo it."""
    rows = connection.execute(DONE, [args.batch]).fetchall()
    if not rows:
        raise ValueError(f"there is no event of batch {args.batch}")
    for _, item_id, action, *_ in rows:
        if action not in UNDO:
            raise ValueError(f"{action} of {item_id} cannot be undone here; nothing was done")
    args.batch = f"undo {args.batch}"
    return len(rows), (undo(args, connection, *row) for row in rows)


def send(args, connection, chunk, identity):
    """Send a chunk in a transaction of its own, which in a dry run comes to nothing; answers the problems."""
    with connection.transaction(force_rollback=args.dry_run):
        rows = connection.execute(TRANSACT, [f"[{','.join(chunk)}]", identity]).fetchall()
    return [{"item_id": item_id, **problem} for item_id, problem in rows if problem]


def run(args, identity, connection):
    """Send all requests; answers how many were refused."""
    if args.verb == "undo":
        total, requests = undo_all(args, connection)
    else:
        total, requests = sum(1 for _ in read_lines(args.files)), (BY_LINE[args.verb](args, *line) for line in read_lines(args.files))
    identity = json.dumps({**identity, "batch": args.batch})
    done, refused, began = 0, 0, time.monotonic()
    while chunk := list(itertools.islice(requests, CHUNK)):
        problems = send(args, connection, chunk, identity)
        for problem in problems:
            print(json.dumps(problem), flush=True)
        done, refused = done + len(chunk), refused + len(problems)
        print(f"{done} of {total}, {refused} refused, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if args.dry_run:
        print(f"Nothing was changed: {done - refused} would be done, {refused} refused.", file=sys.stderr)
    else:
        print(f"{done - refused} are done, by this run or an earlier one of its batch; {refused} were refused and are not.", file=sys.stderr)
    return refused


def read_arguments():
    """The command line; what does not go together is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=[*BY_LINE, "undo"])
    parser.add_argument("files", nargs="*", help="publish: items, one a line; add-replica: {id, collection, assets}, one a line; others: ids of items, one a line")
    parser.add_argument("--batch", required=True, help="name of this run; undo: of the run to undo")
    parser.add_argument("--identity", required=True, help="JSON file: for whom this acts, as set_identity() takes it")
    parser.add_argument("--collection", help="the collection of the items whose ids are given")
    parser.add_argument("--node", help="add-replica, remove-replica: the data node")
    parser.add_argument("--patch", metavar="FILE", help="patch: a merge patch or a JSON patch, the same for all")
    parser.add_argument("--reason", help="goes onto each event of a retraction or deletion")
    parser.add_argument("--dry-run", action="store_true", help="say what would be refused, and change nothing")
    args = parser.parse_args()
    wanted = {"files": args.verb != "undo", "collection": args.verb in BY_ID, "node": "replica" in args.verb, "patch": args.verb == "patch"}
    for name, needed in wanted.items():
        if bool(getattr(args, name)) != needed:
            parser.error(f"usage: {args.verb} {'needs' if needed else 'takes no'} {name.upper() if name == 'files' else '--' + name}")
    return args


def main():
    args = read_arguments()
    try:
        with open(args.identity, encoding="utf-8") as file:
            identity = json.load(file)
        if args.patch:
            with open(args.patch, encoding="utf-8") as file:
                args.patch = file.read()
            json.loads(args.patch)
        with psycopg.connect(autocommit=True, application_name="publisher.py") as connection:
            return 1 if run(args, identity, connection) else 0
    except (KeyboardInterrupt, psycopg.OperationalError) as error:
        print(f"stopped: {str(error) or 'interrupted'}\nThe same command goes on from here.", file=sys.stderr)
    except (psycopg.Error, OSError, ValueError) as error:
        print(f"stopped: {error}\nWhen that is mended, the same command goes on.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
