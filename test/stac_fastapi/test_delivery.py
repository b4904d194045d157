"""Has it arrived? Prefer on changes, and what is said of a request, to whom."""

import asyncio

import pytest
import web
from conftest import ISSUER, ITEMS, PATH, bearer, refused

TITLE = {"properties": {"title": "x"}}


@pytest.fixture
def streams(admin):
    """Two streams, which others read, and by which they are told that they have everything."""
    for name in ("east", "west"):
        admin.execute("SELECT esgf_stac.create_stream(%s)", [name])
        admin.execute("SELECT pg_create_logical_replication_slot('esgf_stac_' || %s, 'pgoutput')", [name])

    def deliver(*names):
        for name in names or ("east", "west"):
            admin.execute("SELECT pg_replication_slot_advance('esgf_stac_' || %s, pg_current_wal_insert_lsn())", [name])

    yield deliver
    for name in ("east", "west"):
        admin.execute("SELECT esgf_stac.drop_stream(%s)", [name])


@pytest.fixture
def waiting(admin):
    """How many wait for a delivery, when they are so many."""

    async def until(number):
        query = """SELECT count(*) FROM pg_stat_activity
                    WHERE usename IN ('stac_api', 'stac_curator') AND state = 'active' AND query LIKE '%wait_for_delivery%'"""
        async with asyncio.timeout(180):
            while admin.execute(query).fetchone() != (number,):
                await asyncio.sleep(0.01)

    return until


async def arrived(client, location, deliver, *names):
    """What is said of a request when nothing is pending any more: the server itself writes WAL, too."""
    async with asyncio.timeout(180):
        while True:
            deliver(*names)
            got = await client.get(location)
            if "pending" not in [d["state"] for d in got.json()["deliveries"]]:
                return got


async def answered(deliver, *requests):
    """The answers to requests that wait, while it is told again and again that everything is delivered."""
    async with asyncio.timeout(180):
        while not all(request.done() for request in requests):
            deliver()
            await asyncio.sleep(0.05)
    return [await request for request in requests]


def told(response):
    return response.headers.get("preference-applied"), response.headers.get("delivery")


# ---------------------------------------------------------------- wait


async def test_wait(app_client, load_test_item, streams, waiting):
    streams()
    patch = asyncio.create_task(app_client.patch(PATH, json=TITLE, headers={"Prefer": "wait=20"}))
    await waiting(1)
    assert (await app_client.get(PATH)).headers["etag"] == '"2"'
    [response] = await answered(streams, patch)
    assert (response.status_code, response.headers["etag"]) == (200, '"2"')
    assert told(response) == ("wait=20", "east=delivered, west=delivered")


async def test_the_time_is_over(app_client, load_test_item, streams):
    """The change is made all the same; what is pending can be asked after."""
    streams()
    response = await app_client.patch(PATH, json=TITLE, headers={"Prefer": "wait=1"})
    assert (response.status_code, response.headers["etag"]) == (200, '"2"')
    assert told(response) == ("wait=1", "east=pending, west=pending")
    link = response.headers["link"]
    assert link.endswith('>; rel="status"')
    got = (await app_client.get(link[1 : link.index(">")])).json()
    assert [(d["stream"], d["state"]) for d in got["deliveries"]] == [("east", "pending"), ("west", "pending")]


async def test_a_refused_one(app_client, load_test_item, streams, admin):
    """It is no longer pending."""
    admin.execute(
        """INSERT INTO esgf_stac.consumer (stream, system_identifier, timeline, lsn, confirmed, horizon, outbox_oid, delivering_since)
           SELECT 'east', system_identifier, 1, '0/1', '0/1', '3', 'esgf_stac.outbox'::regclass, now() FROM pg_control_system()"""
    )
    admin.execute(
        """INSERT INTO esgf_stac.dead_letter (stream, collection_id, item_id, version, reason)
           VALUES ('east', 'test-collection', 'test-item', 2, 'no mapping')"""
    )
    response = await app_client.patch(PATH, json=TITLE, headers={"Prefer": "wait=0, respond-async"})
    assert told(response)[1] == "east=refused, west=pending"
    got = await arrived(app_client, response.headers["location"], streams, "west")
    states = {d["stream"]: (d["state"], d["reason"]) for d in got.json()["deliveries"]}
    assert states == {"east": ("refused", "no mapping"), "west": ("delivered", None)}
    assert "retry-after" not in got.headers


@pytest.mark.parametrize("more", ["", ", return=minimal", '; x="a, b"', ', wait=7, foo="wait=9"', ",,"])
@pytest.mark.parametrize("given, applied", [("wait=2", 2), ("Wait = 002", 2), ('wait="2"', 2), ("x, wait=2", 2)])
async def test_forms_of_wait(app_client, load_test_item, given, applied, more):
    response = await app_client.patch(PATH, json=TITLE, headers={"Prefer": given + more})
    assert told(response) == (f"wait={applied}", "")


@pytest.mark.parametrize("given", ["5", "99999", "9" * 5000])
async def test_wait_has_a_limit(app_client, load_test_item, streams, given, monkeypatch):
    monkeypatch.setattr(web, "MAX_WAIT", 1)
    response = await app_client.patch(PATH, json=TITLE, headers={"Prefer": f"wait={given}"})
    assert told(response) == ("wait=1", "east=pending, west=pending")


@pytest.mark.parametrize(
    "given",
    ["wait", "wait=", "wait=-1", "wait=1.5", "wait=soon", "wait=\u0665", "wait=1 s", "wait=x, wait=1", 'y="wait=1', "=",
     'x="a, wait=1"', "respond-async=1", "wait;wait=1", "", '"' * 5000, '"\\' * 5000, "," * 5000],
)  # fmt: skip
async def test_what_is_malformed_says_nothing(app_client, load_test_item, streams, given):
    response = await app_client.patch(PATH, json=TITLE, headers={"Prefer": given.encode()})
    assert (response.status_code, told(response)) == (200, (None, None))


async def test_several_headers(app_client, load_test_item):
    headers = [("Prefer", "respond-async"), ("Prefer", "wait=3")]
    assert told(await app_client.patch(PATH, json=TITLE, headers=headers)) == ("wait=3", "")


async def test_nothing_to_wait_for(app_client, load_test_item, streams, state):
    """What changes nothing has no event; what is refused is refused."""
    prefer = {"Prefer": "respond-async, wait=20"}
    response = await app_client.patch(PATH, json={}, headers=prefer)
    assert (response.status_code, told(response)) == (200, (None, None))
    before = state()
    refused(await app_client.patch(PATH, json=TITLE, headers=prefer | bearer(["nobodies"])), 403, "missing-permission")
    refused(await app_client.patch(PATH, json=TITLE, headers=prefer | {"If-Match": '"7"'}), 412, "version-conflict")
    assert state() == before


async def test_many_wait(app_client, load_test_collection, item, streams, waiting, monkeypatch):
    """Who waits keeps no connection from those who change."""
    monkeypatch.setattr(web, "MAX_WAIT", 29)
    ids, patches = [f"item-{n}" for n in range(11)], []
    await app_client.post(ITEMS, json={"type": "FeatureCollection", "features": [item(id) for id in ids]})
    for id in ids:
        patch = app_client.patch(f"{ITEMS}/{id}", json=TITLE, headers={"Prefer": "wait=29"})
        patches.append(asyncio.create_task(patch))
    await waiting(len(patches))
    assert (await app_client.patch(f"{ITEMS}/item-0", json={"properties": {"title": "y"}})).status_code == 200
    for response in await answered(streams, *patches):
        assert (response.status_code, told(response)) == (200, ("wait=29", "east=delivered, west=delivered"))


async def test_waiting_fails(app_client, load_test_item, streams, waiting, admin):
    """The change is made, so it is no error."""
    patch = asyncio.create_task(app_client.patch(PATH, json=TITLE, headers={"Prefer": "wait=20"}))
    await waiting(1)
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%wait_for_delivery%' AND pid <> pg_backend_pid()"
    )
    response = await patch
    assert (response.status_code, response.headers["etag"], told(response)) == (200, '"2"', (None, None))
    assert (await app_client.get(PATH)).headers["etag"] == '"2"'


async def test_changes_of_collections(app_client, load_test_collection, streams, waiting):
    streams()
    prefer = {"Prefer": "respond-async, wait=20"}
    patch = asyncio.create_task(app_client.patch("/collections/test-collection", json={"title": "x"}, headers=prefer))
    await waiting(1)
    [response] = await answered(streams, patch)
    assert (response.status_code, told(response)) == (200, ("wait=20", "east=delivered, west=delivered"))
    response = await app_client.patch(
        "/collections/test-collection", json={"title": "y"}, headers={"Prefer": "respond-async"}
    )
    assert (response.status_code, told(response)) == (200, (None, None))


# ---------------------------------------------------------------- respond-async


async def test_respond_async(app_client, load_test_item, item, streams):
    response = await app_client.post(ITEMS, json=item("new"), headers={"Prefer": "respond-async"})
    assert (response.status_code, told(response), response.headers["etag"]) == (202, ("respond-async", None), '"1"')
    got = await app_client.get(response.headers["location"])
    assert got.headers["retry-after"] == "1"
    [request] = got.json()["requests"]
    assert (request["status"], request["item_id"], request["version"], request["action"]) == (
        201,
        "new",
        1,
        "published",
    )
    states = [(d["event_id"], d["stream"], d["state"]) for d in got.json()["deliveries"]]
    assert states == [(request["event_id"], stream, "pending") for stream in ("east", "west")]
    got = await arrived(app_client, response.headers["location"], streams)
    assert [d["state"] for d in got.json()["deliveries"]] == ["delivered", "delivered"]
    assert "retry-after" not in got.headers


async def test_as_long_as_one_waits(app_client, load_test_item, item, streams, waiting):
    """Both: an ordinary answer if it is delivered in time, else 202."""
    prefer = {"Prefer": "respond-async, wait=1"}
    response = await app_client.post(ITEMS, json=item("late"), headers=prefer)
    assert response.status_code == 202 and "/requests/" in response.headers["location"]
    assert told(response) == ("wait=1, respond-async", "east=pending, west=pending")
    post = asyncio.create_task(app_client.post(ITEMS, json=item("new"), headers={"Prefer": "wait=20, respond-async"}))
    await waiting(1)
    [response] = await answered(streams, post)
    assert response.status_code == 201 and response.headers["location"].endswith(f"{ITEMS}/new")
    assert told(response) == ("wait=20", "east=delivered, west=delivered")


async def test_many_items(app_client, load_test_collection, item, streams):
    features = {"type": "FeatureCollection", "features": [item("a"), item("b")]}
    bulk = {"items": {id: item(id) for id in ("c", "d", "e")}}
    for path, body, number in ((ITEMS, features, 2), (f"{ITEMS[:-5]}bulk_items", bulk, 3)):
        for headers in ({}, {"Idempotency-Key": f"key of {number}"}):
            for one in body.get("features", []) or body["items"].values():
                one["id"] += "-" if headers else ""
            if "items" in body:
                body["items"] = {one["id"]: one for one in body["items"].values()}
            response = await app_client.post(path, json=body, headers={"Prefer": "respond-async, wait=0"} | headers)
            assert (response.status_code, told(response)[1]) == (202, "east=pending, west=pending")
            got = (await app_client.get(response.headers["location"])).json()
            assert [len(got["requests"]), len(got["deliveries"])] == [number, 2 * number]


@pytest.mark.parametrize("id", ["4711", "a/b c%2F?#", "caf\u00e9", "x" * 200])
async def test_by_which_it_is_found(app_client, load_test_item, streams, id):
    """X-Request-ID, or the Idempotency-Key, under which a repetition has the same handle."""
    headers = {"Prefer": "respond-async", "X-Request-ID": id.encode()}
    response = await app_client.patch(PATH, json=TITLE, headers=headers)
    assert response.headers["location"].isascii()
    got = (await app_client.get(response.headers["location"])).json()
    assert [request["version"] for request in got["requests"]] == [2]

    headers = {"Prefer": "respond-async", "Idempotency-Key": id.encode()}
    for n in range(2):
        more = {"X-Request-ID": f"try {n}"}
        response = await app_client.patch(PATH, json={"properties": {"title": "y"}}, headers=headers | more)
        assert response.status_code == 202
        got = (await app_client.get(response.headers["location"])).json()
        assert [request["version"] for request in got["requests"]] == [3] and len(got["deliveries"]) == 2


async def test_whose_it_is(app_client, load_test_item, streams):
    headers = {"Prefer": "respond-async", "X-Request-ID": "mine"}
    location = (await app_client.patch(PATH, json=TITLE, headers=headers)).headers["location"]
    unknown = refused(await app_client.get("/requests/unknown"), 404)
    for claims in ({"sub": "eve"}, {"client_id": "another"}, {"iss": f"{ISSUER}/x"}):
        problem = refused(await app_client.get(location, headers=bearer(["testers", "curators"], **claims)), 404)
        assert problem | {"instance": unknown["instance"]} == unknown
    refused(await app_client.get(location, headers={"Authorization": ""}), 401)
    refused(await app_client.get("/requests/"), 404)
    refused(await app_client.get("/requests/%00"), 400)
    refused(await app_client.post("/requests/mine"), 405)
    assert (await app_client.get(location)).status_code == 200
