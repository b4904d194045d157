"""Two clients that work through an upgrade, for test/t/032_upgrade.pl: one of the transaction API, one of the database.

    upgrade_clients.py URL TOKEN CONNINFO API_ITEM ITEM

Each counts its item up, and tries a change that fails again, over a new connection, until it is done. What they did is
printed as JSON when stdin ends: how many changes, which errors, and whether a change was given up.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request

import psycopg

url, token, conninfo, api_item, item = sys.argv[1:]
PATIENCE = 150
stop = threading.Event()


def over_http(n):
    """Have the API make that change; what it answered, if that was no success."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
    body = json.dumps({"properties": {"n": n}}).encode()
    request = urllib.request.Request(f"{url}/collections/CMIP6/items/{api_item}", body, headers, method="PATCH")
    try:
        with urllib.request.urlopen(request, timeout=30):
            return None
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError:
        return "no connection"


def by_sql(n):
    """The same in the database, in a session that lasts until an error; its SQLSTATE, if there is one."""
    try:
        if by_sql.session is None:
            by_sql.session = psycopg.connect(conninfo, autocommit=True)
        patch = json.dumps({"properties": {"n": n}})
        by_sql.session.execute("SELECT esgf_stac.patch_item('CMIP6', %s, %s::jsonb)", [item, patch])
        return None
    except psycopg.Error as error:
        by_sql.session and by_sql.session.close()
        by_sql.session = None
        return error.sqlstate or "no connection"


by_sql.session = None


def count_up(change, told):
    """One change after the other, each until it is done."""
    while not stop.is_set() and not told["given_up"]:
        n, patience = told["done"] + 1, time.monotonic() + PATIENCE
        while (error := change(n)) and time.monotonic() < patience:
            told["errors"][error] = told["errors"].get(error, 0) + 1
            time.sleep(0.1)
        told["given_up"] = error
        told["done"] = n if not error else n - 1
        print("changed", flush=True)
        time.sleep(0.01)


told = [{"done": 0, "errors": {}, "given_up": None} for _ in range(2)]
threads = [threading.Thread(target=count_up, args=pair) for pair in zip([over_http, by_sql], told)]
for thread in threads:
    thread.start()
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps({"api": told[0], "sql": told[1]}))
