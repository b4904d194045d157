"""A STAC transaction API: stac-fastapi over the verbs of esgf_stac, which validate, authorize, apply and refuse."""

import functools
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import quote

import attr
import psycopg
from brotli_asgi import BrotliMiddleware
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from psycopg.types.json import Jsonb
from stac_fastapi.api import middleware, models
from stac_fastapi.api.app import StacApi
from stac_fastapi.extensions import transaction
from stac_fastapi.types import config, core, links, requests
from stac_fastapi.types.conformance import STACConformanceClasses as Stac
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from auth import curator, identity
from database import pools, transaction_for, transaction_in
from delivery import get_request, prefer
from web import (
    EXPOSED,
    GEOJSON,
    METHODS,
    PATCH_STATUS,
    REFUSED,
    Edge,
    body_of,
    check,
    database_problem,
    describe,
    refuse,
    versions,
    without_our_links,
)

ABOUT = dict(title="esgf_stac", description="Transactions on a catalogue", version="1")
MAX_PAGE = 250  # items
NEVER = 10**18  # a version that no item has
VERBS = dict(POST=("create", "item"), PUT=("replace", "item"), PATCH=("patch", "patch"), DELETE=("delete", "reason"))
COLLECTIONS = "SELECT version, document FROM esgf_stac.collection WHERE NOT deleted"
ITEMS = "SELECT version, document FROM esgf_stac.published_item WHERE collection_id = %s"


async def transact(connection, request, method, given):
    """Have a verb done to each of the given, or to none: the outcomes. The versions of If-Match are tried in turn."""
    wanted, key = versions(request, "if-match"), request.headers.get("idempotency-key")
    tries = [None] if wanted in (None, "*") else wanted or [NEVER]
    if versions(request, "if-none-match") == "*":
        method, tries = {"POST": "UPSERT", "PUT": "UPSERT"}.get(method, method), [0]
    common = {"method": method, "collection_id": request.path_params["collection_id"]}
    given = [common | one | {"request_id": key and f"{key}/{n}"} for n, one in enumerate(given)]
    for version in tries:
        requests = [one | {"if_match": version} for one in given]
        cursor = await connection.execute("SELECT to_jsonb(o) FROM esgf_stac.transact(%s, false) o", [Jsonb(requests)])
        outcomes = [outcome async for (outcome,) in cursor]
        problem = next((outcome["problem"] for outcome in outcomes if outcome["problem"]), None)
        if not problem or not problem["type"].endswith(("/version-conflict", "/request-id-reused")) or len(given) > 1:
            break
    if problem:
        raise HTTPException(problem["status"], problem)
    return outcomes


async def read(connection, request, query, *values):
    """(version, document) of items or collections, with the links of this API."""
    found, base = [], requests.get_base_url(request)
    async for version, document in await connection.execute(query, values):
        path = [quote(document[name], safe="") for name in ("collection", "id") if name in document]
        ours = links.ItemLinks(path[0], base, path[1]) if len(path) == 2 else links.CollectionLinks(path[0], base)
        theirs = links.resolve_links(document["links"], base)
        found.append((version, document | {"links": theirs + ours.create_links()}))
    return found


def answer(request, found, status=200):
    """The one document found, under the tag of its version, unless the reader has it."""
    if not found:
        raise HTTPException(404, "there is no such item or collection")
    version, document = found[0]
    headers = {"ETag": f'"{version}"'}
    if request.method == "GET" and not check(request, version):
        return Response(None, 304, headers)
    if status == 201:
        headers |= [("Location", link["href"]) for link in document.get("links", ()) if link["rel"] == "self"]
    return JSONResponse(document, status, headers, GEOJSON if "geometry" in document else None)


# ---------------------------------------------------------------- reading


@attr.s
class Page(models.CollectionUri):
    limit: Annotated[int, Query(ge=1, description=f"At most that many items, and {MAX_PAGE}")] = attr.ib(default=10)
    token: Annotated[str, Query(description="The id before the page, as `next` has it")] = attr.ib(default="")


class Reader(core.AsyncBaseCoreClient):  # search is the work of an index
    async def landing_page(self, **kwargs):
        page = await super().landing_page(**kwargs)
        return page | {"links": [link for link in page["links"] if link["rel"] != "search"]}

    async def get_collection(self, collection_id, request, **kwargs):
        async with transaction_in(request.app.state.pool) as connection:
            return answer(request, await read(connection, request, f"{COLLECTIONS} AND id = %s", collection_id))

    async def get_item(self, collection_id, item_id, request, **kwargs):
        async with transaction_in(request.app.state.pool) as connection:
            return answer(request, await read(connection, request, f"{ITEMS} AND id = %s", collection_id, item_id))

    async def all_collections(self, request, **kwargs):
        async with transaction_in(request.app.state.pool) as connection:
            found = [document for _, document in await read(connection, request, f"{COLLECTIONS} ORDER BY id")]
        counts = dict.fromkeys(("numberMatched", "numberReturned"), len(found))
        return {"collections": found, "links": self.links_of_page(request), **counts}

    async def item_collection(self, collection_id, request, limit, token, **kwargs):
        if others := request.query_params.keys() - {"limit", "token"}:
            if others & {"bbox", "datetime"}:
                await no_search()
            raise HTTPException(400, f"parameters of a page are limit and token, not {', '.join(sorted(others))}")
        limit = min(limit, MAX_PAGE)
        async with transaction_in(request.app.state.pool) as connection:
            if not await read(connection, request, f"{COLLECTIONS} AND id = %s", collection_id):
                answer(request, [])
            query = f"{ITEMS} AND id > %s ORDER BY id LIMIT %s"
            found = [
                document for _, document in await read(connection, request, query, collection_id, token, limit + 1)
            ]
        pages = self.links_of_page(request)
        if found[limit:]:
            pages.append({"rel": "next", "href": str(request.url.include_query_params(token=found[limit - 1]["id"]))})
        return {"type": "FeatureCollection", "features": found[:limit], "links": pages}

    def links_of_page(self, request):
        return [{"rel": "self", "href": str(request.url)}, {"rel": "root", "href": requests.get_base_url(request)}]

    get_search = post_search = None


async def no_search():
    raise HTTPException(501, "search is the work of an index")


class Api(StacApi):
    def register_get_search(self):
        """A search is refused whatever it asks, and not described."""
        self.router.add_api_route("/search", no_search, methods=["GET"], include_in_schema=False)

    def register_post_search(self):
        self.router.add_api_route("/search", no_search, methods=["POST"], include_in_schema=False)


async def health():
    async with app.state.pool.connection() as connection:
        await connection.execute("SELECT FROM esgf_stac.published_item LIMIT 0")
    return {"status": "UP"}


@asynccontextmanager
async def lifespan(app):
    async with pools(app.state):
        yield


app = Api(
    settings=config.ApiSettings(**{f"stac_fastapi_{name}": value for name, value in ABOUT.items()}),
    client=Reader(
        landing_page_id="esgf_stac",
        base_conformance_classes=[Stac.CORE, Stac.COLLECTIONS, *transaction.TransactionConformanceClasses],
    ),
    items_get_request_model=Page,
    health_check=health,
    exceptions={},
    middlewares=[
        Middleware(BrotliMiddleware),
        Middleware(
            CORSMiddleware, allow_origins=["*"], allow_methods=METHODS, allow_headers=["*"], expose_headers=EXPOSED
        ),
        Middleware(middleware.ProxyHeaderMiddleware),
        Middleware(Edge),
    ],
    app=FastAPI(lifespan=lifespan, openapi_url="/api", docs_url="/api.html", redirect_slashes=False, **ABOUT),
).app
app.add_api_route("/requests/{id:path}", get_request, methods=["GET"])
app.openapi = functools.cache(lambda: describe(app))
for kind in REFUSED:
    app.add_exception_handler(kind, refuse)

# ---------------------------------------------------------------- writing


@app.post("/collections/{collection_id}/bulk_items")
async def bulk_items(request: Request, collection_id: str, who=Depends(identity), body=Depends(body_of)):
    match body:
        case {"items": dict(items)} if body.get("method", "insert") in ("insert", "upsert"):
            method, done = ("UPSERT", "upserted") if body.get("method") == "upsert" else ("POST", "added")
        case _:
            raise HTTPException(400, "this wants items by their ids, and the method insert or upsert")
    given = [{"item_id": id, "item": without_our_links(item)} for id, item in items.items()]
    async with transaction_for(request, who) as connection:
        outcomes = await transact(connection, request, method, given)
    response = JSONResponse(f"Successfully {done} {len(outcomes)} items.")
    return await prefer(request, who, [outcome["event_id"] for outcome in outcomes], response)


@app.post("/collections/{collection_id}/items")
async def create_items(request: Request, collection_id: str, who=Depends(identity), body=Depends(body_of)):
    match body:
        case {"type": "FeatureCollection", "features": list(features)}:
            async with transaction_for(request, who) as connection:
                outcomes = await transact(connection, request, "POST", [{"item": feature} for feature in features])
            events = [outcome["event_id"] for outcome in outcomes]
            return await prefer(request, who, events, JSONResponse(outcomes, 201))
    return await change_item(request, collection_id, None, who, body)


@app.put("/collections/{collection_id}/items/{item_id}")
@app.patch("/collections/{collection_id}/items/{item_id}")
@app.delete("/collections/{collection_id}/items/{item_id}")
async def change_item(request: Request, collection_id: str, item_id: str, who=Depends(identity), body=Depends(body_of)):
    async with transaction_for(request, who) as connection:
        given = {"item_id": item_id, VERBS[request.method][1]: body}
        [outcome] = await transact(connection, request, request.method, [given])
        if outcome["status"] == 200:
            check(request, outcome["version"] - outcome["changed"])
        found = await read(connection, request, f"{ITEMS} AND id = %s", collection_id, outcome["item_id"])
        status = PATCH_STATUS if request.method == "PATCH" else outcome["status"]
        response = answer(request, found or [(outcome["version"], outcome)], status)
    return await prefer(request, who, [outcome["event_id"]], response)


# What is wrong, and where, with the collection that a body makes: an error says it in its DETAIL, to people.
WRONG = """
    SELECT to_jsonb(wrong)
      FROM (SELECT (SELECT document FROM esgf_stac.collection WHERE id = %(id)s) AS old, %(body)s::jsonb AS body) given,
           LATERAL esgf_stac.validate_collection(CASE WHEN %(verb)s <> 'patch' THEN body
                                                      WHEN jsonb_typeof(body) = 'array' THEN esgf_stac.jsonb_patch(old, body)
                                                      ELSE esgf_stac.jsonb_merge_patch(old, body) END) wrong
     LIMIT 100"""


@app.post("/collections")
async def create_collection(request: Request, who=Depends(curator), body=Depends(body_of)):
    return await change_collection(request, None, who, body)


@app.put("/collections/{collection_id}")
@app.patch("/collections/{collection_id}")
@app.delete("/collections/{collection_id}")
async def change_collection(request: Request, collection_id: str, who=Depends(curator), body=Depends(body_of)):
    verb, one = VERBS[request.method][0], f"{COLLECTIONS} AND id = %s"
    async with transaction_in(request.app.state.curators) as connection:  # the login's act, whose client this names
        await connection.execute("SELECT set_config('application_name', %s, true)", [f"{who['sub']} of {who['iss']}"])
        if verb == "replace" and isinstance(body, dict):
            body = {"id": collection_id} | body
            if versions(request, "if-none-match") == "*" and not await read(connection, request, one, collection_id):
                verb = "create"
                if body["id"] != collection_id:
                    raise HTTPException(400, "the document has another id")
        given = {"create": "%(body)s", "delete": "%(id)s"}.get(verb, "%(id)s, %(body)s")
        values = {"id": collection_id, "body": Jsonb(body)}
        try:
            async with connection.transaction():  # a savepoint, to ask from in the end
                cursor = await connection.execute(f"SELECT * FROM esgf_stac.{verb}_collection({given})", values)
        except psycopg.Error as error:
            if error.diag.constraint_name != "stac-validation":
                raise
            errors = [row async for (row,) in await connection.execute(WRONG, values | {"verb": verb})]
            raise HTTPException(400, database_problem(request, error, errors)) from error
        id, _, version, changed, _, event = await cursor.fetchone()
        check(request, None if verb == "create" else version - changed)
        found = await read(connection, request, one, id)
        status = {"create": 201, "patch": PATCH_STATUS}.get(verb, 200)
        response = answer(request, found or [(version, {"id": id})], status)
    return await prefer(request, None, [event], response)
