"""Trailers: hypercorn and uvicorn over HTTP/2, read by a client of HTTP/2; and HTTP/1.1, where no server has them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from payi_middleware import PayiMiddleware, Settings, Summary, parse_headers
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_serving import serving
from tests.doors.asgi_server import Message, headers_of, http_scope, serve
from tests.doors.conftest import Ask
from tests.streams.conftest import Options
from tests.streams.h2_client import ask as ask_h2

TE = ("te", "trailers")
# The openai SDK leaves its generators unexhausted once the last event is in, with or without us; trio says so.
SDK_ON_TRIO = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")
HTTP_2 = ["hypercorn-asyncio", "hypercorn-trio", "uvicorn-http2"]


def streaming_app(provider: Provider, settings: Settings, *inner: Middleware) -> Starlette:
    """Make an app that streams the answer of a provider as plain text."""

    async def stream(request: Request) -> Response:
        async def words() -> AsyncIterator[str]:
            async with AsyncOpenAI(base_url=provider.openai_url, api_key="none", max_retries=0) as client:
                answer = await client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": "Hello?"}],
                    stream=True,
                    stream_options={"include_usage": True},
                )
                async for chunk in answer:
                    yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

        return StreamingResponse(words(), media_type="text/plain")

    async def plain(request: Request) -> Response:
        return PlainTextResponse("all of it")

    middleware = [Middleware(PayiMiddleware, settings=settings), *inner]
    return Starlette(routes=[Route("/stream", stream), Route("/plain", plain)], middleware=middleware)


@pytest.fixture
def settings(options: Options) -> Settings:
    """As they are by default, but for the patience."""
    return Settings(**options)


def is_final(summary: Summary) -> bool:
    """Whether it tells what one call cost."""
    return (summary.calls, summary.status, summary.cost_source) == (1, "final", "payi") and (summary.cost or 0) > 0


@SDK_ON_TRIO
@pytest.mark.parametrize("server", HTTP_2)
def test_a_streamed_response_tells_its_cost_in_trailers_over_http_2(
    provider: Provider, settings: Settings, server: str
) -> None:
    with serving(streaming_app(provider, settings), server) as address:
        answer = ask_h2(address, "/stream", TE)

    assert answer.headers["x-payi-status"] == "pending"
    assert answer.body
    assert answer.trailers is not None
    assert is_final(parse_headers(answer.trailers))
    assert set(answer.trailers) >= {"x-payi-request-id", "x-payi-cost", "x-payi-cost-currency"}


@SDK_ON_TRIO
@pytest.mark.parametrize("server", HTTP_2)
def test_there_are_no_trailers_for_a_client_that_does_not_want_them(
    provider: Provider, settings: Settings, server: str
) -> None:
    with serving(streaming_app(provider, settings), server) as address:
        answer = ask_h2(address, "/stream")

    assert answer.trailers is None
    assert answer.body


@SDK_ON_TRIO
@pytest.mark.parametrize("server", HTTP_2)
def test_a_response_whose_headers_tell_everything_has_no_trailers(
    provider: Provider, settings: Settings, server: str
) -> None:
    with serving(streaming_app(provider, settings), server) as address:
        answer = ask_h2(address, "/plain", TE)

    assert (answer.body, answer.trailers) == (b"all of it", None)
    assert answer.headers["x-payi-status"] == "final"


@SDK_ON_TRIO
@pytest.mark.parametrize("server", HTTP_2)
def test_trailers_go_with_a_body_that_an_inner_middleware_compresses(
    provider: Provider, settings: Settings, server: str
) -> None:
    app = streaming_app(provider, settings, Middleware(GZipMiddleware, minimum_size=1))
    with serving(app, server) as address:
        answer = ask_h2(address, "/stream", TE, ("accept-encoding", "gzip"))

    assert answer.headers["content-encoding"] == "gzip"
    assert is_final(parse_headers(answer.trailers or {}))


@SDK_ON_TRIO
@pytest.mark.parametrize("server", HTTP_2)
def test_trailers_can_be_switched_off(provider: Provider, options: Options, server: str) -> None:
    with serving(streaming_app(provider, Settings(**options, trailers=False)), server) as address:
        answer = ask_h2(address, "/stream", TE)

    assert answer.trailers is None


@SDK_ON_TRIO
@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-asyncio", "hypercorn-trio"])
def test_a_chunked_response_over_http_1_ends_as_ever_where_the_server_has_no_trailers(
    provider: Provider, settings: Settings, server: str
) -> None:
    with serving(streaming_app(provider, settings), server) as address:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as link:
            lines = ["GET /stream HTTP/1.1", f"Host: {address}", "TE: trailers", "Connection: TE, close", "", ""]
            link.sendall("\r\n".join(lines).encode())
            received = b""
            while not received.endswith(b"\r\n0\r\n\r\n"):
                received += (piece := link.recv(65536))
                assert piece, received
    head = received.partition(b"\r\n\r\n")[0]

    assert b"transfer-encoding: chunked" in head.lower()
    assert b"\r\ntrailer:" not in head.lower()


# No server at hand has trailers over HTTP/1.1, so their side of it is played here, message by message.


def answer_to(app: Any, settings: Settings, *headers: tuple[str, str], **more: Any) -> list[Message]:
    """Serve one request of a client and by a server that have trailers."""
    scope = http_scope("/", *(headers or (TE,)), extensions={"http.response.trailers": {}}, **more)
    return serve(PayiMiddleware(app, settings), scope)


def app_of(*messages: Message, ask: Ask | None = None) -> Any:
    """Make an app that sends messages, and asks a provider once it has sent the first."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for number, message in enumerate(messages):
            if number == 1 and ask is not None:
                ask()
            await send(message)

    return app


def start(*headers: tuple[bytes, bytes], **more: Any) -> Message:
    """Start a response."""
    return {"type": "http.response.start", "status": 200, "headers": list(headers), **more}


BODY: Message = {"type": "http.response.body", "body": b"x", "more_body": False}


def test_trailers_are_announced_over_http_1(settings: Settings, ask: Ask) -> None:
    begun, body, trailers = answer_to(app_of(start(), BODY, ask=ask), settings)

    names = [name.strip() for name in headers_of(begun)["trailer"].split(",")]
    assert begun["trailers"] is True
    assert body == BODY
    assert trailers["type"] == "http.response.trailers"
    assert trailers["more_trailers"] is False
    assert is_final(parse_headers(headers_of(trailers)))
    assert {name.decode() for name, _ in trailers["headers"]} <= set(names)


def test_over_http_2_they_need_no_announcement(settings: Settings) -> None:
    begun = answer_to(app_of(start(), BODY), settings, http_version="2")[0]

    assert begun["trailers"] is True
    assert "trailer" not in headers_of(begun)


@pytest.mark.parametrize(
    "te", ["trailers", "Trailers", "gzip, trailers", "trailers;q=0.5", "deflate;q=0.5 , trailers "]
)
def test_a_client_may_say_in_several_ways_that_it_takes_trailers(settings: Settings, te: str) -> None:
    assert len(answer_to(app_of(start(), BODY), settings, ("te", te))) == 3


@pytest.mark.parametrize("te", ["gzip", "", "trailer", "untrailers"])
def test_a_client_that_takes_something_else_gets_no_trailers(settings: Settings, te: str) -> None:
    assert len(answer_to(app_of(start(), BODY), settings, ("te", te))) == 2


def test_a_server_without_the_extension_is_not_sent_trailers(settings: Settings) -> None:
    sent = serve(PayiMiddleware(app_of(start(), BODY), settings), http_scope("/", TE))

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert "trailers" not in sent[0]


def test_the_app_s_own_trailers_come_first_and_ours_with_the_last_of_them(settings: Settings, ask: Ask) -> None:
    first = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True}
    last = {"type": "http.response.trailers", "headers": [(b"x-end", b"2"), (b"x-payi-cost", b"0")]}
    own = start((b"trailer", b"x-sum, x-end"), trailers=True)
    begun, body, one, two = answer_to(app_of(own, BODY, first, last, ask=ask), settings)

    assert headers_of(begun).get_list("trailer")[0] == "x-sum, x-end"
    assert (body, one) == (BODY, first)
    assert two["headers"][0] == (b"x-end", b"2")
    assert [name for name, _ in two["headers"]].count(b"x-payi-cost") == 1
    assert is_final(parse_headers(headers_of(two)))


def test_the_app_s_own_trailers_are_untouched_for_a_client_that_wants_none(settings: Settings) -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": False}
    sent = answer_to(app_of(start(trailers=True), BODY, trailers), settings, ("accept", "*/*"))

    assert sent[1:] == [BODY, trailers]


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (start((b"content-length", b"1")), {}),
        ({**start(), "status": 304}, {}),
        (start(), {"method": "HEAD"}),
    ],
    ids=["length", "bodiless", "head"],
)
def test_a_response_that_is_no_open_stream_gets_no_trailers(
    settings: Settings, begun: Message, more: dict[str, Any]
) -> None:
    assert "trailers" not in answer_to(app_of(begun, BODY), settings, **more)[0]


def test_where_the_headers_are_off_trailers_are(options: Options) -> None:
    assert len(answer_to(app_of(start(), BODY), Settings(**options, headers="off"))) == 2


def test_a_last_event_and_trailers_say_the_same(options: Options, ask: Ask) -> None:
    begun = start((b"content-type", b"text/event-stream"))
    body = {"type": "http.response.body", "body": b"data: x\n\n"}
    _, own, event, trailers = answer_to(app_of(begun, body, ask=ask), Settings(**options, sse_summary=True))

    told = Summary.model_validate_json(event["body"].split(b"data: ")[1])
    assert own == {**body, "more_body": True}
    assert is_final(told)
    assert parse_headers(headers_of(trailers)) == told


def test_an_end_is_kept_even_if_the_summary_cannot_be_made(
    settings: Settings, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise LookupError

    monkeypatch.setattr("payi_middleware.streaming.ending.await_settled", fail)  # nothing real makes it fail
    _, body, trailers = answer_to(app_of(start(), BODY, ask=ask), settings)

    assert body == BODY
    assert headers_of(trailers)["x-payi-calls"] == "0"


def test_a_body_that_the_server_takes_from_a_file_is_followed_by_trailers(settings: Settings) -> None:
    whole = {"type": "http.response.pathsend", "path": "/etc/hostname"}
    sent = answer_to(app_of(start(), whole), settings)

    assert sent[1] == whole
    assert sent[2]["type"] == "http.response.trailers"


def test_httpx_reads_a_response_with_trailers_as_ever(provider: Provider, settings: Settings) -> None:
    with (
        serving(streaming_app(provider, settings), "hypercorn-asyncio") as address,
        httpx.Client(http1=False, http2=True, trust_env=False, timeout=30) as client,
    ):
        answer = client.get(f"http://{address}/stream", headers=[TE])

    assert answer.http_version == "HTTP/2"
    assert answer.status_code == 200
    assert answer.text
