"""Has it arrived? What a change answers that Prefer asks to wait for its delivery, and what is said of a request."""

import logging
import time
from urllib.parse import quote

import psycopg
from fastapi import Depends, Request
from fastapi.responses import JSONResponse
from stac_fastapi.types.requests import get_base_url
from starlette.exceptions import HTTPException

from auth import identity
from database import id_of, transaction_for, transaction_in
from web import preferences

WAIT = """
    SELECT stream, state FROM unnest(%s::uuid[]) event,
           LATERAL esgf_stac.wait_for_delivery(event, timeout => greatest(now() + %s * interval '1 s' - clock_timestamp(), '0'))"""
STATES = ["not-concerned", "delivered", "refused", "pending"]  # of several events the last one counts

# What became of the requests under an Idempotency-Key, which numbers them; of those with an X-Request-ID.
KEYED = """
    WITH RECURSIVE keyed AS (
        SELECT 0 AS n, s.* FROM esgf_stac.request_status(%(id)s || '/0') s
        UNION ALL
        SELECT k.n + 1, s.* FROM keyed k, LATERAL esgf_stac.request_status(%(id)s || '/' || k.n + 1) s)
    SELECT to_jsonb(keyed) - 'n' FROM keyed ORDER BY n"""
SENT = "SELECT to_jsonb(s) FROM esgf_stac.request_status(%(id)s) s"
DELIVERIES = "SELECT to_jsonb(d) FROM unnest(%s::uuid[]) event, LATERAL esgf_stac.delivery_status(event) d"


async def wait(transaction, events, seconds):
    """The state in each stream when no event is pending or the time is over; None if that is not to be had."""
    states, began = {}, time.monotonic()
    try:
        async with transaction as connection:
            left = max(seconds - (time.monotonic() - began), 0)
            async for stream, state in await connection.execute(WAIT, [events, left]):
                states[stream] = max(state, states.get(stream, state), key=STATES.index)
    except psycopg.Error as error:
        logging.getLogger("uvicorn.error").warning("cannot wait for a delivery: %s", error)
        return None
    return states


async def prefer(request, who, events, response):
    """The answer to a change that is committed, when and as Prefer asks for it; a curator is nobody else."""
    seconds, later = preferences(request)
    events = [event for event in events if event]  # of what changed nothing there is none
    if not events or (seconds is None and not later):
        return response
    states, applied = None, []
    if seconds is not None:
        state, patience = request.app.state, max(seconds, 5)
        if who:
            transaction = transaction_for(request, who, state.waiting, patience)
        else:
            transaction = transaction_in(state.waiting_curators, patience)
        states = await wait(transaction, events, seconds)
    if states is not None:
        applied.append(f"wait={seconds}")
        response.headers["Delivery"] = ", ".join(f"{stream}={state}" for stream, state in sorted(states.items()))
    if who:
        id = request.headers.get("idempotency-key") or id_of(request)
        status = f"{get_base_url(request)}requests/{quote(id, safe='')}"
        response.headers["Link"] = f'<{status}>; rel="status"'  # RFC 8631
        if later and (states is None or "pending" in states.values()):
            applied.append("respond-async")
            response.status_code = 202
            response.headers["Location"] = status
    if applied:
        response.headers["Preference-Applied"] = ", ".join(applied)
    return response


async def get_request(request: Request, id: str, who=Depends(identity)):
    """What became of a request of one's own, and of its delivery."""
    async with transaction_for(request, who) as connection:

        async def ask(query, values):
            return [row async for (row,) in await connection.execute(query, values)]

        found = await ask(KEYED, {"id": id}) or await ask(SENT, {"id": id})
        deliveries = await ask(DELIVERIES, [[row["event_id"] for row in found if row["event_id"]]])
    if not found:
        raise HTTPException(404, "there is no such request of yours")
    pending = any(delivery["state"] == "pending" for delivery in deliveries)
    content = {"id": id, "requests": found, "deliveries": deliveries}
    return JSONResponse(content, headers={"Retry-After": "1"} if pending else None)
