"""HTTP around the verbs: what comes in and on which condition, how a refusal is told, what OpenAPI says."""

import json
import logging
import os
import re
import sys
from http import HTTPStatus
from urllib.parse import quote

import psycopg
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from stac_fastapi.types.links import INFERRED_LINK_RELS
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from auth import identity

MAX_BODY = int(os.environ.get("STAC_MAX_BODY", 10_000_000))  # bytes
MAX_WAIT = int(os.environ.get("STAC_MAX_WAIT", 20))  # seconds; less than the statement_timeout of the logins
PATCH_STATUS = int(os.environ.get("STAC_PATCH_STATUS", 200))  # of a PATCH that was done; 202 as today's API has it
if PATCH_STATUS not in (200, 202):
    sys.exit("STAC_PATCH_STATUS is 200 or 202")
JSON, GEOJSON = "application/json", "application/geo+json"
DOCUMENT = {JSON: object, GEOJSON: dict}
PATCH = {JSON: object, "application/merge-patch+json": dict, "application/json-patch+json": list}
ERRORS = "https://esgf.io/publication/errors/"
TAG = re.compile(r'(W/)?"([^"]*)"')
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)("|$)')
LIST = re.compile(r"[\s,]*\0(\s*,[\s,]*\0)*[\s,]*")  # of tags, each a NUL; elements may be empty
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# ---------------------------------------------------------------- what comes in


def theirs(links):
    """Links without those that this API adds to each document."""
    return [link for link in links if not isinstance(link, dict) or link.get("rel") not in INFERRED_LINK_RELS]


def without_our_links(body):
    """A document, many, a merge patch or a JSON patch, as somebody made it from what he got here."""
    match body:
        case {"type": "FeatureCollection", "features": list(features)}:
            return body | {"features": [without_our_links(feature) for feature in features]}
        case {"links": list(links)}:
            return body | {"links": theirs(links)}
        case list():
            return [without_our_links(operation) for operation in body]
        case {"path": "/links", "value": list(links)}:
            return body | {"value": theirs(links)}
    return body


async def content_of(request):
    """The body, up to the limit."""
    content, announced = bytearray(), int(request.headers.get("content-length", 0))
    if announced <= MAX_BODY:
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY:
                break
    if max(announced, len(content)) > MAX_BODY:
        raise HTTPException(413, f"a body has at most {MAX_BODY} bytes")
    return bytes(content)


async def body_of(request: Request, who=Depends(identity)):
    """What the body says, read once it is known who asks; of the form that its content type tells."""
    if not (content := await content_of(request)):
        return None
    accepted = PATCH if request.method == "PATCH" else DOCUMENT
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity") != "identity":
        form = None
    try:
        body = json.loads(content) if form in accepted else None
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not the JSON that it must be: {error}") from None
    if not isinstance(body, accepted.get(form, ())):
        told = {"PATCH": "Accept-Patch", "POST": "Accept-Post"}.get(request.method, "Accept")
        detail = f"a document or merge patch is an object, a JSON patch an array, not encoded, of one of {[*accepted]}"
        raise HTTPException(415, detail, {told: ", ".join(accepted), "Accept-Encoding": "identity"})
    return without_our_links(body)


# ---------------------------------------------------------------- conditions


def versions(request, header, weak=False):
    """The versions that a condition lists: None without it, "*" for any; a tag that is not ours names none."""
    value = ", ".join(request.headers.getlist(header)).strip()
    if value in ("", "*"):
        return value or None
    tags = TAG.findall(value) if LIST.fullmatch(TAG.sub("\0", value)) else []
    if not tags and header == "if-none-match" and request.method != "GET":  # no condition to go on without
        raise HTTPException(400, f"{header} is neither * nor a list of tags")
    found = [int(tag) for kind, tag in tags if (weak or not kind) and re.fullmatch("[1-9][0-9]{0,17}", tag)]
    if len(found) > 20:
        raise HTTPException(400, f"{header} lists more than 20 versions")
    return found


def check(request, version):
    """See that the conditions hold at a version, None where there is none; False: a reader has this one (304)."""
    wanted, unwanted = versions(request, "if-match"), versions(request, "if-none-match", weak=True)
    failed = "If-Match" if wanted not in (None, "*") and version not in wanted else None
    if not failed and version and (unwanted == "*" or version in (unwanted or ())):
        if request.method == "GET":
            return False
        failed = "If-None-Match"
    if failed:
        detail = f"{failed} does not hold: " + (f"the current version is {version}" if version else "there is none yet")
        told = problem(request, 412, detail, ERRORS + "version-conflict") | {"current_version": version}
        raise HTTPException(412, told)
    return True


# ---------------------------------------------------------------- preferences


def preferences(request):
    """What Prefer asks of a change (RFC 7240): how many seconds to wait, or None; whether to answer before it is delivered.

    The first of a name counts; what is malformed, or not known, says nothing."""
    value = QUOTED.sub(lambda one: one[1] if one[1].isalnum() else "?", ", ".join(request.headers.getlist("prefer")))
    asked = {}
    for preference in value.split(","):
        name, _, given = preference.partition(";")[0].partition("=")
        asked.setdefault(name.strip().lower(), given.strip())
    seconds = re.fullmatch("0*([0-9]+)", asked.get("wait", ""))
    seconds = seconds and (MAX_WAIT if len(seconds[1]) > 9 else min(int(seconds[1]), MAX_WAIT))
    return seconds, asked.get("respond-async") == ""


# ---------------------------------------------------------------- refusals


def problem(request, status, detail, uri="about:blank", errors=()):
    """A problem of RFC 9457, for this request."""
    title = HTTPStatus(status).phrase
    return dict(
        type=uri,
        title=title,
        status=status,
        detail=detail or title,
        instance=quote(request.scope["path"]),
        errors=[*errors],
    )


def database_problem(request, error, errors=()):
    """What an error of the database, or on the way to it, is to the client; errors are what its DETAIL tells people."""
    state, told, status = error.sqlstate or "", error.diag.message_primary, 500
    if state.startswith("PT"):
        more = "" if errors else "; ".join((error.diag.message_detail or "").splitlines())
        uri = ERRORS + error.diag.constraint_name
        hint = {"hint": error.diag.message_hint} if error.diag.message_hint else {}
        return problem(request, int(state[2:]), f"{told}: {more}" if more else told, uri, errors) | hint
    if state.startswith("54"):
        status = 413
    elif isinstance(error, psycopg.DataError):
        status, told = 400, told or str(error)
    elif isinstance(error, psycopg.IntegrityError):
        status = 409
    elif isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        status, told = 503, f"the database is away, busy or full, so try again: {told or type(error).__name__}"
    return problem(request, status, told if status < 500 or status == 503 else "an error here, which is logged")


REFUSED = (HTTPException, RequestValidationError, psycopg.Error, ClientDisconnect, RecursionError, Exception)


def problem_of(request, error):
    """The problem that an error is: our refusal, transact's, or any other."""
    match error:
        case HTTPException(detail=dict()):
            return error.detail
        case HTTPException():
            return problem(request, error.status_code, error.detail)
        case RequestValidationError():
            return problem(request, 400, "; ".join(f"{wrong['loc'][-1]}: {wrong['msg']}" for wrong in error.errors()))
        case psycopg.Error():
            return database_problem(request, error)
        case ClientDisconnect() | RecursionError():
            return problem(request, 400, "the body ended too early, or is nested too deeply")
    return problem(request, 500, "an error here, which is logged")


async def refuse(request, error):
    """Answer an error as a problem, with the headers that belong to its status."""
    content, headers = problem_of(request, error), dict(getattr(error, "headers", None) or {})
    status = content["status"]
    if status == 405:
        headers["Allow"] = ", ".join(allowed(request))
        if request.method == "OPTIONS":
            patches = {"Accept-Patch": ", ".join(PATCH)} if "PATCH" in headers["Allow"] else {}
            return Response(None, 204, headers | patches)
    elif status == 412 and content.get("current_version"):
        headers["ETag"] = f'"{content["current_version"]}"'
    elif status == 503:
        headers["Retry-After"] = str(content.get("retry_after") or 5)
    elif status == 500:
        logging.getLogger("uvicorn.error").error("%s %s", request.method, request.scope["path"], exc_info=error)
    return JSONResponse(content, status, headers, "application/problem+json")


def allowed(request):
    """The methods of a path: those that have a route, and what follows from them."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    found = {m for m, scope in scopes.items() for r in request.app.router.routes if r.matches(scope)[0] is Match.FULL}
    return [method for method in METHODS if method in found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())]


# ---------------------------------------------------------------- around the application

# The headers of which stac-fastapi makes links, and what they may look like.
ADDRESS = dict.fromkeys((b"host", b"x-forwarded-host"), rb"[\w.-]+(:\d{1,5})?") | {
    b"x-forwarded-proto": rb"https?",
    b"x-forwarded-port": rb"\d{1,5}",
    b"forwarded": rb"[ -~]*",
}


class Edge:
    """HEAD is GET without its body; no link is made of an address that is none."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_headers(message):
            await send(message | {"body": b""} if message["type"] == "http.response.body" else message)

        app = self.app
        if scope["type"] == "http":
            given = [(name.decode(), value, ADDRESS[name]) for name, value in scope["headers"] if name in ADDRESS]
            if wrong := [name for name, value, form in given if not re.fullmatch(form, value)]:
                app = await refuse(Request(scope), HTTPException(400, f"no address: {', '.join(wrong)}"))
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await app({**scope, "method": "GET"}, receive, send_headers)
        else:
            await app(scope, receive, send)


# ---------------------------------------------------------------- OpenAPI

# To scripts in browsers.
EXPOSED = ["Accept-Patch", "Delivery", "ETag", "Link", "Location", "Preference-Applied", "Retry-After"]
HEADERS = {
    "If-Match": "The tags of the versions for which the request is meant, or `*`.",
    "If-None-Match": "On GET, the tags of the versions that you have. On PUT and POST, `*`: make what is not there.",
    "Idempotency-Key": "The same request with the same key is done once, and answered again.",
    "X-Request-ID": "By which the request can be found: it is on the event.",
    "X-Batch": "The name of a campaign: it is on its events.",
    "Prefer": "`wait=SECONDS`: answer when every stream has delivered the change, or the time is over. `respond-async`:"
    " answer before, with 202.",
}
REFUSALS = {"get": [400, 503], "write": [400, 403, 404, 409, 412, 413, 415, 428, 503]}
DONE = {"post": [201], "put": [200, 201], "patch": [PATCH_STATUS], "delete": [200]}
STRING, OBJECT = {"type": "string"}, {"type": "object"}
OPERATION = {"type": "object", "required": ["op", "path"], "properties": {"op": STRING, "path": STRING, "from": STRING}}
OPERATIONS = {"type": "array", "items": OPERATION}


def reply(status, *media_types):
    """A response, as OpenAPI describes one."""
    tagged = status in (200, 201, 202, 304, 412)
    headers = {"ETag": {"description": "The version, as If-Match takes it.", "schema": STRING}} if tagged else {}
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "headers": headers,
            "content": dict.fromkeys(media_types, {"schema": {}}),
        }
    }


def request_body(method):
    """What a method takes, as OpenAPI describes it."""
    schemas = {
        "application/json-patch+json": OPERATIONS,
        JSON: {"anyOf": [OBJECT, OPERATIONS]} if method == "patch" else OBJECT,
    }
    if method == "delete":
        return {"content": {JSON: {"schema": STRING | {"description": "the reason"}}}}
    forms = PATCH if method == "patch" else DOCUMENT
    return {"required": True, "content": {form: {"schema": schemas.get(form, OBJECT)} for form in forms}}


def describe(app):
    """OpenAPI, with what FastAPI cannot know: conditions, bodies, refusals, and how one says who he is."""
    api = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    headers = {
        name: {"name": name, "in": "header", "description": text, "schema": STRING} for name, text in HEADERS.items()
    }
    api["components"] |= {"parameters": headers, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}}
    for path, method, operation in [(path, *each) for path, found in api["paths"].items() for each in found.items()]:
        replies, one, writes = operation["responses"], path.endswith("_id}"), method != "get"
        asks = writes or path.startswith("/requests/")  # for an identity
        replies.pop("422", None)  # which is answered as 400
        refusals = REFUSALS["write" if writes else "get"] + [401] * asks + [404] * ("{" in path) + [412] * one
        names = ["If-Match", "If-None-Match"] if one else []
        if writes:
            names += ["Prefer"] + (["Idempotency-Key", "X-Request-ID", "X-Batch"] if "items" in path else [])
            operation["requestBody"] = request_body(method)
            replies.clear()
            for status in ([200] if path.endswith("bulk_items") else DONE[method]) + [202] * ("items" in path):
                replies |= reply(status, JSON, GEOJSON)
        elif one:
            replies |= reply(304)
        if asks:
            operation["security"] = [{"bearer": []}]
        for status in refusals:
            replies |= reply(status, "application/problem+json")
        operation.setdefault("parameters", []).extend({"$ref": f"#/components/parameters/{name}"} for name in names)
    return api
