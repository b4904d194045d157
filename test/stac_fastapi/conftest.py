"""What the tests of examples/stac_fastapi share: its application, in this process, on an empty catalogue.

It serves our own tests, and in place of their conftest.py those of stac-fastapi-pgstac. Of these, what the example's
README.md leaves out is expected to fail: a test that passes has no place in that list.
The environment says STAC_EXAMPLE, the folder of the example; STAC_ADMIN, a superuser; and libpq's the database.
"""

import json
import os
import re
import sys
import time
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import jwt
import psycopg
import pytest
from httpx import ASGITransport, AsyncClient

ISSUER = "https://aai.example.org"
EXAMPLE = Path(os.environ["STAC_EXAMPLE"])
DATA = Path(__file__).parent / "data"

os.environ.update(STAC_TOKEN_KEY="a key of at least 32 bytes, for tests", STAC_CURATORS=f"group:{ISSUER}/curators")
sys.path.insert(0, str(EXAMPLE))
import app as example  # noqa: E402

ITEMS = "/collections/test-collection/items"
PATH = f"{ITEMS}/test-item"
MERGE = {"Content-Type": "application/merge-patch+json"}
PATCH = {"Content-Type": "application/json-patch+json"}

# What pgstac's tests import and those that are not left out never use.
for module in ["", ".config", ".core", ".db", ".models", ".models.links", ".transactions", ".types", ".types.search"]:
    sys.modules[f"stac_fastapi.pgstac{module}"] = MagicMock()
for module in ["orjson", "pypgstac", "pypgstac.db", "pypgstac.load", "shapely", "shapely.geometry"]:
    sys.modules[module] = MagicMock()
sys.modules["stac_fastapi.extensions.core.fields"] = MagicMock()


def requires_pgstac_0_9_2(test):
    return test


# Documents by the names and with the members that pgstac's tests know, where their own are not to be had.
COLLECTION = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "id": "test-collection",
    "description": "Of the tests",
    "keywords": ["test"],
    "license": "CC-BY-4.0",
    "links": [{"rel": "license", "href": "https://creativecommons.org/licenses/by/4.0/"}],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", None]]}},
}
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "test-item",
    "collection": "test-collection",
    "geometry": {"type": "Point", "coordinates": [10, 54]},
    "bbox": [10, 54, 10, 54],
    "properties": {"datetime": "2020-02-12T12:30:22Z", "gsd": 15},
    "links": [{"rel": "preview", "href": "preview.html"}],
    "assets": {"data": {"href": "https://a.org/data.nc", "type": "application/netcdf", "roles": ["data"]}},
}
DOCUMENTS = {
    "test_collection.json": COLLECTION,
    "test_item.json": ITEM,
    "test2_collection.json": COLLECTION | {"id": "test2-collection"},
    "test2_item.json": ITEM | {"id": "test2-item", "collection": "test2-collection"},
}


def left_out():
    """The tests that README.md names, each as `file::test`, and why."""
    rows = re.findall(r"^\| `(\S+\.py)` \| (.+?) \| (.+) \|$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    return {f"{file}::{test}": why for file, why, tests in rows for test in re.findall(r"`(\w+)`", tests)}


def pytest_collection_modifyitems(items):
    reasons = left_out()
    for item in items:
        name = f"{item.path.parent.name}/{item.path.name}::{item.originalname}"
        if name in reasons:
            item.add_marker(pytest.mark.xfail(reason=reasons[name], strict=True))


@pytest.fixture(scope="session")
def admin():
    """A superuser's connection, to a catalogue in which the testers may do all."""
    with psycopg.connect(user=os.environ["STAC_ADMIN"], autocommit=True) as connection:
        # Documents are compared with what was sent, so they get no stamps.
        connection.execute("ALTER TABLE esgf_stac.collection ALTER stamp_times SET DEFAULT false")
        connection.execute(
            """SELECT esgf_stac.grant_access(%s, role, scope, '*')
                 FROM unnest(ARRAY['CREATE', 'UPDATE', 'DELETE']) role, unnest(ARRAY['project', 'node']) scope""",
            [f"group:{ISSUER}/testers"],
        )
        yield connection


def bearer(groups=(), key=None, **claims):
    """The header of a request by a member of these groups, whatever form the claims have."""
    claims = {"iss": ISSUER, "sub": "ada", "client_id": "test", "exp": time.time() + 600, "groups": groups} | claims
    token = jwt.PyJWS().encode(json.dumps(claims).encode(), key or os.environ["STAC_TOKEN_KEY"], "HS256")
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def app(admin):
    with admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")  # no trigger, or it would refuse
        for table in ("item", "dataset", "collection", "outbox", "request"):
            admin.execute(f"DELETE FROM esgf_stac.{table}")
    async with example.app.router.lifespan_context(example.app):
        yield example.app


def routes_of(router):
    """What newer FastAPIs keep in a tree, in the list that it was."""
    for route in router.routes:
        yield from routes_of(route.original_router) if hasattr(route, "original_router") else [route]


@pytest.fixture
def api_client():
    return SimpleNamespace(app=SimpleNamespace(routes=list(routes_of(example.app))))


@pytest.fixture
async def app_client(app):
    headers = bearer(["testers", "curators"])
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test", headers=headers) as client:
        client.app = app
        yield client


@pytest.fixture
def app_client_no_ext(app_client):
    return app_client


@pytest.fixture
def load_test_data():
    def load(name):
        path = DATA / name
        document = json.loads(path.read_text()) if path.exists() else deepcopy(DOCUMENTS[name])
        document.pop("stac_extensions", None)  # pystac would fetch their schemas
        if document["type"] == "Feature":
            document["properties"] |= {"latest": True, "retracted": False}  # which the database fills in
        return document

    return load


async def created(client, path, document):
    response = await client.post(path, json=document)
    assert response.status_code == 201, response.text
    return response.json()


@pytest.fixture
async def load_test_collection(app_client, load_test_data):
    return await created(app_client, "/collections", load_test_data("test_collection.json"))


@pytest.fixture
async def load_test_item(app_client, load_test_data, load_test_collection):
    return await created(app_client, "/collections/test-collection/items", load_test_data("test_item.json"))


@pytest.fixture
def item(load_test_data):
    """A document with that id."""
    return lambda id: load_test_data("test_item.json") | {"id": id}


@pytest.fixture
def state(admin):
    """Ask what there is and how many events: what must be the same after a refusal."""

    def ask():
        query = """SELECT (SELECT json_agg(i ORDER BY collection_id, id) FROM esgf_stac.item i WHERE NOT deleted),
                          (SELECT json_agg(c ORDER BY id) FROM esgf_stac.collection c WHERE NOT deleted),
                          (SELECT count(*) FROM esgf_stac.outbox), (SELECT count(*) FROM esgf_stac.request)"""
        return admin.execute(query).fetchone()

    return ask


def refused(response, status, slug=None, pointer=None):
    """It is a problem with that status and type, which points there."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"] == (f"https://esgf.io/publication/errors/{slug}" if slug else "about:blank"), problem
    assert problem["title"] and problem["detail"] and problem["instance"].startswith("/")
    if pointer:
        assert pointer in [error["pointer"] for error in problem["errors"]]
    return problem
