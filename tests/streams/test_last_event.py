"""The last event of an event stream: where it goes and where it does not; the app's own bytes stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from payi_middleware import PayiMiddleware, PayiWSGIMiddleware, Settings, Summary
from payi_middleware.streaming.events import EventTail
from tests.doors.asgi_server import http_scope, serve
from tests.doors.conftest import Ask
from tests.doors.wsgi_server import Exchange, environ_of
from tests.streams.conftest import Options

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STREAM = ("content-type", "text/event-stream; charset=utf-8")
Doors = Callable[..., list[bytes]]


def on_asgi(
    settings: Settings, chunks: Sequence[bytes], headers: Sequence[tuple[str, str]], method: str, status: int, ask: Ask
) -> list[bytes]:
    """Answer one request with these chunks on ASGI, and return what the server got."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        ask()
        for chunk in chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"".join(chunks[-1:])})

    start, *bodies = serve(PayiMiddleware(app, settings), http_scope(method=method))
    assert not start.get("trailers")
    assert [message.get("more_body", False) for message in bodies] == [True] * (len(bodies) - 1) + [False]
    return [message["body"] for message in bodies]


def on_wsgi(
    settings: Settings, chunks: Sequence[bytes], headers: Sequence[tuple[str, str]], method: str, status: int, ask: Ask
) -> list[bytes]:
    """The same on WSGI."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response(f"{status} OK", list(headers))
        ask()
        yield from chunks

    exchange = Exchange(PayiWSGIMiddleware(app, settings), environ_of(REQUEST_METHOD=method))
    try:
        return list(exchange.body)
    finally:
        exchange.close()


@pytest.fixture(params=[on_asgi, on_wsgi], ids=["asgi", "wsgi"])
def streamed(request: pytest.FixtureRequest, eventful: Settings, ask: Ask) -> Doors:
    """Answer one request whose body makes one provider call, and return the chunks that the server got."""

    def stream(
        *chunks: bytes,
        headers: Sequence[tuple[str, str]] = (STREAM,),
        method: str = "GET",
        status: int = 200,
        settings: Settings = eventful,
    ) -> list[bytes]:
        door: Doors = request.param
        return door(settings, chunks, headers, method, status, ask)

    return stream


def summary_in(event: bytes) -> Summary:
    """Read the event of ours."""
    name, data, *rest = event.replace(b"\r\n", b"\n").decode().split("\n")
    assert name == "event: payi"
    assert rest == ["", ""]
    return Summary.model_validate_json(data.removeprefix("data: "))


def test_the_last_event_tells_what_the_calls_of_the_body_cost(streamed: Doors) -> None:
    chunks = streamed(b"data: one\n\n", b"data: two\n\n")

    summary = summary_in(chunks[-1])
    assert b"".join(chunks[:-1]) == b"data: one\n\ndata: two\n\n"
    assert (summary.calls, summary.status, summary.cost_source) == (1, "final", "payi")
    assert summary.cost is not None
    assert summary.cost > 0
    assert len(summary.request_ids) == 1


def test_amounts_are_decimal_texts_in_the_event(streamed: Doors) -> None:
    told = json.loads(streamed(b"")[-1].split(b"data: ")[1])

    assert set(told) == set(Summary.model_fields)
    assert told["cost"] == format(summary_in(streamed(b"")[-1]).cost or 0, "f")
    assert "e" not in told["cost"].lower()


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (b"",),
        (b"data: x\n\n",),
        (b"data: x\r\n\r\n",),
        (b"data: x\r\r",),
        (b"data: x\r\n\n",),
        (b"data: x\n", b"\n"),
        (b"data: x\r", b"\n\r", b"\n"),
        (b"data: x\n\n", b""),
        (b"d", b"a", b":", b"\n", b"\n"),
        (b"\n",),
        (b": ping\n\n",),
    ],
    ids=repr,
)
def test_an_event_follows_a_stream_that_ends_between_events(streamed: Doors, chunks: tuple[bytes, ...]) -> None:
    sent = streamed(*chunks)

    assert b"".join(sent[:-1]) == b"".join(chunks)
    assert summary_in(sent[-1]).calls == 1


@pytest.mark.parametrize(
    "chunks",
    [
        (b"data: x",),
        (b"data: x\n",),
        (b"data: x\r\n",),
        (b"data: x\r",),
        (b"data: x\n\ndata: y\n",),
        (b"data: x\n\n", b"data: \xc3"),
        (b"data: x\n\n", b" "),
        (b": ping\n",),
    ],
    ids=repr,
)
def test_nothing_is_added_to_a_stream_that_ends_within_an_event(streamed: Doors, chunks: tuple[bytes, ...]) -> None:
    assert streamed(*chunks) == list(chunks)


def test_the_event_has_the_line_ends_of_those_before_it(streamed: Doors) -> None:
    assert streamed(b"data: x\r\n\r\n")[-1].startswith(b"event: payi\r\ndata: {")
    assert streamed(b"data: x\n\n")[-1].startswith(b"event: payi\ndata: {")


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", "text/plain")],
        [("content-type", "application/json")],
        [],
        [STREAM, ("content-length", "9")],
        [STREAM, ("content-encoding", "gzip")],
        [STREAM, ("Content-Encoding", "br")],
    ],
    ids=repr,
)
def test_nothing_is_added_to_what_is_no_open_event_stream(streamed: Doors, headers: Sequence[tuple[str, str]]) -> None:
    assert streamed(b"data: x\n\n", headers=headers) == [b"data: x\n\n"]


def test_nothing_is_added_to_answers_without_a_body_or_of_another_status(streamed: Doors) -> None:
    assert streamed(b"data: x\n\n", method="HEAD") == [b"data: x\n\n"]
    assert streamed(b"", status=204) == [b""]
    assert streamed(b"data: x\n\n", status=503) == [b"data: x\n\n"]


def test_nothing_is_added_unless_it_is_asked_for(streamed: Doors, options: Options) -> None:
    assert streamed(b"data: x\n\n", settings=Settings(**options)) == [b"data: x\n\n"]


def test_a_callable_decides_for_each_request(streamed: Doors, options: Options) -> None:
    def wants(original: dict[str, Any]) -> bool:
        return "POST" in (original.get("method"), original.get("REQUEST_METHOD"))

    settings = Settings(**options, sse_summary=wants)

    assert len(streamed(b"data: x\n\n", settings=settings)) == 1
    assert len(streamed(b"data: x\n\n", settings=settings, method="POST")) == 2


def test_a_callable_that_fails_leaves_the_stream_alone(streamed: Doors, options: Options) -> None:
    def fails(original: object) -> bool:
        raise LookupError

    assert streamed(b"data: x\n\n", settings=Settings(**options, sse_summary=fails)) == [b"data: x\n\n"]


def test_a_result_that_does_not_come_in_time_is_pending(streamed: Doors, options: Options) -> None:
    settings = Settings(
        **{**options, "stream_wait": 0.0, "shutdown_timeout": 0.1}, sse_summary=True, base_url="http://127.0.0.1:9"
    )

    assert summary_in(streamed(b"data: x\n\n", settings=settings)[-1]).status == "pending"


def test_the_headers_may_be_off(streamed: Doors, options: Options) -> None:
    settings = Settings(**options, sse_summary=True, headers="off")

    assert summary_in(streamed(b"data: x\n\n", settings=settings)[-1]).status == "final"


def test_the_app_s_bytes_go_out_before_the_result_is_waited_for(eventful: Settings, ask: Ask) -> None:
    def pieces() -> Iterator[bytes]:
        ask()
        yield b"data: x\n\n"

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [STREAM])
        return pieces()

    exchange = Exchange(PayiWSGIMiddleware(app, eventful))

    assert exchange.step() == b"data: x\n\n"
    assert summary_in(exchange.finish()).status == "final"


def test_what_an_app_writes_by_the_server_s_write_counts_as_its_body(eventful: Settings) -> None:
    def writing(chunk: bytes) -> WSGIApplication:
        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [STREAM])(chunk)
            return []

        return app

    whole = Exchange(PayiWSGIMiddleware(writing(b"data: x\n\n"), eventful))
    cut = Exchange(PayiWSGIMiddleware(writing(b"data: x\n"), eventful))

    assert (summary_in(whole.finish()).calls, whole.written) == (0, [b"data: x\n\n"])
    assert (cut.finish(), cut.written) == (b"", [b"data: x\n"])


def test_a_file_that_the_server_reads_itself_is_left_alone(eventful: Settings) -> None:
    sent = [
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]},
        {"type": "http.response.zerocopysend", "file": 3, "more_body": True},
        {"type": "http.response.body", "body": b"", "more_body": False},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in sent:
            await send(message)

    assert serve(PayiMiddleware(app, eventful), http_scope())[1:] == sent[1:]


@pytest.mark.parametrize("size", range(1, 8))
def test_where_a_stream_is_cut_into_chunks_does_not_matter(size: int) -> None:
    for text, between in [(b"data: x\r\n\r\n", True), (b"data: x\n\nid: 4\r\n", False), (b"a\r\rb\n\r\n", True)]:
        tail = EventTail()
        for start in range(0, len(text), size):
            tail.feed(text[start : start + size])

        assert tail.between_events is between
