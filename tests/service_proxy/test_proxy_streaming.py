"""Streams pass while they come; nothing of them is lost, added to or held back but for the result at the end."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer

from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.proxy import upstream
from tests.transport import serving as paced_serving
from tests.transport.bedrock import Bedrock, Reply

from .serving import headers, service, without
from .upstreams import SSE, Line, chunked, wire
from .wires import ASKED, CHAT, CONVERSE, INVOKE, MESSAGES, RESPONSES, STREAMS, Stream

ASKED_USAGE = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'


def asked(stream: Stream) -> bytes:
    return ASKED_USAGE if stream is CHAT else ASKED


def plain(body: bytes) -> tuple[bytes, list[Any]]:
    """Return a stream of server-sent events without the results, and them."""
    return without("xproxy_result", body)


def messages(body: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """Return the headers and payloads of Amazon's messages, checksums checked by botocore; chunks unwrapped."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    told = [(event.headers, event.payload) for event in buffer]
    return [
        (said, base64.b64decode(json.loads(payload)["bytes"]))
        if said.get(":event-type") == "chunk"
        else (said, payload)
        for said, payload in told
    ]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_each_event_is_passed_on_before_the_next_is_sent(sqlite: Ledger, stream: Stream) -> None:
    with (
        service(sqlite) as url,
        paced_serving.paced(stream.content_type) as provider,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
        client.stream(
            "POST",
            f"/api/v1/proxy/{stream.path}",
            content=asked(stream),
            headers={**headers(provider.url), "content-type": "application/json"},
        ) as response,
    ):
        assert response.headers["content-type"] == stream.content_type  # nothing has been sent but the headers
        chunks = response.iter_raw()
        received = b""
        for event in stream.events[: -stream.ending]:
            provider.send(event)
            while len(received) < len(event):
                received += next(chunks)
            assert received == event
            received = b""
        for event in stream.events[-stream.ending :]:
            provider.send(event)
        provider.send(None)
        assert b"xproxy_result" in received + b"".join(chunks) or stream is INVOKE


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize("stream", [CHAT, MESSAGES, RESPONSES], ids=lambda stream: stream.name)
def test_events_are_the_providers_byte_for_byte(sqlite: Ledger, scripted: Bedrock, stream: Stream, size: int) -> None:
    body = stream.body
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    scripted.replies = [Reply(pieces, content_type=stream.content_type)]
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{stream.path}",
            content=asked(stream),
            headers=headers(scripted.url),
            trust_env=False,
            timeout=60,
        )

    told, results = plain(answer.content)
    assert told == body
    (record,) = sqlite.requests()
    assert {result["request_id"] for result in results} == {record.request_id}
    assert record.category == stream.category
    assert record.units == {"text": {"input": 10, "output": 5}}


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize("stream", [CONVERSE, INVOKE], ids=lambda stream: stream.name)
def test_messages_are_amazons_byte_for_byte_but_for_the_last(
    sqlite: Ledger, scripted: Bedrock, stream: Stream, size: int
) -> None:
    body = stream.body
    scripted.replies = [Reply([body[at : at + size] for at in range(0, len(body), size)])]
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{stream.path}",
            content=ASKED,
            headers=headers(scripted.url),
            trust_env=False,
            timeout=60,
        )

    earlier = b"".join(stream.events[:-1])
    assert answer.content.startswith(earlier)
    told, expected = messages(answer.content), messages(body)
    assert told[:-1] == expected[:-1]
    last, results = plain(told[-1][1])
    assert (told[-1][0], last) == expected[-1]
    assert [result["request_id"] for result in results] == [sqlite.requests()[0].request_id]


def test_a_result_that_no_chunk_is_there_for_comes_as_a_comment(sqlite: Ledger, scripted: Bedrock) -> None:
    """SDKs leave comments out: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"""
    events = [CHAT.events[1], b"data: [DONE]\n\n"]
    scripted.replies = [Reply(events, content_type="text/event-stream")]
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{CHAT.path}", content=ASKED, headers=headers(scripted.url), trust_env=False, timeout=60
        )

    first, comment, last, rest = answer.content.split(b"\n\n")
    assert (first + b"\n\n", last, rest) == (events[0], b"data: [DONE]", b"")
    assert comment.startswith(b': {"xproxy_result":{"request_id"')


def test_a_stream_that_ends_without_a_blank_line_is_passed_on_whole(sqlite: Ledger, scripted: Bedrock) -> None:
    body = b"".join(CHAT.events[:6]).rstrip(b"\n")
    scripted.replies = [Reply([body], content_type="text/event-stream")]
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{CHAT.path}",
            content=ASKED_USAGE,
            headers=headers(scripted.url),
            trust_env=False,
            timeout=60,
        )

    told, results = plain(answer.content)
    assert told == body
    assert len(results) == 1
    assert sqlite.requests()[0].units == {"text": {"input": 10, "output": 5}}


def test_a_stream_in_the_guise_of_something_else_is_one_all_the_same(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [Reply(list(MESSAGES.events), content_type="application/json")]
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{MESSAGES.path}",
            content=ASKED,
            headers=headers(scripted.url),
            trust_env=False,
            timeout=60,
        )

    told, results = plain(answer.content)
    assert told == MESSAGES.body
    assert len(results) == 2


def test_a_compressed_stream_is_passed_on_uncompressed(sqlite: Ledger, provider: Provider) -> None:
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "stream": True})
    said = {**headers(provider.url), "x-stand-in": '{"gzip": true}', "accept-encoding": "gzip"}
    with service(sqlite) as url:
        answer = httpx.post(f"{url}/api/v1/proxy/{CHAT.path}", content=body, headers=said, trust_env=False, timeout=60)

    assert "content-encoding" not in answer.headers
    assert answer.text.endswith("data: [DONE]\n\n")
    assert len(plain(answer.content)[1]) == 1
    assert [record.units["text"]["input"] for record in sqlite.requests()] == [1]


def test_a_long_stream_takes_no_memory(sqlite: Ledger) -> None:
    event = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * 16_000)
    count = 4_000

    def act(line: Line) -> None:
        line.send(SSE)
        for _ in range(count):
            line.send(chunked(event))
        line.send(chunked(b"data: [DONE]\n\n") + chunked(b""))

    received = 0
    with (
        wire(act) as provider,
        service(sqlite) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
        client.stream("POST", f"/api/v1/proxy/{CHAT.path}", content=ASKED, headers=headers(provider.url)) as response,
    ):
        tracemalloc.start()
        try:
            for chunk in response.iter_raw():
                received += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert received > count * len(event)
    assert peak < 16 * 2**20  # a quarter of what has passed


def test_an_event_too_long_to_hold_is_passed_on_in_parts(sqlite: Ledger, scripted: Bedrock) -> None:
    """A response that repeats megabytes of pictures at its end; the result is at the end of it all the same."""
    start, end = RESPONSES.events[-1].split(b'"output":[]')
    giant = start + b'"output":[{"type":"image_generation_call","result":"' + b"A" * 3_000_000 + b'"}]' + end
    body = b"".join([*RESPONSES.events[:-1], giant])
    pieces = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
    scripted.replies = [Reply(pieces, content_type="text/event-stream")]
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{RESPONSES.path}",
            content=ASKED,
            headers=headers(scripted.url),
            trust_env=False,
            timeout=60,
        )

    told, results = plain(answer.content)
    assert told == body
    assert len(results) == 1
    assert json.loads(answer.content.rpartition(b"data: ")[2])["xproxy_result"] == results[0]
    assert [record.units for record in sqlite.requests()] == [{"text": {"input": 10, "output": 5}}]


def test_where_httpx2_is_not_installed_httpx_does_it(
    sqlite: Ledger, scripted: Bedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_library", lambda: httpx)
    scripted.replies = [Reply(list(MESSAGES.events), content_type="text/event-stream")]
    with service(sqlite) as url, paced_serving.unused_port() as port:
        answers = [
            httpx.post(
                f"{url}/api/v1/proxy/{MESSAGES.path}",
                content=ASKED,
                headers=headers(provider),
                trust_env=False,
                timeout=60,
            )
            for provider in (scripted.url, f"http://127.0.0.1:{port}")
        ]

    assert plain(answers[0].content)[0] == MESSAGES.body
    assert answers[1].status_code == 502
