"""Transactions: of whoever asks, or of a login itself."""

from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool as Pool
from starlette.exceptions import HTTPException


@asynccontextmanager
async def pools(state):
    """The connections of the application: who waits for a delivery keeps none from a change."""
    few = dict(min_size=0, timeout=5, max_waiting=1000, check=Pool.check_connection)
    async with (
        Pool("", max_size=10, **few) as state.pool,
        Pool("", max_size=16, **few) as state.waiting,
        Pool("user=stac_curator", max_size=2, **few) as state.curators,
        Pool("user=stac_curator", max_size=2, **few) as state.waiting_curators,
    ):
        yield


@asynccontextmanager
async def transaction_in(pool, timeout=None):
    """A transaction, which an exception undoes; timeout is for a connection, where it is to be another than usual."""
    sources = []

    def hear(notice):
        sources.append(notice.source_function)

    try:
        async with pool.connection(timeout) as connection:
            connection.add_notice_handler(hear)
            try:
                async with connection.transaction():
                    yield connection
            finally:
                connection.remove_notice_handler(hear)
    except psycopg.errors.ObjectNotInPrerequisiteState:  # 55000: they have loaded the library of another version
        await pool.drain()
        raise
    if "SyncRepWaitForLSN" in sources:  # COMMIT was cancelled while it waited for a standby: that is a warning alone
        raise HTTPException(503, "done, but a failover may undo it: ask again, with the same Idempotency-Key")


def id_of(request):
    """By which the request can be found: as it says itself, or made up where it may be asked after."""
    if not hasattr(request.state, "id"):
        made_up = uuid4().hex if "prefer" in request.headers else None
        request.state.id = request.headers.get("x-request-id") or made_up
    return request.state.id


@asynccontextmanager
async def transaction_for(request, who, pool=None, timeout=None):
    """A transaction of whoever asks."""
    sent = {"request_id": id_of(request), "batch": request.headers.get("x-batch")}
    async with transaction_in(pool or request.app.state.pool, timeout) as connection:
        await connection.execute("SELECT esgf_stac.set_identity(%s)", [Jsonb(who | sent)])
        yield connection
