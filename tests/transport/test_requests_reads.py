"""The bodies of responses to requests' calls, seen however the app reads them."""

from __future__ import annotations

import gc
import gzip
import io
import json
import socket
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import brotli
import pytest
import requests
import urllib3

from payi_middleware import Settings, instrument
from payi_middleware.demo.provider import Provider
from tests.transport.calling import CHAT, COMPLETION, STREAMED, delivered, only_report, stand_in
from tests.transport.serving import Paced, paced, serve
from tests.transport.test_requests import PATH, chat_url
from tests.transport.test_streams import BODY, EVENTS

pytestmark = pytest.mark.usefixtures("_instrumented")


@pytest.fixture
def _instrumented(settings: Settings) -> None:
    instrument(settings)


def _content(response: Any) -> bytes:
    return bytes(response.content)


def _text(response: Any) -> bytes:
    return str(response.text).encode()


def _chunks(response: Any) -> bytes:
    return b"".join(response.iter_content(100))


def _bytes(response: Any) -> bytes:
    return b"".join(response.iter_content())


def _as_it_comes(response: Any) -> bytes:
    return b"".join(response.iter_content(None))


def _twice(response: Any) -> bytes:
    return b"".join([next(response.iter_content(None)), *response.iter_content(None)])


def _lines(response: Any) -> bytes:
    return b"".join(line + b"\n" for line in response.iter_lines())


def _itself(response: Any) -> bytes:
    return b"".join(response)


def _stream(response: Any) -> bytes:
    return b"".join(response.raw.stream(100, decode_content=True))


def _raw_lines(response: Any) -> bytes:
    return b"".join(response.raw)


def _decoded(response: Any) -> bytes:
    return bytes(response.raw.read(decode_content=True))


def _decoded_pieces(response: Any) -> bytes:
    return b"".join(iter(lambda: response.raw.read(100, decode_content=True), b""))


def _decoded_ones(response: Any) -> bytes:
    return b"".join(iter(lambda: response.raw.read1(100, decode_content=True), b""))


DECODING = [
    *(_content, _text, _chunks, _bytes, _as_it_comes, _lines, _itself),
    *(_stream, _raw_lines, _decoded, _decoded_pieces, _decoded_ones),
]


def _read(response: Any) -> bytes:
    return bytes(response.raw.read())


def _pieces(response: Any) -> bytes:
    return b"".join(iter(lambda: response.raw.read(100), b""))


def _ones(response: Any) -> bytes:
    return b"".join(iter(lambda: response.raw.read1(), b""))


def _buffered(response: Any) -> bytes:
    return io.BufferedReader(response.raw, 64).read()


def _data(response: Any) -> bytes:
    assert response.raw.data == response.raw.data
    return bytes(response.raw.data)


def _raw_stream(response: Any) -> bytes:
    return b"".join(response.raw.stream(100))


RAW = [_read, _pieces, _ones, _buffered, _data, _raw_stream]


def _compressed(name: str) -> bytes:
    return bytes({"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}[name](BODY))


@contextmanager
def answering(sent: bytes, *, chunked: bool, **headers: str) -> Iterator[str]:
    """Serve one body, whose length is told or not."""
    if chunked:
        with paced(**headers) as server:
            for start in range(0, len(sent), 333):
                server.send(sent[start : start + 333])
            server.send(None)
            yield server.url
        return

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        told = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        length = (b"content-length", str(len(sent)).encode())
        kind = (b"content-type", b"text/event-stream")
        await send({"type": "http.response.start", "status": 200, "headers": [kind, length, *told]})
        await send({"type": "http.response.body", "body": sent})

    with serve(answer) as url:
        yield url


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
@pytest.mark.parametrize("read", [*DECODING, *RAW])
def test_a_stream_is_metered_however_the_app_reads_it(
    ledger_path: Path, read: Callable[[Any], bytes], chunked: bool
) -> None:
    with (
        answering(BODY, chunked=chunked) as url,
        requests.post(url + PATH, json=STREAMED, stream=True) as response,
    ):
        assert read(response) == BODY
        report = only_report(ledger_path)
    assert (report.input_tokens, report.output_tokens, report.provider_response_id) == (7, 20, "chatcmpl-7")
    assert "system.stream" not in report.properties


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
@pytest.mark.parametrize("read", DECODING)
def test_a_compressed_body_is_metered_as_urllib3_decompresses_it(
    ledger_path: Path, read: Callable[[Any], bytes], chunked: bool, encoding: str
) -> None:
    with (
        answering(_compressed(encoding), chunked=chunked, content_encoding=encoding) as url,
        requests.post(url + PATH, json=STREAMED, stream=True) as response,
    ):
        assert read(response) == BODY
        report = only_report(ledger_path)
    assert (report.output_tokens, report.failed) == (20, False)
    assert "system.stream" not in report.properties


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
@pytest.mark.parametrize("read", RAW)
def test_a_compressed_body_that_the_app_wants_raw_is_metered(
    ledger_path: Path, read: Callable[[Any], bytes], chunked: bool, encoding: str
) -> None:
    sent = _compressed(encoding)
    with (
        answering(sent, chunked=chunked, content_encoding=encoding) as url,
        requests.post(url + PATH, json=STREAMED, stream=True) as response,
    ):
        assert read(response) == sent
        report = only_report(ledger_path)
    assert (report.output_tokens, report.failed) == (20, False)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
def test_a_compressed_body_that_urllib3_cannot_undo_is_metered(
    ledger_path: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    """urllib3 knows fewer encodings without its optional packages, which it looks for when it is imported."""
    monkeypatch.setattr(urllib3.response.HTTPResponse, "CONTENT_DECODERS", ["gzip", "x-gzip", "deflate"])
    sent = _compressed("br")
    with answering(sent, chunked=chunked, content_encoding="br") as url:
        assert requests.post(url + PATH, json=STREAMED).content == sent
    assert only_report(ledger_path).output_tokens == 20


@pytest.mark.parametrize("compress", [False, True])
def test_a_body_that_is_not_streamed_is_metered(ledger_path: Path, compress: bool) -> None:
    body = json.dumps(COMPLETION).encode()
    headers = {"content_encoding": "gzip"} if compress else {}
    sent = gzip.compress(body) if compress else body
    with answering(sent, chunked=False, **headers) as url:
        assert requests.post(url + PATH, json=CHAT).json() == COMPLETION
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.input_tokens) == ("chatcmpl-1", 7)
    assert "system.stream" not in report.properties


def test_each_chunk_arrives_before_the_next_one_is_sent(ledger_path: Path) -> None:
    with paced() as server, requests.post(server.url + PATH, json=STREAMED, stream=True) as response:
        chunks = response.iter_content(None)
        for event in EVENTS:
            server.send(event)
            assert next(chunks) == event
        server.send(None)
        assert list(chunks) == []
    assert only_report(ledger_path).time_to_first_token_ms is not None


def test_the_report_is_due_at_the_last_event(ledger_path: Path) -> None:
    with paced() as server, requests.post(server.url + PATH, json=STREAMED, stream=True) as response:
        for event in EVENTS:
            server.send(event)
        lines = response.iter_lines()
        while next(lines) != b"data: [DONE]":
            pass
        report = only_report(ledger_path)
    assert "system.stream" not in report.properties


def test_the_report_is_due_when_the_body_was_read_to_its_length(ledger_path: Path) -> None:
    sent = json.dumps(COMPLETION).encode()
    with answering(sent, chunked=False) as url, requests.post(url + PATH, json=CHAT, stream=True) as response:
        assert response.raw.read(len(sent)) == sent
        report = only_report(ledger_path)
    assert "system.stream" not in report.properties


def test_a_body_that_came_out_whole_is_reported_when_it_is_forgotten(ledger_path: Path) -> None:
    body = json.dumps(COMPLETION).encode()
    with answering(gzip.compress(body), chunked=False, content_encoding="gzip") as url:
        response = requests.post(url + PATH, json=CHAT, stream=True)
        assert response.raw.read(len(body), decode_content=True) == body
        del response
        gc.collect()
        report = only_report(ledger_path)
    assert report.provider_response_id == "chatcmpl-1"
    assert "system.stream" not in report.properties


def test_an_empty_body_is_reported(ledger_path: Path) -> None:
    with answering(b"", chunked=False) as url:
        assert requests.post(url + PATH, json=CHAT, stream=True).content == b""
    assert only_report(ledger_path).http_status_code == 200


def test_a_body_that_is_read_in_pieces_of_nothing_goes_on(ledger_path: Path) -> None:
    sent = gzip.compress(BODY)
    with (
        answering(sent, chunked=False, content_encoding="gzip") as url,
        requests.post(url + PATH, json=STREAMED, stream=True) as response,
    ):
        assert (response.raw.read(0), list(response.raw.stream(0))) == (b"", [])
        assert response.content == BODY
    assert only_report(ledger_path).output_tokens == 20


@pytest.mark.parametrize("read", [_content, _chunks, _lines, _read, _pieces])
def test_a_broken_stream_is_reported_as_failed(
    provider: Provider, ledger_path: Path, read: Callable[[Any], bytes]
) -> None:
    with (
        requests.post(chat_url(provider), json=STREAMED, headers=stand_in(reset_after=2), stream=True) as response,
        pytest.raises((requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError)),
    ):
        read(response)
    report = only_report(ledger_path)
    assert (report.failed, report.properties["system.failure"]) == (True, "ProtocolError")


def _cut(listener: socket.socket) -> None:
    with suppress(OSError):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(BODY)}\r\n\r\n"
            connection.sendall(head.encode() + EVENTS[0])


@pytest.mark.parametrize("read", [_content, _lines])
def test_a_body_that_is_cut_off_is_reported_as_failed(ledger_path: Path, read: Callable[[Any], bytes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_cut, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            read(requests.post(url, json=STREAMED, stream=True))
    report = only_report(ledger_path)
    assert (report.failed, report.properties["system.failure"]) == (True, "ProtocolError")


def test_a_corrupt_body_is_reported_as_failed(ledger_path: Path) -> None:
    with (
        answering(b"no gzip", chunked=True, content_encoding="gzip") as url,
        pytest.raises(requests.exceptions.ContentDecodingError),
    ):
        requests.post(url + PATH, json=STREAMED)
    assert only_report(ledger_path).properties["system.failure"] == "DecodeError"


def test_a_stream_that_takes_too_long_is_reported_as_failed(ledger_path: Path) -> None:
    with paced() as server:
        server.send(EVENTS[0])
        with (
            requests.post(server.url + PATH, json=STREAMED, stream=True, timeout=0.2) as response,
            pytest.raises(requests.ConnectionError, match="timed out"),
        ):
            list(response.iter_lines())
    assert only_report(ledger_path).properties["system.failure"] == "ReadTimeoutError"


def test_an_interrupted_read_is_reported(ledger_path: Path) -> None:
    """A read of urllib3's is interrupted by hand, as a signal cannot be aimed at one."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with answering(BODY, chunked=False) as url, requests.post(url + PATH, json=STREAMED, stream=True) as response:
        response.raw._fp.read = interrupted  # type: ignore[method-assign, union-attr]
        with pytest.raises(KeyboardInterrupt):
            response.raw.read()
    assert only_report(ledger_path).properties["system.stream"] == "ended before the provider's last event"


def _begin(server: Paced) -> Any:
    response = requests.post(server.url + PATH, json=STREAMED, stream=True)
    chunks = response.iter_content(None)
    assert next(chunks) == EVENTS[0]
    return response, chunks


def _leave(server: Paced) -> None:
    with requests.post(server.url + PATH, json=STREAMED, stream=True) as response:
        assert next(response.iter_content(None)) == EVENTS[0]


def _close(server: Paced) -> None:
    response, _chunks = _begin(server)
    response.close()
    response.close()


def _forget_the_chunks(server: Paced) -> None:
    KEPT.append(_begin(server)[0])


def _forget(server: Paced) -> None:
    _begin(server)


KEPT: list[Any] = []


@pytest.mark.parametrize("abandon", [_leave, _close, _forget_the_chunks, _forget])
def test_an_abandoned_stream_is_reported_once(ledger_path: Path, abandon: Callable[[Paced], None]) -> None:
    with paced() as server:
        server.send(EVENTS[0])
        abandon(server)
        gc.collect()
        report = only_report(ledger_path)
        while KEPT:
            KEPT.pop().close()
    assert report.properties["system.stream"] == "ended before the provider's last event"
    assert report.provider_response_id == "chatcmpl-7"
    assert delivered() == 1


@pytest.mark.parametrize("close", [True, False])
def test_a_body_that_is_never_read_is_reported(ledger_path: Path, close: bool) -> None:
    with answering(BODY, chunked=False) as url:
        response = requests.post(url + PATH, json=STREAMED, stream=True)
        if close:
            response.close()
        del response
        gc.collect()
        report = only_report(ledger_path)
    assert (report.http_status_code, report.units) == (200, {})


def test_the_rest_of_a_body_is_seen_when_the_app_reads_on(ledger_path: Path) -> None:
    with answering(BODY, chunked=False) as url, requests.post(url + PATH, json=STREAMED, stream=True) as response:
        assert _twice(response) == BODY
    assert only_report(ledger_path).output_tokens == 20


def test_a_response_is_collectable_right_after_use(provider: Provider) -> None:
    gc.collect()
    gc.disable()
    try:
        response = requests.post(chat_url(provider), json=STREAMED, stream=True)
        assert next(response.iter_content(10))
        gone = weakref.ref(response), weakref.ref(response.raw)
        del response
        gc.collect()
        assert (gone[0](), gone[1]()) == (None, None)
    finally:
        gc.enable()
