#!/usr/bin/env python3
"""Work off what esgf_stac.site_work lists for a data node: fetch, complete and purge, and report each.

An item's files lie in ROOT/collection/item/asset, and are reported as below HREF
in the same order. What is reported lies on the disk, whole and of the right
checksum; what is purged is reported first, and then deleted. The list is the
state: a run that was killed is started again with the same command.

What could not be done is a line of JSON on standard output, and stays in the
list. Exit status: 0 all is done, 1 some items were not, 2 stopped before the end.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from urllib.parse import quote, unquote, urlsplit

import psycopg

PAGE = 200  # rows of the list at once

WORK = """
    SELECT cursor, w.kind, w.collection_id, w.item_id, w.bytes, w.sources, i.document -> 'assets'
      FROM esgf_stac.site_work(%s, %s, %s, %s) WITH ORDINALITY AS w (cursor, kind, collection_id, item_id, version, bytes, priority, rules, sources, reason, updated, n)
      JOIN esgf_stac.published_item i ON i.collection_id = w.collection_id AND i.id = w.item_id
     ORDER BY n"""

LACKING = "SELECT coalesce(sum(lacking_items), 0), coalesce(sum(lacking_bytes), 0) FROM esgf_stac.site_usage(%s)"
HOLDS = "SELECT count(*) FROM esgf_stac.published_item WHERE collection_id = %s AND id = %s AND %s = ANY (nodes)"
ADD = "SELECT action FROM esgf_stac.add_replica(%s, %s, %s, %s::jsonb)"
REMOVE = "SELECT action FROM esgf_stac.remove_replica(%s, %s, %s)"

# What a multihash in hex begins with, and how the rest is made (https://multiformats.io/multihash).
HASHES = {"1114": "sha1", "1220": "sha256", "1340": "sha512", "d50110": "md5"}


class Failure(Exception):
    """Why one item is not done; the others are."""


def transfer(args, url, target):
    """Get a file, or the rest of it: a stand-in that copies from PEERS/host/path. Put your own here."""
    where = urlsplit(url)
    peer = os.path.normpath(os.path.join(args.peers, where.netloc, unquote(where.path).lstrip("/")))
    if not peer.startswith(os.path.join(os.path.normpath(args.peers), "")):
        raise Failure(f"{url} is no URL of a file")
    with open(peer, "rb") as source, open(target, "ab") as file:
        source.seek(file.tell())
        shutil.copyfileobj(source, file)
        file.flush()
        os.fsync(file.fileno())


def is_data_file(key, asset):
    roles = asset.get("roles") or []
    return "data" in roles and "virtual" not in roles and key not in ("globus", "reference_file")


def location(asset, node):
    """The URL of an asset at a node, or None."""
    if asset.get("alternate:name") == node:
        return asset["href"]
    return (asset.get("alternate") or {}).get(node, {}).get("href")


def place(*names):
    """Names as one relative path, which is that of the URL as well."""
    parts = [quote(name, safe=" ") for name in names]
    if any(part.startswith(".") for part in parts):
        raise Failure(f"{'/'.join(names)} is no path that a file may have")
    return os.path.join(*parts)


def check(path, asset):
    """Refuse a file whose size or checksum is not the one that the catalogue has."""
    size, checksum = asset.get("file:size"), asset.get("file:checksum") or ""
    if size is not None and os.path.getsize(path) != size:
        raise Failure(f"{os.path.getsize(path)} bytes instead of {size}")
    for prefix, name in HASHES.items():
        if checksum.startswith(prefix):
            digest = hashlib.new(name)
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != checksum[len(prefix):].lower():
                raise Failure(f"its {name} is {digest.hexdigest()}, not {checksum[len(prefix):]}")


def fetch_file(args, path, asset, sources):
    """Have a file on the disk: it may be there, or a part of it; else from the first source that has it right."""
    problems = []
    part = os.path.join(os.path.dirname(path), "." + os.path.basename(path))  # no other file has such a name
    if os.path.exists(path):
        try:
            check(path, asset)
            return
        except Failure:
            os.remove(path)
    for source in sources:
        url = location(asset, source)
        if url is None:
            continue
        try:
            transfer(args, url, part)
            check(part, asset)
            os.rename(part, path)
            return
        except (Failure, OSError) as error:
            problems.append(f"{url}: {error}")
            if isinstance(error, Failure) and os.path.exists(part):  # it is wrong; after another error it is a beginning
                os.remove(part)
    raise Failure("; ".join(problems) or "no source has it")


def fetch(args, connection, collection_id, item_id, sources, assets):
    """Have all data files that our node lacks, and report them at once."""
    alternates = {}
    for key, asset in assets.items():
        if is_data_file(key, asset) and location(asset, args.node) is None:
            path = place(collection_id, item_id, key)
            os.makedirs(os.path.dirname(os.path.join(args.root, path)), exist_ok=True)
            try:
                fetch_file(args, os.path.join(args.root, path), asset, sources)
            except (Failure, OSError) as error:
                raise Failure(f"{key}: {error}") from error
            alternates[key] = {"href": args.href + quote(path)}
    connection.execute(ADD, [collection_id, item_id, args.node, json.dumps(alternates)])


def purge(args, connection, collection_id, item_id):
    """Report that our replica is gone, and delete it; the journal knows of it in between."""
    folder = place(collection_id, item_id)
    with open(os.path.join(args.root, ".purging"), "a", encoding="utf-8") as journal:
        print(json.dumps([collection_id, item_id]), file=journal, flush=True)
        os.fsync(journal.fileno())
    connection.execute(REMOVE, [collection_id, item_id, args.node])
    shutil.rmtree(os.path.join(args.root, folder), ignore_errors=True)


def finish_purging(args, connection):
    """Delete what an earlier run had reported as gone when it was killed."""
    name = os.path.join(args.root, ".purging")
    if not os.path.exists(name):
        return
    with open(name, encoding="utf-8") as journal:
        for line in journal:
            if line.endswith("]\n"):
                key = json.loads(line)
                if connection.execute(HOLDS, [*key, args.node]).fetchone()[0] == 0:
                    shutil.rmtree(os.path.join(args.root, place(*key)), ignore_errors=True)
    os.remove(name)


def run(args, connection):
    """Work off the list page by page; answers how many items were not done."""
    finish_purging(args, connection)
    items, size = connection.execute(LACKING, [args.node]).fetchone()
    print(f"about {items} items, {size} bytes are lacking", file=sys.stderr, flush=True)
    cursor, done, failed, moved, began = None, 0, 0, 0, time.monotonic()
    while rows := connection.execute(WORK, [args.node, args.kind, cursor, PAGE]).fetchall():
        for cursor, kind, collection_id, item_id, size, sources, assets in rows:
            try:
                if kind == "purge":
                    purge(args, connection, collection_id, item_id)
                else:
                    fetch(args, connection, collection_id, item_id, sources, assets)
                    moved += size
                done += 1
            except (Failure, psycopg.DatabaseError) as error:
                if connection.closed:
                    raise
                failed += 1
                print(json.dumps({"collection_id": collection_id, "item_id": item_id, "kind": kind, "problem": str(error)}), flush=True)
        print(f"{done} done, {failed} not, {moved} bytes, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return failed


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", required=True, help="our data node")
    parser.add_argument("--root", required=True, help="the folder of our files")
    parser.add_argument("--href", required=True, help="the beginning of their URLs, as the table site has it, with a slash at its end")
    parser.add_argument("--peers", required=True, help="for the stand-in of a transfer: a folder with one of each other host")
    parser.add_argument("--kind", choices=["fetch", "complete", "purge"], help="only this; all three unless said")
    return parser.parse_args()


def main():
    args = read_arguments()
    try:
        os.makedirs(args.root, exist_ok=True)
        with open(os.path.join(args.root, ".lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with psycopg.connect(autocommit=True, application_name="mirror.py") as connection:
                return 1 if run(args, connection) else 0
    except BlockingIOError:
        print(f"stopped: another run works in {args.root}", file=sys.stderr)
    except (KeyboardInterrupt, psycopg.OperationalError) as error:
        print(f"stopped: {str(error) or 'interrupted'}\nThe same command goes on from here.", file=sys.stderr)
    except (psycopg.Error, OSError) as error:
        print(f"stopped: {error}\nWhen that is mended, the same command goes on.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
