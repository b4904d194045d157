"""Our own tests of examples/stac_fastapi as an HTTP service: conditions, methods, refusals, limits, OpenAPI."""

import asyncio

import app as example
import httpx
import psycopg
import pytest
import web
from conftest import ITEMS, MERGE, PATCH, PATH, bearer, refused

TITLE = {"properties": {"title": "x"}}
COLLECTION = "/collections/test-collection"


def conflicts(response, version):
    """It is a conflict, and names the version that is there."""
    problem = refused(response, 412, "version-conflict")
    assert (problem.get("current_version"), response.headers.get("etag")) == (version, version and f'"{version}"')


# ---------------------------------------------------------------- conditions


async def test_if_match_lists(app_client, load_test_item, state):
    """One of the tags must be that of the item as it is; a tag may have a comma in it."""
    for version, tags in enumerate(('"1", "7"', '"7","2"', 'W/"2", "3"', '"a,b" , "4"', ', "5",,\t"7" ,'), 1):
        headers = {"If-Match": tags}
        patch = {"properties": {"n": version}}
        assert (await app_client.patch(PATH, json=patch, headers=headers)).headers["etag"] == f'"{version + 1}"', tags
    several = [("If-Match", '"1"'), ("If-Match", '"6"')]
    assert (await app_client.patch(PATH, json={"properties": {"n": 6}}, headers=several)).headers["etag"] == '"7"'
    before = state()
    for tags in ('"1", "6"', 'W/"7"', "7", '7, "8"', '"7', '"07"', '"1" "7"', '*, "1"', '"٧"'.encode()):
        conflicts(await app_client.patch(PATH, json=TITLE, headers={"If-Match": tags}), 7)
        conflicts(await app_client.delete(PATH, headers={"If-Match": tags}), 7)
    refused(
        await app_client.patch(PATH, json=TITLE, headers={"If-Match": ",".join(f'"{n}"' for n in range(1, 30))}), 400
    )
    assert state() == before


async def test_if_match_lists_of_collections(app_client, load_test_collection, state):
    version = int((await app_client.get(COLLECTION)).headers["etag"].strip('"'))
    patch, headers = {"title": "x"}, {"If-Match": f'"9999", "{version}"'}
    assert (await app_client.patch(COLLECTION, json=patch, headers=headers)).headers["etag"] == f'"{version + 1}"'
    before = state()
    conflicts(await app_client.patch(COLLECTION, json={"title": "y"}, headers=headers), version + 1)
    assert state() == before


async def test_if_match_lists_and_the_same_again(app_client, load_test_item, state):
    await app_client.patch(PATH, json={"properties": {"n": 1}})
    headers = {"If-Match": '"1", "2"', "Idempotency-Key": "a"}
    first = await app_client.patch(PATH, json=TITLE, headers=headers)
    before = state()
    again = await app_client.patch(PATH, json=TITLE, headers=headers)
    assert (first.headers["etag"], again.headers["etag"], again.json()) == ('"3"', '"3"', first.json())
    refused(await app_client.patch(PATH, json={"properties": {"n": 3}}, headers=headers), 409, "request-id-reused")
    assert state() == before
    headers = {"If-None-Match": '"1", "4"', "Idempotency-Key": "b"}
    for _ in range(2):
        assert (await app_client.patch(PATH, json={"properties": {"n": 4}}, headers=headers)).headers["etag"] == '"4"'


async def test_only_what_is_not_there(app_client, load_test_item, item, state):
    """If-None-Match: *, on each method that could make something."""
    none, before = {"If-None-Match": "*"}, state()
    for response in (
        await app_client.put(PATH, json=item("test-item") | TITLE, headers=none),
        await app_client.post(ITEMS, json=item("test-item"), headers=none),
        await app_client.patch(PATH, json=TITLE, headers=none),
        await app_client.delete(PATH, headers=none),
        await app_client.put(PATH, json=item("test-item"), headers={"If-None-Match": '"7", W/"1"'}),
        await app_client.patch(PATH, json=TITLE, headers={"If-None-Match": '"1"'}),
    ):
        conflicts(response, 1)
    refused(await app_client.put(f"{ITEMS}/new", json=item("other"), headers=none), 400, "bad-request")
    refused(await app_client.patch(PATH, json=[{}], headers={"If-None-Match": '"1"'}), 400, "bad-patch")
    for tags in ('*, "1"', "1", '"1', '"7" "1"'):
        refused(await app_client.patch(PATH, json=TITLE, headers={"If-None-Match": tags}), 400)
    conflicts(await app_client.patch(PATH, json=TITLE, headers={"If-None-Match": '"1",'}), 1)
    for headers in (none, {"If-None-Match": '"1"', "If-Match": '"1"'}):
        refused(await app_client.patch(f"{ITEMS}/new", json=TITLE, headers=headers), 404, "item-does-not-exist")
    assert state() == before
    made = await app_client.put(f"{ITEMS}/new", json=item("new"), headers=none)
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    assert made.headers["location"] == f"http://test{ITEMS}/new"
    assert (await app_client.post(ITEMS, json=item("post"), headers=none)).status_code == 201
    assert (await app_client.patch(PATH, json=TITLE, headers={"If-None-Match": '"7"'})).headers["etag"] == '"2"'
    unnamed = {name: value for name, value in item("unnamed").items() if name != "id"}
    refused(await app_client.post(ITEMS, json=unnamed, headers=none), 400, "stac-validation", "/id")


async def test_only_collections_that_are_not_there(app_client, load_test_collection, state):
    none, got = {"If-None-Match": "*"}, (await app_client.get(COLLECTION)).json()
    version, before = int((await app_client.get(COLLECTION)).headers["etag"].strip('"')), state()
    conflicts(await app_client.put(COLLECTION, json=got | {"title": "x"}, headers=none), version)
    conflicts(await app_client.patch(COLLECTION, json={"title": "x"}, headers=none), version)
    refused(await app_client.put("/collections/new", json=got, headers=none), 400)
    assert state() == before
    made = await app_client.put("/collections/new", json=got | {"id": "new"}, headers=none)
    assert (made.status_code, made.headers["location"]) == (201, "http://test/collections/new")
    conflicts(await app_client.put("/collections/new", json=got | {"id": "new"}, headers=none), 1)


async def test_what_the_reader_has(app_client, load_test_item):
    await app_client.patch(PATH, json=TITLE)
    for path, version in ((PATH, 2), (COLLECTION, int((await app_client.get(COLLECTION)).headers["etag"].strip('"')))):
        for tags in (f'"{version}"', f'W/"{version}"', f'"77", "{version}"', "*"):
            response = await app_client.get(path, headers={"If-None-Match": tags})
            assert (response.status_code, response.headers["etag"], response.content) == (304, f'"{version}"', b"")
        for tags in ('"77"', "2", '"a"'):
            assert (await app_client.get(path, headers={"If-None-Match": tags})).status_code == 200
        assert (await app_client.get(path, headers={"If-Match": f'"{version}"'})).status_code == 200
        conflicts(await app_client.get(path, headers={"If-Match": '"77"'}), version)
    refused(await app_client.get(f"{ITEMS}/none", headers={"If-None-Match": "*"}), 404)


# ---------------------------------------------------------------- methods


PATHS = {
    "/": "GET, HEAD, OPTIONS",
    "/api": "GET, HEAD, OPTIONS",
    "/_mgmt/health": "GET, HEAD, OPTIONS",
    "/search": "GET, HEAD, POST, OPTIONS",
    "/collections": "GET, HEAD, POST, OPTIONS",
    COLLECTION: "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
    ITEMS: "GET, HEAD, POST, OPTIONS",
    PATH: "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
    f"{COLLECTION}/bulk_items": "POST, OPTIONS",
}


async def test_methods(app_client, load_test_item):
    """OPTIONS, HEAD, and what a path does not have."""
    for path, methods in PATHS.items():
        options = await app_client.options(path)
        assert (options.status_code, options.headers["allow"], options.content) == (204, methods, b""), path
        assert ("accept-patch" in options.headers) == ("PATCH" in methods)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "X-Y"):
            if method not in methods:
                response = await app_client.request(method, path)
                assert (response.status_code, response.headers["allow"]) == (405, methods), (method, path)
                if method != "HEAD":
                    refused(response, 405)
        if "HEAD" in methods and path != "/search":
            get, head = await app_client.get(path), await app_client.head(path)
            assert (head.status_code, head.headers, head.content) == (200, get.headers, b""), path
    refused(await app_client.options("/nothing"), 404)
    assert (await app_client.head(f"{ITEMS}/none")).status_code == 404
    assert (await app_client.head(PATH, headers={"If-None-Match": '"1"'})).status_code == 304


async def test_browsers(app_client, load_test_item):
    """From another origin all methods and headers go, and the tag can be read."""
    asks = {"Origin": "https://a.org", "Access-Control-Request-Method": "PATCH"}
    asks["Access-Control-Request-Headers"] = "authorization,if-match,idempotency-key"
    granted = (await app_client.options(PATH, headers=asks)).headers
    assert "PATCH" in granted["access-control-allow-methods"]
    assert "if-match" in granted["access-control-allow-headers"].lower()
    exposed = (await app_client.get(PATH, headers={"Origin": "https://a.org"})).headers["access-control-expose-headers"]
    assert {"etag", "location", "retry-after"} <= set(exposed.lower().split(", "))


async def test_no_search(app_client, load_test_collection):
    for response in (
        await app_client.get("/search?bbox=x"),
        await app_client.post("/search", json={"bbox": "x"}),
        await app_client.post("/search"),
        await app_client.post("/search", content=b"{"),
        await app_client.get(f"{ITEMS}?bbox=0,0,1,1"),
        await app_client.get(f"{ITEMS}?datetime=2020-01-01T00:00:00Z"),
    ):
        refused(response, 501)
    refused(await app_client.get(f"{ITEMS}?filter=x"), 400)
    for path in ("/", "/conformance"):
        assert "search" not in (await app_client.get(path)).text
    refused(await app_client.get("/nothing"), 404)
    refused(await app_client.get("/collections/"), 404)
    refused(await app_client.get(f"{ITEMS}?limit=0"), 400)
    refused(await app_client.get(f"{ITEMS}?limit=x"), 400)


async def test_roots(app_client, load_test_item):
    for path in ("/", "/collections", COLLECTION, ITEMS, PATH):
        links = {link["rel"]: link["href"] for link in (await app_client.get(path)).json()["links"]}
        assert (links["root"], links["self"]) == ("http://test/", f"http://test{path}")


# ---------------------------------------------------------------- bodies


async def test_content_types(app_client, load_test_item, item, state):
    before = state()
    for method, path, types, told in (
        ("PATCH", PATH, "application/geo+json text/plain application/xml", "accept-patch"),
        ("PATCH", COLLECTION, "text/plain", "accept-patch"),
        ("POST", ITEMS, "text/plain application/merge-patch+json", "accept-post"),
        ("PUT", PATH, "text/plain application/json-patch+json", "accept"),
    ):
        for kind in types.split():
            response = await app_client.request(method, path, content="{}", headers={"Content-Type": kind})
            refused(response, 415)
            assert "application/json" in response.headers[told]
    refused(await app_client.patch(PATH, content="{}", headers=MERGE | {"Content-Encoding": "gzip"}), 415)
    assert state() == before
    kind = {"Content-Type": "Application/Merge-Patch+JSON; charset=utf-8", "Content-Encoding": "identity"}
    assert (await app_client.patch(PATH, content="{}", headers=kind)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"properties": {"n": 1' + b"0" * 5000 + b"}}",
        b'{"properties": {"n": NaN}}',
        b'{"properties": {"n": "\\u0000"}}',
        b'{"properties": {"n": "\\ud800"}}',
        b"\xff\xfe\x00",
        b'{"properties": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"properties": {"n": ' + b"[" * 200_000 + b"]" * 200_000 + b"}}",
    ],
)
async def test_bad_json(app_client, load_test_item, state, body):
    before = state()
    response = await app_client.patch(PATH, content=body, headers=MERGE)
    refused(response, 400, response.json()["type"].partition("errors/")[2])
    assert state() == before


async def test_bad_paths(app_client, load_test_item, item):
    for response in (
        await app_client.get(f"{ITEMS}/%00"),
        await app_client.get("/collections/%00"),
        await app_client.get(f"{ITEMS}?token=%00"),
        await app_client.patch(f"{ITEMS}/%00", json={}),
        await app_client.delete("/collections/%00"),
    ):
        assert response.status_code in (400, 404)
        refused(response, response.status_code, response.json()["type"].partition("errors/")[2])
    refused(await app_client.get(f"{ITEMS}/%ff%2F"), 404)


def unread(size, parts=1):
    """A body, and what has been read of it."""
    read = []

    async def body():
        for _ in range(parts):
            read.append(size // parts)
            yield b" " * (size // parts)

    return body(), read


async def test_nothing_is_read_of_strangers(app_client, load_test_item, state):
    """Who asks, and may he, comes before the body."""
    before = state()
    for headers, status in (({"Authorization": "Basic x"}, 401), (bearer(["testers"]), 403)):
        body, read = unread(24_000_000)
        response = await app_client.post(
            "/collections", content=body, headers=headers | {"Content-Type": "application/json"}
        )
        refused(response, status)
        assert not read
    for method, path in (
        ("POST", ITEMS),
        ("PATCH", PATH),
        ("PUT", PATH),
        ("DELETE", PATH),
        ("POST", f"{COLLECTION}/bulk_items"),
    ):
        body, read = unread(24_000_000)
        refused(await app_client.request(method, path, content=body, headers={"Authorization": ""} | MERGE), 401)
        assert not read
    body, read = unread(24_000_000)
    refused(await app_client.post("/search", content=body), 501)
    assert not read and state() == before


async def test_large_bodies(app_client, load_test_item, state):
    before = state()
    body, read = unread(24_000_000)
    declared = MERGE | {"Content-Length": "24000000"}
    refused(await app_client.patch(PATH, content=body, headers=declared), 413)
    assert not read
    body, read = unread(24_000_000, parts=24)
    refused(await app_client.patch(PATH, content=body, headers=MERGE), 413)
    assert 10_000_000 <= sum(read) <= 12_000_000 and state() == before


async def test_links_of_ours(app_client, load_test_item, item, admin):
    """They are not stored, by whichever request a document comes that was read here."""
    got = (await app_client.get(PATH)).json()["links"]
    given = [{"rel": "license", "href": "https://a.org/"}, *got, {"rel": "root", "href": "https://b.org/"}]
    features = {"type": "FeatureCollection", "features": [item("b") | {"links": given}]}
    bulk = {"items": {"c": item("c") | {"links": given}}}
    operation = {"op": "replace", "path": "/links", "value": given}
    for response in (
        await app_client.post(ITEMS, json=item("a") | {"links": given}),
        await app_client.post(ITEMS, json=features),
        await app_client.post(f"{COLLECTION}/bulk_items", json=bulk),
        await app_client.patch(PATH, json={"links": given}),
    ):
        assert response.status_code in (200, 201), response.text
    for method in (app_client.put, app_client.patch):
        assert (await method(COLLECTION, json=(await app_client.get(COLLECTION)).json())).status_code == 200
    for (links,) in admin.execute(
        "SELECT document -> 'links' FROM esgf_stac.item UNION ALL SELECT document -> 'links' FROM esgf_stac.collection"
    ):
        assert {link["rel"] for link in links} <= {"license", "preview"}
    unchanged = await app_client.patch(PATH, json=[operation, {**operation, "op": "test"}], headers=PATCH)
    assert (unchanged.status_code, unchanged.headers["etag"]) == (200, '"2"')


async def test_status_of_patch(app_client, load_test_item, monkeypatch):
    """202 for clients that take 200 for a failure."""
    monkeypatch.setattr(example, "PATCH_STATUS", 202)
    patched = await app_client.patch(PATH, json=TITLE)
    assert (patched.status_code, patched.headers["etag"], patched.json()["properties"]["title"]) == (202, '"2"', "x")
    assert (await app_client.patch(COLLECTION, json={"title": "x"})).status_code == 202
    refused(await app_client.patch(f"{ITEMS}/none", json=TITLE), 404, "item-does-not-exist")


# ---------------------------------------------------------------- addresses


async def test_addresses(app_client, load_test_item):
    links = (await app_client.get(PATH, headers={"X-Forwarded-Host": "b.org", "X-Forwarded-Proto": "https"})).json()[
        "links"
    ]
    assert {"https://b.org/"} == {link["href"] for link in links if link["rel"] == "root"}
    for headers in (
        {"Host": "a.org/x"},
        {"Host": "[::1]"},
        {"Host": b"\xff"},
        {"X-Forwarded-Host": "a.org/?x="},
        {"X-Forwarded-Host": b"\xff"},
        {"X-Forwarded-Proto": "javascript"},
        {"X-Forwarded-Port": "x"},
        {"Forwarded": b"host=\xff"},
    ):
        refused(await app_client.get(PATH, headers=headers), 400)
        refused(await app_client.patch(PATH, json=TITLE, headers=headers), 400)


# ---------------------------------------------------------------- OpenAPI


async def test_openapi(app_client, load_test_collection):
    api = (await app_client.get("/api")).json()
    assert api["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            names = [
                p["name"] if "name" in p else p["$ref"].rpartition("/")[2] for p in operation.get("parameters", [])
            ]
            assert len(names) == len(set(names))
            assert {name for name in ("collection_id", "item_id") if f"{{{name}}}" in path} <= set(names), (
                method,
                path,
            )
            writes = method != "get"
            assert writes == ("requestBody" in operation) == ("Prefer" in names)
            asks = writes or path == "/requests/{id}"
            assert ("bearer" in str(operation.get("security"))) == asks == ("401" in operation["responses"])
            assert "400" in operation["responses"] and "422" not in operation["responses"]
            assert ("Idempotency-Key" in names) == ("X-Request-ID" in names) == (writes and "items" in path)
            assert ("If-Match" in names) == path.endswith("_id}")
            if method == "patch":
                assert set(operation["requestBody"]["content"]) == set(web.PATCH)
    assert "/search" not in api["paths"]


# ---------------------------------------------------------------- trouble


async def test_canceled(app_client, load_test_item, admin, state):
    """Another one holds the item, and an administrator ends the waiting: that may be tried again."""
    before = state()
    admin.execute("BEGIN")
    admin.execute("SELECT FROM esgf_stac.item WHERE NOT deleted FOR UPDATE")
    waiting = asyncio.create_task(app_client.patch(PATH, json={"properties": {"title": "x"}}))
    cancel = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'stac_api' AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(60):
        while not waiting.done():
            await asyncio.sleep(0.01)
            admin.execute(cancel)
    admin.execute("ROLLBACK")
    response = await waiting
    refused(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert state() == before
    assert (await app_client.patch(PATH, json={"properties": {"title": "x"}})).status_code == 200


async def test_connections_lost(app_client, load_test_item, admin):
    admin.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'stac_api'")
    assert (await app_client.patch(PATH, json={"properties": {"title": "x"}})).status_code == 200


async def test_no_standby_has_it(app_client, load_test_item, admin, state):
    """A COMMIT waits for a standby, and an administrator ends the waiting: that is not done before one has it."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'stac_api' AND wait_event = 'SyncRep'"
    [version] = admin.execute("SELECT version FROM esgf_stac.published_item").fetchone()

    async def patch():
        """Ask, and be let wait."""
        request = app_client.patch(PATH, json=TITLE, headers={"Idempotency-Key": "synchronous"})
        task = asyncio.create_task(request)
        async with asyncio.timeout(60):
            while not admin.execute(waiting).fetchone():
                await asyncio.sleep(0.01)
        return task

    def standbys(names):
        admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        admin.execute("SELECT pg_reload_conf()")

    standbys("nobody")
    admin.execute("SET synchronous_commit = local")
    try:
        first = await patch()
        admin.execute(f"SELECT pg_cancel_backend(pid) FROM ({waiting}) w")
        problem = refused(await first, 503)
        assert "Idempotency-Key" in problem["detail"]
        assert admin.execute("SELECT version FROM esgf_stac.published_item").fetchone() == (version + 1,)
        again = await patch()  # which waits for a standby, too, though it changes nothing
    finally:
        standbys("")
        admin.execute("RESET synchronous_commit")
    assert (await again).status_code == 200
    assert admin.execute("SELECT version FROM esgf_stac.published_item").fetchone() == (version + 1,)


async def test_maintenance(app_client, load_test_item, admin, state):
    """Nobody changes anything; readers read, and everybody is told when to come back."""
    before = state()
    try:
        for interval, after in [("10 min", 600), (None, None)]:
            admin.execute("SELECT esgf_stac.set_maintenance('a new disk', %s)", [interval])
            for response in [
                await app_client.patch(PATH, json=TITLE),
                await app_client.delete(PATH, headers={"If-Match": '"7"'}),
                await app_client.put(PATH, json={}),
            ]:
                refused(response, 503, "maintenance")
                assert response.json()["retry_after"] == after and "a new disk" in response.json()["detail"]
                assert response.headers["retry-after"] == str(after or 5)
        assert (await app_client.get(PATH)).status_code == 200 and state() == before
    finally:
        admin.execute("SELECT esgf_stac.end_maintenance()")
    assert (await app_client.patch(PATH, json=TITLE)).status_code == 200


async def test_another_library(app_client, load_test_item, admin, state):
    """A connection whose backend has loaded another library is of no use any more, and made anew."""
    before, pids = (
        state(),
        "SELECT pid FROM pg_stat_activity WHERE usename = 'stac_api' AND datname = current_database()",
    )
    [real] = admin.execute("SELECT version FROM esgf_stac.catalogue").fetchone()
    admin.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'stac_api'")
    admin.execute("UPDATE esgf_stac.catalogue SET version = '0.0.0'")
    try:
        await asyncio.gather(*(app_client.get(PATH) for _ in range(5)))
        old = {pid for (pid,) in admin.execute(pids)}
        response = await app_client.patch(PATH, json=TITLE)
    finally:
        admin.execute("UPDATE esgf_stac.catalogue SET version = %s", [real])
    refused(response, 503)
    assert int(response.headers["retry-after"]) > 0 and state() == before
    async with asyncio.timeout(60):
        while old & {pid for (pid,) in admin.execute(pids)}:
            await asyncio.sleep(0.05)
    assert old and (await app_client.patch(PATH, json=TITLE)).status_code == 200


@pytest.mark.parametrize(
    "error, status",
    [
        (psycopg.errors.StatementTooComplex("x"), 413),
        (psycopg.errors.ProgramLimitExceeded("x"), 413),
        (psycopg.errors.UntranslatableCharacter("x"), 400),
        (psycopg.errors.CheckViolation("x"), 409),
        (psycopg.errors.DeadlockDetected("x"), 503),
        (psycopg.errors.DiskFull("x"), 503),
        (psycopg.InterfaceError("secret"), 503),
        (psycopg.OperationalError("secret"), 503),
        (psycopg.errors.InsufficientPrivilege("secret"), 500),
        (psycopg.errors.UndefinedTable("secret"), 500),
        (RecursionError("x"), 400),
        (KeyError("secret"), 500),
    ],
)
async def test_errors(app, monkeypatch, error, status):
    """Each is a problem, and tells nothing of the inside."""

    async def fail(*_):
        raise error

    monkeypatch.setattr(example, "read", fail)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get(PATH)
    refused(response, status)
    assert ("retry-after" in response.headers) == (status == 503) and "secret" not in response.text
