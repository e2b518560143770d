"""What a web request leaves behind when it is over: nothing for the garbage collector, all for a call made late."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any
from weakref import ref

import anyio.to_thread
import pytest

from payi_middleware import PayiMiddleware, PayiWSGIMiddleware, Settings, flush
from payi_middleware.asgi import SCOPE_KEY
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.wsgi import SCOPE_KEY as WSGI_SCOPE_KEY
from tests.doors.asgi_server import http_scope, serve
from tests.doors.conftest import Ask
from tests.doors.wsgi_server import Exchange, environ_of
from tests.waiting import until

Records = Callable[[], list[RequestRecord]]
Work = Callable[[], object]
Serve = Callable[[Settings, Work], Any]


def who(request: Any) -> dict[str, str]:
    return {"user_id": request.header("x-user")}


def asgi(settings: Settings, work: Work) -> Any:
    """Serve a request that does something, and return a weak reference to its scope."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(ref(scope[SCOPE_KEY]))
        await anyio.to_thread.run_sync(work)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    serve(PayiMiddleware(app, settings, [who]), http_scope("/", ("x-user", "alice")))
    return seen[0]


def wsgi(settings: Settings, work: Work) -> Any:
    """Do the same by WSGI."""
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(ref(environ[WSGI_SCOPE_KEY]))
        work()
        start_response("200 OK", [])
        return [b"ok"]

    Exchange(PayiWSGIMiddleware(app, settings, [who]), environ_of(HTTP_X_USER="alice")).finish()
    return seen[0]


DOORS = pytest.mark.parametrize("door", [asgi, wsgi])


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@DOORS
@pytest.mark.parametrize("headers", ["off", "summary"])
@pytest.mark.usefixtures("uncollected")
def test_a_request_that_is_over_is_gone_without_the_garbage_collector(
    door: Serve, headers: str, ask: Ask, settings: Settings
) -> None:
    ask()  # the first call imports things, which refer to what is there by then
    scope = door(settings.model_copy(update={"headers": headers}), ask)
    assert flush(30)
    until(lambda: scope() is None)


@DOORS
def test_a_call_that_a_request_has_left_behind_is_reported_for_whoever_made_the_request(
    door: Serve, ask: Ask, settings: Settings, records: Records
) -> None:
    over = Event()
    threads: list[Thread] = []

    def leave_behind() -> None:
        def late() -> None:
            over.wait(30)
            ask()

        threads.append(Thread(target=late))
        threads[0].start()

    scope = door(settings, leave_behind)
    assert scope() is not None
    over.set()
    threads[0].join()
    assert [record.user_id for record in records()] == ["alice"]


@DOORS
def test_who_made_a_request_is_known_of_it_after_its_end_as_well(door: Serve, ask: Ask, settings: Settings) -> None:
    kept: list[Any] = []

    def keep() -> None:
        from payi_middleware.context import current_frame

        ask()
        frame = current_frame()
        assert frame is not None
        kept.append(frame.scope)

    door(settings, keep)
    assert kept[0].closed
    assert kept[0].annotations().user_id == "alice"
    assert kept[0].identified
    kept[0].settle_identity()
    assert kept[0].annotations().user_id == "alice"
