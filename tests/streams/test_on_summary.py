"""`on_summary`: once for each request that made provider calls, when everything of it is over; it never does harm."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from queue import Queue
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI, OpenAI
from starlette.types import Receive, Scope, Send

from payi_middleware import ConfigurationError, PayiMiddleware, PayiWSGIMiddleware, Settings, Summary
from payi_middleware.demo.provider import HEADER, Provider
from payi_middleware.fastapi import instrument_app
from payi_middleware.meter import meter_for
from payi_middleware.streaming.telling import Teller
from payi_middleware.tally import Tally
from tests.attribution.asgi_serving import serving
from tests.doors.asgi_server import http_scope, serve, websocket_scope
from tests.doors.conftest import Ask
from tests.doors.wsgi_server import Exchange
from tests.streams.conftest import Options

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PATIENCE = 30.0


class Told:
    """An `on_summary`; `next()` waits for what it is told."""

    def __init__(self) -> None:
        self.queue: Queue[tuple[Summary, Any, str]] = Queue()

    def __call__(self, summary: Summary, original: Any) -> None:
        self.queue.put((summary, original, threading.current_thread().name))

    def next(self) -> Summary:
        """Return the next summary."""
        return self.queue.get(timeout=PATIENCE)[0]

    @property
    def nothing_more(self) -> bool:
        """Whether everything was taken."""
        return self.queue.empty()


class AsyncTold(Told):
    """The same, awaited."""

    async def __call__(self, summary: Summary, original: Any) -> None:  # type: ignore[override]
        await anyio.lowlevel.checkpoint()
        super().__call__(summary, original)


@pytest.fixture(params=[Told, AsyncTold], ids=["def", "async-def"])
def told(request: pytest.FixtureRequest) -> Told:
    """Either of the two."""
    made: Told = request.param()
    return made


def answering(*acts: Callable[[], object], after: Callable[[], object] = bool) -> Any:
    """Make an ASGI app that does something, answers, and does something else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for act in acts:
            await anyio.to_thread.run_sync(act)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        await anyio.to_thread.run_sync(after)

    return app


def test_it_is_told_what_a_request_cost_background_tasks_included(options: Options, told: Told, ask: Ask) -> None:
    scope = http_scope()
    serve(PayiMiddleware(answering(ask, after=ask), Settings(**options, on_summary=told)), scope)

    summary, original, _ = told.queue.get(timeout=PATIENCE)
    assert (summary.calls, summary.status, summary.cost_source) == (2, "final", "payi")
    assert original is scope
    assert original["state"]["payi"].summary() == summary
    assert told.nothing_more


def test_it_is_told_what_a_wsgi_request_cost_when_the_response_is_closed(options: Options, ask: Ask) -> None:
    told = Told()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        ask()
        yield b"x"

    exchange = Exchange(PayiWSGIMiddleware(app, Settings(**options, on_summary=told)))
    exchange.step()
    assert told.nothing_more
    exchange.close()
    exchange.close()

    summary, original, _ = told.queue.get(timeout=PATIENCE)
    assert (summary.calls, summary.status) == (1, "final")
    assert original is exchange.environ
    assert told.nothing_more


def test_a_wsgi_answer_that_is_a_list_is_told_as_well(options: Options, ask: Ask) -> None:
    told = Told()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ask()
        start_response("200 OK", [("Content-Length", "1")])
        return [b"x"]

    Exchange(PayiWSGIMiddleware(app, Settings(**options, on_summary=told))).finish()

    assert told.next().calls == 1


def test_requests_without_provider_calls_are_not_told(options: Options, told: Told, ask: Ask) -> None:
    settings = Settings(**options, on_summary=told)
    serve(PayiMiddleware(answering(), settings), http_scope())
    serve(PayiMiddleware(answering(ask), settings), http_scope())

    assert told.next().calls == 1
    assert told.nothing_more


def test_a_websocket_is_told_when_it_is_closed(options: Options, told: Told, ask: Ask) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await anyio.to_thread.run_sync(ask)
        await anyio.to_thread.run_sync(ask)

    serve(PayiMiddleware(app, Settings(**options, on_summary=told)), websocket_scope())

    assert told.next().calls == 2


def test_a_function_is_called_on_a_thread_of_its_own_and_not_on_the_event_loop(options: Options, ask: Ask) -> None:
    told = Told()
    serve(PayiMiddleware(answering(ask), Settings(**options, on_summary=told)), http_scope())

    _, _, thread = told.queue.get(timeout=PATIENCE)
    assert thread.startswith("payi-on-summary")


def test_a_function_may_take_the_summary_alone(options: Options, ask: Ask) -> None:
    told: Queue[Summary] = Queue()
    serve(PayiMiddleware(answering(ask), Settings(**options, on_summary=lambda one: told.put(one))), http_scope())

    assert told.get(timeout=PATIENCE).calls == 1


def test_an_app_that_fails_fails_as_ever_and_its_calls_are_told(options: Options, told: Told, ask: Ask) -> None:
    def fail() -> None:
        raise LookupError("the app's own")

    with pytest.raises(LookupError, match="the app's own"):
        serve(PayiMiddleware(answering(ask, fail), Settings(**options, on_summary=told)), http_scope())

    assert told.next().calls == 1


def test_what_it_raises_is_logged_by_its_name_and_reaches_nobody(
    options: Options, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def fails(summary: Summary) -> None:
        done.set()
        raise LookupError("a secret")

    app = PayiMiddleware(answering(ask), Settings(**options, on_summary=fails))
    with caplog.at_level(logging.WARNING):
        serve(app, http_scope())
        assert done.wait(PATIENCE)
        serve(app, {"type": "lifespan"}, {"type": "lifespan.startup"})  # nothing is done with it but to be served
        assert app._late is not None
        app._late.drain()

    assert "LookupError" in caplog.text
    assert "a secret" not in caplog.text


def test_what_an_async_function_raises_reaches_nobody(
    options: Options, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(summary: Summary) -> None:
        raise LookupError("a secret")

    sent = serve(PayiMiddleware(answering(ask), Settings(**options, on_summary=fails)), http_scope())

    assert len(sent) == 2
    assert "LookupError" in caplog.text
    assert "a secret" not in caplog.text


def test_an_async_function_is_awaited_even_if_the_request_was_cancelled(options: Options, ask: Ask) -> None:
    told = AsyncTold()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.to_thread.run_sync(ask)
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await anyio.sleep_forever()

    with pytest.raises(asyncio.CancelledError):
        serve(PayiMiddleware(app, Settings(**options, on_summary=told)), http_scope())

    assert told.next().calls == 1


def test_a_result_that_does_not_come_in_time_is_told_as_pending(options: Options, told: Told, ask: Ask) -> None:
    settings = Settings(
        **{**options, "stream_wait": 0.0, "shutdown_timeout": 0.1}, base_url="http://127.0.0.1:9", on_summary=told
    )
    serve(PayiMiddleware(answering(ask), settings), http_scope())

    assert told.next().status == "pending"


def test_calls_of_its_own_are_no_part_of_the_request(options: Options, ask: Ask) -> None:
    told: Queue[Summary] = Queue()

    def asks_itself(summary: Summary) -> None:
        ask()
        told.put(summary)

    app = PayiMiddleware(answering(ask), Settings(**options, on_summary=asks_itself))
    scope = http_scope()
    serve(app, scope)
    told.get(timeout=PATIENCE)

    assert scope["state"]["payi"].summary().calls == 1
    assert told.empty()


def test_a_request_that_its_limits_refuse_is_told(
    options: Options, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(**options, on_summary=told, blocked_status=429)
    # A limit that is known to be reached takes a service to set up; tests/limits does.
    monkeypatch.setattr(type(meter_for(settings)), "refusing", lambda meter, scope: ("team-budget",))
    start, _ = serve(PayiMiddleware(answering(), settings), http_scope())

    assert start["status"] == 429
    assert told.next().blocked_limit_ids == ("team-budget",)


@pytest.mark.parametrize("function", [lambda: None, lambda one, two, three: None], ids=["none", "three"])
def test_a_function_that_cannot_take_a_summary_is_an_error_at_once(options: Options, function: Any) -> None:
    with pytest.raises(ConfigurationError, match="on_summary"):
        PayiMiddleware(answering(), Settings(**options, on_summary=function))
    with pytest.raises(ConfigurationError, match="on_summary"):
        instrument_app(FastAPI(), Settings(**options, on_summary=function))


def test_an_async_function_is_an_error_on_wsgi(options: Options) -> None:
    with pytest.raises(ConfigurationError, match="WSGI has no event loop"):
        PayiWSGIMiddleware(lambda environ, start: [], Settings(**options, on_summary=AsyncTold()))


def test_what_waits_for_a_slow_function_is_bounded(
    options: Options, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("payi_middleware.streaming.telling._MOST_WAITING", 2)
    go_on, told = threading.Event(), []

    def slow(summary: Summary) -> None:
        go_on.wait(PATIENCE)
        told.append(summary)

    teller = Teller(slow, Settings(**options), lambda: True, awaits=False)
    for _ in range(5):
        teller.tell(Summary(calls=1), None)
    go_on.set()
    teller.drain(PATIENCE)

    assert len(told) == 2
    assert "takes too long" in caplog.text


def test_a_tally_without_calls_is_nothing_to_tell(options: Options) -> None:
    told: list[Summary] = []
    teller = Teller(told.append, Settings(**options), lambda: True, awaits=False)
    teller.tell(Tally(), None)
    teller.drain(PATIENCE)

    assert told == []


def test_what_is_not_told_when_the_app_shuts_down_is_told_before_it_ends(options: Options, ask: Ask) -> None:
    go_on, told = threading.Event(), []

    def slow(summary: Summary) -> None:
        go_on.wait(PATIENCE)
        told.append(summary)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            go_on.set()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await answering(ask)(scope, receive, send)

    middleware = PayiMiddleware(app, Settings(**options, on_summary=slow))
    serve(middleware, http_scope())
    serve(middleware, {"type": "lifespan"}, {"type": "lifespan.shutdown"})

    assert [summary.calls for summary in told] == [1]


def test_a_forked_child_tells_what_it_serves(options: Options) -> None:
    told: list[Summary] = []
    teller = Teller(told.append, Settings(**options), lambda: True, awaits=False)
    teller.tell(Summary(calls=1), None)
    teller.drain(PATIENCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what Python 3.12 says of forks with threads: that is it
        child = os.fork()
    if not child:
        teller.tell(Summary(calls=2), None)
        teller.drain(PATIENCE)
        os._exit(len(told))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_a_wsgi_caller_that_hangs_up_is_told_once(provider: Provider, options: Options) -> None:
    told = Told()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        with OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0) as client:
            asked: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello?"}], "stream": True}
            with client.chat.completions.create(**asked, extra_headers={HEADER: '{"endless": true}'}) as answer:
                for chunk in answer:
                    yield f"data: {chunk.model_dump_json()}\n\n".encode()

    exchange = Exchange(PayiWSGIMiddleware(app, Settings(**options, sse_summary=True, on_summary=told)))
    exchange.step()
    exchange.close()  # as servers do when they cannot write any more

    assert (told.next().calls, told.nothing_more) == (1, True)


def endless_app(provider: Provider, settings: Settings, hung_up: threading.Event) -> FastAPI:
    """Make an app that begins to stream an answer without an end."""
    app = FastAPI()

    @app.get("/endless")
    async def endless(tasks: BackgroundTasks) -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            try:
                async with AsyncOpenAI(base_url=provider.openai_url, api_key="none", max_retries=0) as client:
                    answer = await client.chat.completions.create(
                        model="gpt-4o-mini",
                        messages=[{"role": "user", "content": "Hello?"}],
                        stream=True,
                        extra_headers={HEADER: '{"endless": true, "chunk_delay": 0.001}'},
                    )
                    async with answer:
                        for _ in range(3):
                            chunk = await anext(answer)
                            yield f"data: {chunk.model_dump_json()}\n\n"
                        await anyio.sleep_forever()  # the caller leaves now, and not while the server is at it
            finally:
                hung_up.set()

        return StreamingResponse(words(), media_type="text/event-stream")

    instrument_app(app, settings)
    return app


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-asyncio"])
def test_a_caller_that_hangs_up_is_told_once(
    provider: Provider, options: Options, told: Told, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    hung_up = threading.Event()
    settings = Settings(**options, sse_summary=True, on_summary=told)
    with serving(endless_app(provider, settings, hung_up), server) as address:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as link:
            link.sendall(f"GET /endless HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            received = b""
            while received.count(b"data: ") < 3:
                received += link.recv(4096)
        assert hung_up.wait(PATIENCE)
        summary = told.next()

    assert (summary.calls, summary.status) == (1, "final")
    assert told.nothing_more
    assert not [record for record in caplog.records if record.name.startswith("payi")]
