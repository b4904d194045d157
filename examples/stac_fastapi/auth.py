"""Who asks: the identity for which the database acts, from a bearer token. identity() is to be replaced: README.md."""

import os
from urllib.parse import quote

import jwt
from fastapi import Depends, Request
from starlette.exceptions import HTTPException

TOKEN_KEY = os.environ["STAC_TOKEN_KEY"]
CURATORS = os.environ.get("STAC_CURATORS")  # the principal whose holders may change collections


def claim(claims, name, form):
    """A claim of that form, a string or a list of strings; it may be missing or null. A lone surrogate is no text."""
    value = claims.get(name)
    if not isinstance(value, (form, type(None))) or form is list and not all(isinstance(x, str) for x in value or ()):
        raise jwt.InvalidTokenError(f"claim {name} is no {'string' if form is str else 'list of strings'}")
    "".join(value or ()).encode()
    return value


def principals(issuer, groups, entitlements):
    """Groups under their issuer, which the last "/" ends; entitlements, of which none is taken for a group."""
    named = [f"group:{issuer}/{quote(group, safe='')}" for group in groups or ()]
    urns = [urn for urn in entitlements or () if urn.startswith("urn:")]
    return [principal for principal in named + urns if len(principal.encode()) <= 255]  # what a rule can name


async def identity(request: Request):
    """STAND-IN: checks a token by a key that is shared with its issuer."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise jwt.InvalidTokenError("there is none")
        claims = jwt.decode(token.strip(), TOKEN_KEY, ["HS256"], options={"require": ["exp", "iss", "sub"]})
        sub, issuer = claim(claims, "sub", str), claim(claims, "iss", str)
        client = claim(claims, "client_id", str) or claim(claims, "azp", str)
        held = principals(issuer, claim(claims, "groups", list), claim(claims, "eduperson_entitlement", list))
    except (jwt.InvalidTokenError, OverflowError, UnicodeError) as error:
        raise HTTPException(401, f"no valid bearer token: {error}", {"WWW-Authenticate": "Bearer"}) from None
    return {"sub": sub, "iss": issuer, "client_id": client, "principals": held}


async def curator(who=Depends(identity)):
    """Who asks, if he may change collections."""
    if CURATORS not in who["principals"]:
        raise HTTPException(403, "only curators change collections")
    return who
