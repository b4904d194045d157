"""Our own tests of examples/stac_fastapi: what its README.md promises, over HTTP, and what is in the database then."""

import asyncio

import app as example
import pytest
from conftest import ISSUER, ITEMS, MERGE, PATCH, PATH, bearer, refused
from psycopg import sql


@pytest.fixture
def last_event(admin):
    def ask(*columns):
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL("SELECT {} FROM esgf_stac.outbox ORDER BY seq DESC LIMIT 1").format(names)
        return admin.execute(query).fetchone()

    return ask


# ---------------------------------------------------------------- who asks


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": "Basic YWRhOmFkYQ=="},
        {"Authorization": bearer(["testers"])["Authorization"].replace("Bearer", "Basic")},
        {"Authorization": bearer(["testers"])["Authorization"].removeprefix("Bearer ")},
        bearer(["testers"], exp=1),
        bearer(["testers"], exp=None),
        bearer(["testers"], sub=None),
        bearer(["testers"], iss=None),
        bearer(["testers"], key="another key of at least 32 bytes"),
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJpc3MiOiJ4IiwiZXhwIjo5OTk5OTk5OTk5fQ."},
    ],
)
async def test_no_valid_token(app_client, load_test_item, item, state, headers):
    before = state()
    for response in (
        await app_client.post(ITEMS, json=item("new"), headers=headers),
        await app_client.patch(PATH, json={"properties": {"title": "x"}}, headers=headers),
        await app_client.put(PATH, json=item("test-item"), headers=headers),
        await app_client.delete(PATH, headers=headers),
        await app_client.post(f"{ITEMS[:-5]}bulk_items", json={"items": {"new": item("new")}}, headers=headers),
        await app_client.patch("/collections/test-collection", json={"title": "x"}, headers=headers),
        await app_client.delete("/collections/test-collection", headers=headers),
    ):
        refused(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
    assert state() == before
    assert (await app_client.get(PATH, headers=headers)).status_code == 200


async def test_no_rights(app_client, load_test_item, item, state):
    before, nobody = state(), bearer(["nobodies"], sub="eve")
    problem = refused(await app_client.post(ITEMS, json=item("new"), headers=nobody), 403, "missing-permission", "")
    assert {"right": "CREATE", "scope": "project", "target": "test-collection"}.items() <= problem["errors"][0].items()
    for response in (
        await app_client.patch(PATH, json={"properties": {"title": "x"}}, headers=nobody),
        await app_client.delete(PATH, headers=nobody),
        await app_client.post(f"{ITEMS[:-5]}bulk_items", json={"items": {"new": item("new")}}, headers=nobody),
    ):
        refused(response, 403, "missing-permission")
    assert state() == before


async def test_collections_are_the_curators(app_client, load_test_collection, state):
    """Whoever may change items may not; nor does the role of a curator's request stay with its connection."""
    before, tester = state(), bearer(["testers"])
    for response in (
        await app_client.post("/collections", json=load_test_collection | {"id": "new"}, headers=tester),
        await app_client.put("/collections/test-collection", json=load_test_collection, headers=tester),
        await app_client.patch("/collections/test-collection", json={"title": "x"}, headers=tester),
        await app_client.delete("/collections/test-collection", headers=tester),
    ):
        refused(response, 403)
    assert state() == before


async def test_curators_have_no_rights_on_items(app_client, load_test_item, item, state):
    before, curator = state(), bearer(["curators"])
    refused(await app_client.post(ITEMS, json=item("new"), headers=curator), 403, "missing-permission")
    refused(await app_client.delete(PATH, headers=curator), 403, "missing-permission")
    assert state() == before


@pytest.mark.parametrize(
    "claims",
    [
        {"eduperson_entitlement": ["role:esgf_stac_admin", f"group:{ISSUER}/testers", f"group:{ISSUER}/curators"]},
        {"iss": f"{ISSUER}/x", "groups": ["testers", "curators"]},
        {"iss": ISSUER.rpartition("/")[0], "groups": [f"{ISSUER.rpartition('/')[2]}/testers"]},
        {"iss": "https:", "groups": [f"{ISSUER.partition('/')[2]}/testers", f"{ISSUER.partition('/')[2]}/curators"]},
        {"groups": None, "eduperson_entitlement": None},
    ],
)
async def test_claims_that_are_no_rights(app_client, load_test_item, load_test_collection, item, state, claims):
    """An entitlement is no group, and an issuer does not become another one by the name of a group."""
    before, headers = state(), bearer(**claims)
    refused(await app_client.post(ITEMS, json=item("new"), headers=headers), 403, "missing-permission")
    refused(await app_client.patch("/collections/test-collection", json={"title": "x"}, headers=headers), 403)
    assert state() == before


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": "testers"},
        {"groups": {"testers": 1}},
        {"groups": ["testers", None]},
        {"groups": [5]},
        {"eduperson_entitlement": "urn:x"},
        {"eduperson_entitlement": [["urn:x"]]},
        {"client_id": 5},
        {"azp": ["a"], "client_id": None},
        {"iss": ["a"]},
        {"iss": 5},
        {"sub": 5},
        {"sub": "a\ud800"},
        {"iss": "\ud800"},
        {"client_id": "\ud800"},
        {"groups": ["\ud800"]},
        {"exp": "soon"},
        {"exp": float("inf")},
    ],
)
async def test_claims_of_another_form(app_client, load_test_item, item, state, claims):
    before = state()
    headers = bearer(**({"groups": ["testers", "curators"]} | claims))
    refused(await app_client.post(ITEMS, json=item("new"), headers=headers), 401)
    refused(await app_client.patch("/collections/test-collection", json={"title": "x"}, headers=headers), 401)
    assert state() == before


async def test_claims_that_are_none(app_client, load_test_item, item, last_event):
    long = ["urn:" + 300 * "x"]  # which no rule can name
    assert (
        await app_client.patch(PATH, json={}, headers=bearer(["testers"], eduperson_entitlement=long))
    ).status_code == 200
    headers = bearer(["testers"], client_id=None, azp="publisher", eduperson_entitlement=None)
    headers["Authorization"] = headers["Authorization"].replace("Bearer", "bearer ")
    assert (await app_client.post(ITEMS, json=item("new"), headers=headers)).status_code == 201
    assert last_event("identity")[0]["client_id"] == "publisher"


async def test_groups_with_a_slash(app_client, load_test_item, admin):
    """The name is encoded, so that the last slash ends the issuer."""
    title, headers = {"properties": {"title": "x"}}, bearer(["/esgf/a b"])
    refused(await app_client.patch(PATH, json=title, headers=headers), 403, "missing-permission")
    principal = f"group:{ISSUER}/%2Fesgf%2Fa%20b"
    [rule] = admin.execute("SELECT esgf_stac.grant_access(%s, 'UPDATE', 'project', '*')", [principal]).fetchone()
    assert (await app_client.patch(PATH, json=title, headers=headers)).status_code == 200
    admin.execute("SELECT esgf_stac.revoke_access(%s)", [rule])


async def test_events_say_who(app_client, load_test_collection, item, last_event):
    headers = bearer(["testers"], sub="grace", client_id=None, azp="publisher")
    headers |= {"X-Request-ID": "5f0c", "X-Batch": "campaign 7"}
    assert (await app_client.post(ITEMS, json=item("new"), headers=headers)).status_code == 201
    identity, request_id, batch = last_event("identity", "request_id", "batch")
    expected = {"sub": "grace", "iss": ISSUER, "client_id": "publisher", "principals": [f"group:{ISSUER}/testers"]}
    assert expected.items() <= identity.items() and (request_id, batch) == ("5f0c", "campaign 7")

    await app_client.patch("/collections/test-collection", json={"title": "x"})
    [identity] = last_event("identity")
    assert (identity["sub"], identity["client_id"]) == ("stac_curator", f"ada of {ISSUER}")


# ---------------------------------------------------------------- items


async def test_item(app_client, load_test_collection, item):
    created = await app_client.post(ITEMS, json=item("new"), headers={"Content-Type": "application/geo+json"})
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert created.headers["content-type"] == "application/geo+json"
    assert created.headers["location"] == f"http://test{ITEMS}/new"
    links = {link["rel"]: link["href"] for link in created.json()["links"]}
    assert {"preview": "http://test/preview.html", "self": f"http://test{ITEMS}/new"}.items() <= links.items()
    found = await app_client.get(f"{ITEMS}/new")
    assert "location" not in found.headers
    assert (found.headers["etag"], found.json()) == ('"1"', created.json())
    deleted = await app_client.delete(f"{ITEMS}/new")
    assert (deleted.status_code, deleted.json()["version"], deleted.json()["action"]) == (200, 2, "deleted")
    refused(await app_client.get(f"{ITEMS}/new"), 404)
    refused(await app_client.delete(f"{ITEMS}/new"), 404, "item-does-not-exist")
    assert (await app_client.post(ITEMS, json=item("new"))).headers["etag"] == '"3"'


@pytest.mark.parametrize("id", ["tempé.v1", "気温", "a b%20c", "'; DROP TABLE esgf_stac.item; --", '"', "%s{}", "..."])
async def test_any_id(app_client, load_test_collection, item, id):
    created = await app_client.post(ITEMS, json=item(id))
    assert created.status_code == 201 and created.json()["id"] == id
    links = {link["rel"]: link["href"] for link in created.json()["links"]}
    assert links["self"].isascii() and (await app_client.get(links["self"])).json()["id"] == id
    assert (await app_client.patch(links["self"], json={"properties": {"title": "x"}})).headers["etag"] == '"2"'
    listed = (await app_client.get(links["parent"] + "/items")).json()["features"]
    assert [feature["id"] for feature in listed] == [id]
    assert (await app_client.delete(links["self"])).status_code == 200


@pytest.mark.parametrize(
    "path", ["/collections/a%00b", "/collections/test-collection/items/a%00b", f"{ITEMS}?token=%00"]
)
async def test_nul(app_client, load_test_collection, path):
    refused(await app_client.get(path), 400)
    refused(await app_client.post(ITEMS, json={"id": "a\0b"}), 400)


@pytest.mark.parametrize(
    "headers, patch",
    [
        (MERGE, '{"properties": {"title": "x", "gsd": null}}'),
        (
            MERGE | {"Content-Type": "Application/Merge-Patch+JSON; charset=utf-8"},
            '{"properties": {"title": "x", "gsd": null}}',
        ),
        (
            PATCH,
            '[{"op": "add", "path": "/properties/title", "value": "x"}, {"op": "remove", "path": "/properties/gsd"}]',
        ),
        (
            {"Content-Type": "application/json"},
            '{"operations": [{"op": "move", "from": "/properties/gsd", "path": "/properties/title"},'
            ' {"op": "replace", "path": "/properties/title", "value": "x"}]}',
        ),
    ],
)
async def test_patch(app_client, load_test_item, headers, patch):
    patched = await app_client.patch(PATH, content=patch, headers=headers)
    assert (patched.status_code, patched.headers["etag"]) == (200, '"2"')
    assert patched.json()["properties"].get("title") == "x" and "gsd" not in patched.json()["properties"]
    expected = load_test_item | {"properties": load_test_item["properties"] | {"title": "x"}}
    del expected["properties"]["gsd"]
    assert patched.json() == expected == (await app_client.get(PATH)).json()


@pytest.mark.parametrize(
    "headers, patch, status, slug",
    [
        (PATCH, '{"properties": {"title": "x"}}', 415, None),
        (MERGE, '[{"op": "remove", "path": "/properties/gsd"}]', 415, None),
        ({"Content-Type": "text/plain"}, "{}", 415, None),
        ({}, "{}", 415, None),
        (MERGE, '{"properties": ', 400, None),
        (MERGE, b"\xff", 400, None),
        (MERGE, "[" * 100_000, 400, None),
        (MERGE, '{"properties": {"n": 1e999}}', 400, None),
        (PATCH, '[{"op": "remove"}]', 400, "bad-patch"),
        (PATCH, '[{"op": "remove", "path": "/nothing"}]', 409, "patch-does-not-apply"),
        (MERGE, '{"properties": {"datetime": "1850"}}', 400, "stac-validation"),
        (MERGE, '{"assets": null}', 400, "bad-patch"),
        ({"Content-Type": "application/json"}, "5", 400, "bad-patch"),
    ],
)
async def test_bad_patch(app_client, load_test_item, state, headers, patch, status, slug):
    before = state()
    problem = refused(await app_client.patch(PATH, content=patch, headers=headers), status, slug)
    if slug == "stac-validation":
        assert problem["errors"][0]["pointer"] == "/properties/datetime"
    assert state() == before


async def test_if_match(app_client, load_test_item, state):
    title = {"properties": {"title": "x"}}
    assert (await app_client.patch(PATH, json=title, headers={"If-Match": '"1"'})).headers["etag"] == '"2"'
    before = state()
    for tag in ('"1"', '"3"', '"abc"', 'W/"2"', '"1", "3"', '"99999999999999999999"'):
        headers = {"If-Match": tag}
        for response in (
            await app_client.patch(PATH, json={"properties": {"title": "y"}}, headers=headers),
            await app_client.patch(PATH, json=title, headers=headers),
            await app_client.put(PATH, json=load_test_item, headers=headers),
            await app_client.delete(PATH, headers=headers),
        ):
            refused(response, 412, "version-conflict")
    assert state() == before
    unchanged = await app_client.patch(PATH, json=title, headers={"If-Match": '"2"'})
    assert (unchanged.status_code, unchanged.headers["etag"]) == (200, '"2"')
    assert state()[:3] == before[:3]
    assert (await app_client.delete(PATH, headers={"If-Match": "*"})).status_code == 200


async def test_required_version(app_client, load_test_item, admin, state):
    admin.execute("""SELECT esgf_stac.configure_collection('test-collection', '{"require_version": true}')""")
    before = state()
    refused(await app_client.patch(PATH, json={"properties": {"title": "x"}}), 428, "version-required")
    assert state() == before
    headers = {"If-Match": '"1"'}
    assert (await app_client.patch(PATH, json={"properties": {"title": "x"}}, headers=headers)).status_code == 200


async def test_put_what_one_got(app_client, load_test_item, state, admin):
    """The links of the API are not stored, so nothing has changed."""
    got = (await app_client.get(PATH)).json()
    got["links"] = [link for link in got["links"] if link["rel"] != "preview"]  # whose relative href it resolved
    await app_client.put(PATH, json=got)
    assert admin.execute("SELECT document -> 'links', version FROM esgf_stac.published_item").fetchone() == ([], 2)
    before = state()
    put = await app_client.put(PATH, json=(await app_client.get(PATH)).json())
    assert (put.status_code, put.headers["etag"]) == (200, '"2"') and state() == before
    for links in (5, [5], [{}], "x", {}):
        refused(await app_client.put(PATH, json=got | {"links": links}), 400, "stac-validation")


async def test_bad_items(app_client, load_test_item, item, state):
    before = state()
    refused(await app_client.post(ITEMS, json=item("test-item")), 409, "item-already-exists")
    refused(await app_client.post(ITEMS, json=item("a/b")), 400, "stac-validation", "/id")
    refused(await app_client.post(ITEMS, json=item("new") | {"collection": "x"}), 400, "stac-validation", "/collection")
    refused(await app_client.post(ITEMS, json={"type": "FeatureCollection"}), 400, "stac-validation", "/type")
    refused(await app_client.post(ITEMS), 400, "stac-validation", "")
    refused(await app_client.post("/collections/none/items", json=item("new")), 404, "collection-does-not-exist")
    refused(await app_client.put(f"{ITEMS}/new", json=item("new")), 404, "item-does-not-exist")
    refused(await app_client.put(PATH, json=item("other")), 400, "bad-request", "/item_id")
    refused(await app_client.patch(f"{ITEMS}/new", json={}), 404, "item-does-not-exist")
    assert state() == before


async def test_concurrent_patches(app_client, load_test_item):
    """None is lost, and each gets a version of its own."""
    patches = [[{"op": "add", "path": f"/properties/n{n}", "value": n}] for n in range(20)]
    answers = await asyncio.gather(*(app_client.patch(PATH, json=patch) for patch in patches))
    assert sorted(int(answer.headers["etag"].strip('"')) for answer in answers) == [*range(2, 22)]
    properties = (await app_client.get(PATH)).json()["properties"]
    assert [properties[f"n{n}"] for n in range(20)] == [*range(20)]


# ---------------------------------------------------------------- the same request again


async def test_idempotency_key(app_client, load_test_item, state):
    key = {"Idempotency-Key": "5f0c"}
    patch = [{"op": "add", "path": "/links/-", "value": {"rel": "related", "href": "https://a.org/"}}]
    first = await app_client.patch(PATH, json=patch, headers=key)
    before = state()
    again = await app_client.patch(PATH, json=patch, headers=key)
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    assert (again.status_code, again.headers["etag"], again.json()) == (200, '"2"', first.json())
    refused(await app_client.patch(PATH, json={"properties": {"title": "y"}}, headers=key), 409, "request-id-reused")
    assert state() == before
    correlated = {"X-Request-ID": "5f0c"}
    for version in (3, 4):
        operation = {"op": "add", "path": "/properties/n", "value": version}
        patched = await app_client.patch(PATH, json=[operation], headers=correlated)
        assert patched.headers["etag"] == f'"{version}"'
    refused(await app_client.patch(PATH, json=patch, headers={"Idempotency-Key": ""}), 400, "bad-request")
    other = bearer(["testers"], sub="grace") | key
    assert (await app_client.patch(PATH, json={"properties": {"title": "y"}}, headers=other)).headers["etag"] == '"5"'


async def test_idempotency_key_of_what_is_gone(app_client, load_test_collection, item, state):
    keys = {"Idempotency-Key": "create"}, {"Idempotency-Key": "delete"}
    assert (await app_client.post(ITEMS, json=item("new"), headers=keys[0])).status_code == 201
    first = await app_client.delete(f"{ITEMS}/new", headers=keys[1])
    before = state()
    assert (await app_client.delete(f"{ITEMS}/new", headers=keys[1])).json() == first.json()
    again = await app_client.post(ITEMS, json=item("new"), headers=keys[0])
    assert (again.status_code, again.json()["version"]) == (201, 1) and state() == before


async def test_idempotency_key_of_many(app_client, load_test_collection, item, state):
    key = {"Idempotency-Key": "5f0c"}
    body = {"type": "FeatureCollection", "features": [item("a"), item("b")]}
    first = await app_client.post(ITEMS, json=body, headers=key)
    before = state()
    assert (await app_client.post(ITEMS, json=body, headers=key)).json() == first.json() and state() == before
    assert [outcome["item_id"] for outcome in first.json()] == ["a", "b"]


# ---------------------------------------------------------------- many items


@pytest.fixture
def bulk(app_client):
    async def post(method, items, **options):
        body = {"items": {item["id"]: item for item in items}, "method": method}
        return await app_client.post("/collections/test-collection/bulk_items", json=body, **options)

    return post


async def test_bulk(app_client, load_test_item, item, bulk):
    response = await bulk("insert", [item("a"), item("b")])
    assert (response.status_code, response.json()) == (200, "Successfully added 2 items.")
    changed = item("a") | {"properties": item("a")["properties"] | {"title": "x"}}
    response = await bulk("upsert", [changed, item("b"), item("c")])
    assert (response.status_code, response.json()) == (200, "Successfully upserted 3 items.")
    tags = [(await app_client.get(f"{ITEMS}/{id}")).headers["etag"] for id in "abc"]
    assert tags == ['"2"', '"1"', '"1"']
    assert (await bulk("insert", [])).json() == "Successfully added 0 items."


async def test_all_or_nothing(app_client, load_test_item, item, bulk, state):
    before, wrong = state(), item("b") | {"type": "x"}
    problem = refused(await bulk("insert", [item("a"), wrong, item("c")]), 400, "stac-validation", "/type")
    assert problem["instance"] == f"{ITEMS}/b"
    refused(await bulk("insert", [item("a"), item("test-item")]), 409, "item-already-exists")
    refused(await bulk("upsert", [item("a"), item("b") | {"collection": "x"}]), 400, "stac-validation", "/collection")
    refused(await bulk("insert", [item("a")], headers={"If-Match": '"1"'}), 412, "version-conflict")
    refused(await bulk("insert", [item(f"a{n}") for n in range(1001)]), 400, "bad-request")
    refused(await bulk("replace", [item("a")]), 400)
    for body in ({"items": {"x": item("a")}}, {"items": {"x": 5}}, {"items": [item("a")]}, {}, [], "x"):
        response = await app_client.post("/collections/test-collection/bulk_items", json=body)
        refused(response, 400, response.json()["type"].partition("errors/")[2])
    features = {"type": "FeatureCollection", "features": [item("a"), item("a")]}
    refused(await app_client.post(ITEMS, json=features), 409, "item-already-exists")
    assert state() == before


# ---------------------------------------------------------------- collections


async def test_collection(app_client, load_test_collection, state):
    path = "/collections/test-collection"
    patched = await app_client.patch(path, json={"title": "x", "keywords": None}, headers={"If-Match": '"9999"'})
    assert refused(patched, 412, "version-conflict")["current_version"] == 1 and patched.headers["etag"] == '"1"'
    version = int((await app_client.get(path)).headers["etag"].strip('"'))
    patched = await app_client.patch(path, json={"title": "x"}, headers={"If-Match": f'"{version}"'})
    assert (patched.status_code, patched.headers["etag"]) == (200, f'"{version + 1}"')
    operations = [{"op": "replace", "path": "/title", "value": "y"}]
    patched = await app_client.patch(path, json=operations, headers=PATCH)
    assert (patched.json()["title"], patched.headers["etag"]) == ("y", f'"{version + 2}"')

    before, got = state(), (await app_client.get(path)).json()
    assert (await app_client.put(path, json=got)).headers["etag"] == f'"{version + 2}"'
    for response, status, slug in (
        (
            await app_client.put(path, json=got | {"title": "z"}, headers={"If-Match": f'"{version}"'}),
            412,
            "version-conflict",
        ),
        (await app_client.patch(path, json={}, headers={"If-Match": f'"{version}"'}), 412, "version-conflict"),
        (await app_client.delete(path, headers={"If-Match": f'"{version}"'}), 412, "version-conflict"),
        (await app_client.post("/collections", json=got), 409, "collection-already-exists"),
        (
            await app_client.post("/collections", json=got | {"id": "n"}, headers={"If-Match": '"1"'}),
            412,
            "version-conflict",
        ),
        (await app_client.put("/collections/none", json=got | {"id": "none"}), 404, "collection-does-not-exist"),
        (await app_client.post("/collections"), 400, "stac-validation"),
        (await app_client.patch(path), 400, "bad-patch"),
    ):
        refused(response, status, slug)
    extent = [{"op": "replace", "path": "/extent", "value": 5}]
    for response in (
        await app_client.put(path, json=got | {"extent": 5}),
        await app_client.post("/collections", json=got | {"id": "n", "extent": 5}),
        await app_client.patch(path, json={"extent": 5}),
        await app_client.patch(path, json=extent),
    ):
        problem = refused(response, 400, "stac-validation", "/extent")
        assert len(problem["errors"]) == 1 and "extent" not in problem["detail"]
    assert state() == before
    deleted = await app_client.delete(path, headers={"If-Match": f'"{version + 2}"'})
    assert deleted.status_code == 200
    refused(await app_client.get(path), 404)


async def test_collection_with_items(app_client, load_test_item, state):
    before = state()
    refused(await app_client.delete("/collections/test-collection"), 409, "collection-not-empty")
    assert state() == before


# ---------------------------------------------------------------- reading, and what is not there


async def test_pages(app_client, load_test_collection, item, bulk):
    await bulk("insert", [item(id) for id in "dbeac"])
    url, pages = f"{ITEMS}?limit=2", []
    while url:
        page = (await app_client.get(url)).json()
        pages.append([feature["id"] for feature in page["features"]])
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert pages == [["a", "b"], ["c", "d"], ["e"]]


async def test_pages_have_a_limit(app_client, load_test_collection, item, bulk, monkeypatch):
    monkeypatch.setattr(example, "MAX_PAGE", 2)
    await bulk("insert", [item(id) for id in "abc"])
    page = (await app_client.get(f"{ITEMS}?limit=100000000000000000000")).json()
    assert [feature["id"] for feature in page["features"]] == ["a", "b"] and "next" in [x["rel"] for x in page["links"]]


async def test_what_a_retracted_item_shows(app_client, load_test_item, admin):
    admin.execute("SELECT esgf_stac.retract_item('test-collection', 'test-item')")
    assert (await app_client.get(PATH)).json()["assets"] == {}
