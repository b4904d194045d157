"""ESGF's transaction API as it is, but for what no test can have.

stand_in.py PORT    serves on 127.0.0.1; the API's own settings are in the environment

What stands in: the authorizer (a bearer token is the requester's data in JSON,
and may do all) and the schemas of extensions (which accept all).
"""
import json
import sys
import types

import httpx
import uvicorn
from esgf_core_utils.models.kafka.events import RequesterData
from starlette.middleware.base import BaseHTTPMiddleware


class Authorizer:
    """Permits all: who may what is for the database to say."""

    def __init__(self, requester_data):
        self.requester_data = requester_data

    def authorize(self, **_):
        pass


class TokenAuthorizer(BaseHTTPMiddleware):
    """Takes the requester's data from the token instead of asking the issuer."""

    async def dispatch(self, request, call_next):
        if token := request.headers.get("authorization"):
            request.state.authorizer = Authorizer(RequesterData(**json.loads(token.removeprefix("Bearer "))))
        return await call_next(request)


def stand_in(name, **members):
    """Let an import of that name find these members."""
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(members)


# esgf-core-utils' own authorizer is written for Python 3.12 or later, too.
stand_in("esgf_core_utils.models.auth", Authorizer=Authorizer)
stand_in("authorizer", Authorizer=TokenAuthorizer)
httpx.get = lambda _: httpx.Response(200, json={})

if __name__ == "__main__":
    uvicorn.run("api:app", host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
