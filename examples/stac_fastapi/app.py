"""A STAC transaction API: stac-fastapi over the verbs of esgf_stac, which validate, authorize, apply and refuse."""

import os
from contextlib import asynccontextmanager, nullcontext
from http import HTTPStatus
from urllib.parse import quote

import jwt
import psycopg
from fastapi import Body, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool as Pool
from stac_fastapi.api.app import StacApi
from stac_fastapi.extensions import bulk_transactions, transaction
from stac_fastapi.types import config, core, links, requests
from stac_fastapi.types.conformance import STACConformanceClasses as Stac
from starlette.exceptions import HTTPException

TOKEN_KEY = os.environ["STAC_TOKEN_KEY"]
CURATORS = os.environ.get("STAC_CURATORS")  # the principal whose holders may change collections
JSON, GEOJSON = "application/json", "application/geo+json"
FORMS = {JSON: object, GEOJSON: dict, "application/merge-patch+json": dict, "application/json-patch+json": list}
VERBS = dict(POST=("create", "item"), PUT=("replace", "item"), PATCH=("patch", "patch"), DELETE=("delete", "reason"))
STATUS = {psycopg.DataError: 400, psycopg.errors.InsufficientPrivilege: 403, psycopg.OperationalError: 503}
COLLECTIONS = "SELECT version, document FROM esgf_stac.collection WHERE NOT deleted"
ITEMS = "SELECT version, document FROM esgf_stac.published_item WHERE collection_id = %s"


def identity(request):
    """Who asks. STAND-IN: checks a token by a key shared with its issuer; README.md says what to put here."""
    try:
        token = request.headers.get("authorization", "").partition(" ")[2]
        claims = jwt.decode(token, TOKEN_KEY, ["HS256"], options={"require": ["exp", "iss", "sub"]})
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, f"no valid bearer token: {error}", {"WWW-Authenticate": "Bearer"}) from None
    groups = [f"group:{claims['iss']}/{name}" for name in claims.get("groups", [])]
    client, entitlements = claims.get("client_id", claims.get("azp")), claims.get("eduperson_entitlement", [])
    return {"sub": claims["sub"], "iss": claims["iss"], "client_id": client, "principals": groups + entitlements}


@asynccontextmanager
async def acting_for(request, curates=False):
    """A transaction of whoever asks; an exception undoes it."""
    who = identity(request) | dict(request_id=request.headers.get("x-request-id"), batch=request.headers.get("x-batch"))
    async with request.app.state.pool.connection() as connection:
        if curates and CURATORS in who["principals"]:
            await connection.execute("SET LOCAL ROLE stac_curator")
        await connection.execute("SELECT esgf_stac.set_identity(%s)", [Jsonb(who)])
        yield connection


def body_of(request: Request, body=Body(None)):
    """The body, of the form that its content type says; without the links that a document has from us."""
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body is not None and not isinstance(body, FORMS.get(form, ())):
        raise HTTPException(415, f"a document or merge patch is an object, a JSON patch an array, of one of {[*FORMS]}")
    if request.method == "PUT" and isinstance(body, dict) and isinstance(given := body.get("links"), list):
        body["links"] = [x for x in given if not isinstance(x, dict) or x.get("rel") not in links.INFERRED_LINK_RELS]
    return body


def if_match(request):
    """The version that If-Match names: None where any will do, one that never was where the tag is not ours."""
    tag = request.headers.get("if-match", "*").strip('"')
    return None if tag == "*" else int(tag) if tag.isdecimal() and len(tag) < 19 else 10**18


async def transact(connection, request, method, given):
    """Have a verb done to each of the given, or to none: the outcomes."""
    common = {"method": method, "collection_id": request.path_params["collection_id"], "if_match": if_match(request)}
    key = request.headers.get("x-request-id")
    wanted = [common | {"request_id": key and f"{key}/{n}"} | one for n, one in enumerate(given)]
    cursor = await connection.execute("SELECT to_jsonb(o) FROM esgf_stac.transact(%s, false) o", [Jsonb(wanted)])
    outcomes = [outcome async for (outcome,) in cursor]
    for problem in filter(None, [outcome["problem"] for outcome in outcomes]):
        raise HTTPException(problem["status"], problem)
    return outcomes


async def read(connection, request, query, *values):
    """(version, document) of items or collections, with the links of this API; in a transaction, if there is one."""
    found, base = [], requests.get_base_url(request)
    async with nullcontext(connection) if connection else request.app.state.pool.connection() as reader:
        async for version, document in await reader.execute(query, values):
            path = [quote(document[name], safe="") for name in ("collection", "id") if name in document]
            ours = links.ItemLinks(path[0], base, path[1]) if len(path) == 2 else links.CollectionLinks(path[0], base)
            theirs = links.resolve_links(document["links"], base)
            found.append((version, document | {"links": theirs + ours.create_links()}))
    return found


def answer(found, status=200):
    """The one document found, under the tag of its version."""
    if not found:
        raise HTTPException(404, "there is no such item or collection")
    version, document = found[0]
    here = {"Location": link["href"] for link in document.get("links", ()) if status == 201 and link["rel"] == "self"}
    return JSONResponse(document, status, here | {"ETag": f'"{version}"'}, GEOJSON if "geometry" in document else None)


class Reader(core.AsyncBaseCoreClient):  # search is the work of an index
    async def get_collection(self, collection_id, request, **kwargs):
        return answer(await read(None, request, f"{COLLECTIONS} AND id = %s", collection_id))

    async def get_item(self, collection_id, item_id, request, **kwargs):
        return answer(await read(None, request, f"{ITEMS} AND id = %s", collection_id, item_id))

    async def all_collections(self, request, **kwargs):
        found = [document for _, document in await read(None, request, f"{COLLECTIONS} ORDER BY id")]
        counts = dict.fromkeys(("numberMatched", "numberReturned"), len(found))
        return {"collections": found, "links": [{"rel": "self", "href": str(request.url)}], **counts}

    async def item_collection(self, collection_id, request, bbox, datetime, limit, **kwargs):
        await (self.get_search() if bbox or datetime else self.get_collection(collection_id, request))
        query, after = f"{ITEMS} AND id > %s ORDER BY id LIMIT %s", request.query_params.get("token", "")
        found = [document for _, document in await read(None, request, query, collection_id, after, limit + 1)]
        urls = [request.url, *(request.url.include_query_params(token=found[limit - 1]["id"]) for _ in found[limit:])]
        pages = [{"rel": rel, "href": str(url)} for rel, url in zip(("self", "next"), urls)]
        return {"type": "FeatureCollection", "features": found[:limit], "links": pages}

    async def get_search(self, *args, **kwargs):
        raise HTTPException(501, "search is the work of an index")

    post_search = get_search


@asynccontextmanager
async def lifespan(app):
    async with Pool("", min_size=1, max_size=10, check=Pool.check_connection) as app.state.pool:
        yield


app = StacApi(
    settings=config.ApiSettings(stac_fastapi_title="esgf_stac"),
    client=Reader(base_conformance_classes=[Stac.CORE, Stac.COLLECTIONS, *transaction.TransactionConformanceClasses]),
    app=FastAPI(title="esgf_stac", lifespan=lifespan, openapi_url="/api", docs_url="/api.html"),
).app


@app.post("/collections/{collection_id}/bulk_items")
async def bulk_items(request: Request, bulk: bulk_transactions.Items):
    method, done = ("UPSERT", "upserted") if bulk.method == "upsert" else ("POST", "added")
    given = [{"item_id": id, "item": item} for id, item in bulk.items.items()]
    async with acting_for(request) as connection:
        return f"Successfully {done} {len(await transact(connection, request, method, given))} items."


@app.post("/collections/{collection_id}/items")
@app.put("/collections/{collection_id}/items/{item_id}")
@app.patch("/collections/{collection_id}/items/{item_id}")
@app.delete("/collections/{collection_id}/items/{item_id}")
async def change_items(request: Request, body=Depends(body_of)):
    async with acting_for(request) as connection:
        match request.method, body:
            case "POST", {"type": "FeatureCollection", "features": list(features)}:
                return JSONResponse(await transact(connection, request, "POST", [{"item": f} for f in features]), 201)
        given = {"item_id": request.path_params.get("item_id"), VERBS[request.method][1]: body}
        [outcome] = await transact(connection, request, request.method, [given])
        found = await read(connection, request, f"{ITEMS} AND id = %s", outcome["collection_id"], outcome["item_id"])
        return answer(found or [(outcome["version"], outcome)], outcome["status"])


@app.post("/collections")
@app.put("/collections/{collection_id}")
@app.patch("/collections/{collection_id}")
@app.delete("/collections/{collection_id}")
async def change_collection(request: Request, body=Depends(body_of)):
    verb, values = VERBS[request.method][0], {"id": request.path_params.get("collection_id"), "body": Jsonb(body)}
    given = {"create": "%(body)s", "delete": "%(id)s"}.get(verb, "%(id)s, %(body)s")
    async with acting_for(request, curates=True) as connection:
        cursor = await connection.execute(f"SELECT * FROM esgf_stac.{verb}_collection({given})", values)
        id, _, version, changed, *_ = await cursor.fetchone()
        if if_match(request) not in (None, version - changed):
            raise HTTPException(412, "the collection has another version")
        found = await read(connection, request, f"{COLLECTIONS} AND id = %s", id)
        return answer(found or [(version, {"id": id})], 201 if verb == "create" else 200)


async def refuse(request, error):
    """Answer as a problem (RFC 9457): our refusal, transact's, or an error of the database."""
    uri, errors = "about:blank", []
    if isinstance(error, HTTPException):
        status, detail = error.status_code, error.detail
    elif isinstance(error, RequestValidationError):
        status, detail = 400, "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
    else:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        detail, lines = error.diag.message_primary or str(error), (error.diag.message_detail or "").splitlines()
        errors = [dict(zip(("pointer", "detail"), line.split(": ", 1))) for line in lines if line.startswith("/")]
        if error.sqlstate and error.sqlstate.startswith("PT"):
            status, uri = int(error.sqlstate[2:]), f"https://esgf.io/publication/errors/{error.diag.constraint_name}"
    if not isinstance(detail, dict):
        detail = {"type": uri, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "errors": errors}
    return JSONResponse(detail, status, getattr(error, "headers", None), "application/problem+json")


for kind in (HTTPException, RequestValidationError, psycopg.DatabaseError):
    app.add_exception_handler(kind, refuse)
