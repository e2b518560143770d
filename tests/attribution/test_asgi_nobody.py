"""What no request made is nobody's: it is reported, and never as somebody else's."""

from __future__ import annotations

import asyncio
import queue
import threading

from fastapi import FastAPI

from payi_middleware import Settings, instrument, track_context
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_crowd import CROWD
from tests.attribution.asgi_kit import POOL_NAME, POOL_THREADS, Kit, Truth
from tests.attribution.asgi_proof import booked, misattributed
from tests.attribution.asgi_shapes import SHAPES
from tests.attribution.asgi_table import Shape, User
from tests.attribution.asgi_world import run

NOBODY = Truth(None)


def _pool_threads() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate() if thread.name.startswith(POOL_NAME)}


def test_a_call_outside_any_request_is_reported_as_nobodys(provider: Provider, settings: Settings) -> None:
    instrument(settings)
    with Kit(provider) as kit:
        kit.call(NOBODY)
        with track_context(user_id="alice", use_case_name="batch"):
            kit.call(Truth("alice", "batch"))
        kit.call(NOBODY)
        kit.pool.submit(kit.call, NOBODY).result()

    records = booked(settings.ledger)
    assert misattributed(provider.requests, records) == []
    assert [record.user_id for record in records] == [None, "alice", None, None]


def test_threads_that_served_requests_start_clean_afterwards(provider: Provider, settings: Settings) -> None:
    def afterwards(kit: Kit) -> None:
        served = _pool_threads()
        list(kit.pool.map(kit.call, [NOBODY] * POOL_THREADS * 2))
        assert _pool_threads() == served
        assert len(served) == POOL_THREADS
        kit.call(NOBODY)

    shape = SHAPES["ThreadPoolExecutor.submit to a shared pool"]
    outcome = run(shape, provider, settings, afterwards=afterwards)
    assert len(outcome.asked) == outcome.reports == CROWD * shape.calls + POOL_THREADS * 2 + 1
    assert misattributed(outcome.asked, outcome.records) == []


def test_workers_started_with_the_app_are_nobodys_unless_they_say_whose(provider: Provider, settings: Settings) -> None:
    def build(app: FastAPI, kit: Kit) -> None:
        @app.post("/")
        async def handler(user: User) -> None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            jobs.put((asyncio.get_running_loop(), done, user))
            await done
            await kit.acall(Truth(user))

    def work(kit: Kit) -> None:
        for loop, done, user in iter(jobs.get, None):
            kit.call(NOBODY)
            with track_context(user_id=user):
                kit.call(Truth(user))
            loop.call_soon_threadsafe(done.set_result, None)

    jobs: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Future[None], str] | None] = queue.Queue()
    with Kit(provider) as kit:
        worker = threading.Thread(target=work, args=(kit,))
        worker.start()
        outcome = run(Shape(build, 3), provider, settings, afterwards=lambda _: jobs.put(None))
        worker.join()
    assert len(outcome.asked) == outcome.reports == CROWD * 3
    assert misattributed(outcome.asked, outcome.records) == []
