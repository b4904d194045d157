#!/usr/bin/env python3
"""Publish or retract many items, or undo such a run by its batch.

Requests go to esgf_stac.transact in chunks: each chunk is a transaction, each
request in it stands alone. The batch names the run. It is on every event, and
with the item it makes a request's idempotency key: so an interrupted run is
started again with the same command, and nothing is done twice.

What was refused is a line of JSON on standard output. Exit status: 0 all is
done, 1 some requests were refused, 2 stopped before the end.
"""

import argparse
import itertools
import json
import sys
import time

import psycopg

CHUNK = 500  # transact takes at most 1,000

TRANSACT = """
    SELECT item_id, problem
      FROM esgf_stac.transact(%s::jsonb, atomic => false, identity => %s::jsonb)
     ORDER BY ordinal"""

# What a batch did first to each item, and the last version it made of it, newest
# first; who was superseded becomes latest again when all others are undone.
DONE = """
    SELECT collection_id, item_id, action, version
      FROM (SELECT aggregatetype AS collection_id, aggregateid AS item_id, min(seq) AS seq,
                   (array_agg(type ORDER BY version))[1] AS action, max(version) AS version
              FROM esgf_stac.outbox
             WHERE batch = %s
             GROUP BY aggregatetype, aggregateid) done
     ORDER BY action = 'item.superseded', seq DESC"""

UNDO = {
    "item.published": {"method": "DELETE"},
    "item.restored": {"method": "DELETE"},
    "item.retracted": {"method": "REINSTATE"},
    "item.superseded": {"method": "PATCH", "patch": {"properties": {"latest": True}}},
}


def read_lines(names):
    """The lines of files that are not empty, each with its place."""
    for name in names:
        with open(name, encoding="utf-8") as file:
            yield from ((f"{name}:{number}", line.strip()) for number, line in enumerate(file, 1) if line.strip())


def make_request(args, method, collection_id, item_id, item=None, **members):
    """A request as JSON; an item in it stays as it was written, numbers and all."""
    text = json.dumps({"method": method, "collection_id": collection_id, "item_id": item_id, "reason": args.reason,
                       "request_id": "/".join([args.batch, method, collection_id, item_id]), **members})
    return f'{text[:-1]}, "item": {item}}}' if item else text


def publish(args, place, line):
    """Publish the item on a line."""
    try:
        item = json.loads(line)
        return make_request(args, "POST", item["collection"], item["id"], item=line)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place} is no item with an id and a collection: {error!r}") from error


def retract(args, place, line):
    """Retract the item whose id is on a line."""
    return make_request(args, "RETRACT", args.collection, line)


def undo(args, collection_id, item_id, action, version):
    """Undo what was done to an item, unless somebody has changed it since."""
    if action not in UNDO:
        raise ValueError(f"{action} of {item_id} cannot be undone here; nothing was done")
    return make_request(args, collection_id=collection_id, item_id=item_id, if_match=version, **UNDO[action])


def run(args, identity, connection):
    """Send all requests; answers how many were refused."""
    if args.verb == "undo":
        rows = connection.execute(DONE, [args.batch]).fetchall()
        if not rows:
            raise ValueError(f"there is no event of batch {args.batch}")
        args.batch = f"undo {args.batch}"
        total, requests = len(rows), iter([undo(args, *row) for row in rows])
    else:
        make = {"publish": publish, "retract": retract}[args.verb]
        total, requests = sum(1 for _ in read_lines(args.files)), (make(args, *line) for line in read_lines(args.files))
    identity = json.dumps({**identity, "batch": args.batch})
    done, refused, began = 0, 0, time.monotonic()
    while chunk := list(itertools.islice(requests, CHUNK)):
        for item_id, problem in connection.execute(TRANSACT, [f"[{','.join(chunk)}]", identity]):
            if problem:
                refused += 1
                print(json.dumps({"item_id": item_id, **problem}), flush=True)
        done += len(chunk)
        print(f"{done} of {total}, {refused} refused, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return refused


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["publish", "retract", "undo"])
    parser.add_argument("files", nargs="*", help="publish: items, one a line; retract: ids of items, one a line")
    parser.add_argument("--batch", required=True, help="name of this run; undo: of the run to undo")
    parser.add_argument("--identity", required=True, help="JSON file: for whom this acts, as set_identity() takes it")
    parser.add_argument("--collection", help="retract: the collection of the items")
    parser.add_argument("--reason", help="goes onto each event")
    args = parser.parse_args()
    if (args.verb == "undo") == bool(args.files) or (args.verb == "retract") != bool(args.collection):
        parser.error("usage: publish FILE..., retract --collection ID FILE..., undo")
    try:
        with open(args.identity, encoding="utf-8") as file:
            identity = json.load(file)
        with psycopg.connect(autocommit=True, application_name="publisher.py") as connection:
            return 1 if run(args, identity, connection) else 0
    except (psycopg.Error, OSError, ValueError, KeyboardInterrupt) as error:
        print(f"stopped: {str(error) or 'interrupted'}\nThe same command goes on from here.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
