"""A stream that tells its usage only if asked is asked for it through requests, too, and the app sees nothing of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from payi_middleware import Settings, instrument
from payi_middleware.demo.provider import Provider
from tests.transport.calling import CHAT, only_report, stand_in
from tests.transport.serving import serve
from tests.transport.test_requests_reads import DECODING, RAW

URL = "https://api.openai.com/v1/chat/completions"
HELLO: dict[str, Any] = {**CHAT, "stream": True}


class Detour(HTTPAdapter):
    """Takes what is meant for api.openai.com elsewhere, as no provider can be reached from a test."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def get_connection(self, *_: Any, **__: Any) -> Any:
        return self.poolmanager.connection_from_url(self.url)

    get_connection_with_tls_context = get_connection  # what requests 2.32 and newer call

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Verify nothing: the connection is a plain one."""


@contextmanager
def detour(url: str) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("https://", Detour(url))
        yield session


@pytest.mark.parametrize("read", [*DECODING, *RAW])
def test_a_silent_stream_is_counted_and_the_app_sees_no_chunk_more(
    provider: Provider, settings: Settings, ledger_path: Path, read: Callable[[Any], bytes]
) -> None:
    with detour(f"http://127.0.0.1:{provider.port}") as session:
        with session.post(URL, json=HELLO, stream=True) as response:
            bare = _told(read(response))
        instrument(settings)
        with session.post(URL, json=HELLO, stream=True) as response:
            metered = _told(read(response))
    assert metered == bare
    asked = provider.requests[-1]
    assert asked.body == {**HELLO, "stream_options": {"include_usage": True}}
    assert int(asked.headers["content-length"]) > len(json.dumps(HELLO))
    report = only_report(ledger_path)
    assert report.input_tokens > 0
    assert report.output_tokens > 0


def _told(body: bytes) -> list[Any]:
    """Return what a stream's events say, without what differs from answer to answer or says nothing."""
    events = [line.removeprefix("data: ") for line in body.decode().splitlines() if line]
    assert events[-1] == "[DONE]"
    left_out = {"id": "", "created": 0}
    return [
        {name: value for name, value in {**json.loads(event), **left_out}.items() if value is not None}
        for event in events[:-1]
    ]


def test_an_app_that_asks_itself_gets_its_chunk(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    asked = {**HELLO, "stream_options": {"include_usage": True}}
    with detour(f"http://127.0.0.1:{provider.port}") as session:
        events = _told(session.post(URL, json=asked, stream=True).content)
    assert events[-1]["usage"] is not None
    assert only_report(ledger_path).output_tokens > 0


def test_the_apps_own_request_stays_as_it_was(provider: Provider, settings: Settings) -> None:
    instrument(settings)
    with detour(f"http://127.0.0.1:{provider.port}") as session:
        response = session.post(URL, json=HELLO)
    assert json.loads(response.request.body or b"") == HELLO
    assert int(response.request.headers["content-length"]) == len(response.request.body or b"")
    assert "gzip" in response.request.headers["accept-encoding"]


WHY = ["switched off", "another host", "signed", "not in memory", "its length is not told"]


@pytest.mark.parametrize("why", WHY)
def test_otherwise_nothing_is_asked(why: str, provider: Provider, settings: Settings, ledger_path: Path) -> None:
    instrument(settings.model_copy(update={"stream_usage": why != "switched off"}))
    body: Any = json.dumps(HELLO).encode()
    headers: dict[str, str | bytes] = {"content-type": "application/json"}
    if why == "signed":
        headers["authorization"] = b"AWS4-HMAC-SHA256 Credential=k"
    with detour(f"http://127.0.0.1:{provider.port}") as session:
        url = f"{provider.openai_url}/chat/completions" if why == "another host" else URL
        request = requests.Request("POST", url, data=iter([body]) if why == "not in memory" else body, headers=headers)
        prepared = request.prepare()
        if why == "its length is not told":
            prepared.headers["transfer-encoding"] = "chunked"
            del prepared.headers["content-length"]
        session.send(prepared)
    assert provider.requests[-1].body == HELLO
    assert only_report(ledger_path).output_tokens == 0


def test_an_error_is_passed_on_as_it_is(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with detour(f"http://127.0.0.1:{provider.port}") as session:
        response = session.post(URL, json=HELLO, headers=stand_in(status=429))
    assert response.json()["error"]
    assert only_report(ledger_path).http_status_code == 429


EVENTS = [
    b'data: {"id":"chatcmpl-7","choices":[{"index":0,"delta":{"content":"Oslo"}}]}\n\n',
    b'data: {"id":"chatcmpl-7","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":20,"total_tokens":27}}\n\n',
    b"data: [DONE]\n\n",
]


async def _with_its_length(scope: Any, receive: Any, send: Any) -> None:
    sent = b"".join(EVENTS)
    headers = [(b"content-type", b"text/event-stream"), (b"content-length", str(len(sent)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": sent})


@pytest.mark.parametrize("read", [*DECODING, *RAW])
def test_the_chunk_is_taken_out_of_a_body_whose_length_is_told(
    settings: Settings, ledger_path: Path, read: Callable[[Any], bytes]
) -> None:
    instrument(settings)
    with serve(_with_its_length) as url, detour(url) as session, session.post(URL, json=HELLO, stream=True) as response:
        assert read(response).replace(b"\n\n", b"\n") == (EVENTS[0] + EVENTS[2]).replace(b"\n\n", b"\n")
    report = only_report(ledger_path)
    assert report.output_tokens == 20
    assert "system.stream" not in report.properties


async def _compressed(scope: Any, receive: Any, send: Any) -> None:
    sent = gzip.compress(b"".join(EVENTS))
    kind = [(b"content-type", b"text/event-stream"), (b"content-encoding", b"gzip")]
    await send({"type": "http.response.start", "status": 200, "headers": kind})
    await send({"type": "http.response.body", "body": sent})


@pytest.mark.parametrize("read", DECODING)
def test_a_server_that_compresses_all_the_same_is_counted_and_the_app_sees_no_chunk_more(
    settings: Settings, ledger_path: Path, read: Callable[[Any], bytes]
) -> None:
    instrument(settings)
    with serve(_compressed) as url, detour(url) as session, session.post(URL, json=HELLO, stream=True) as response:
        assert read(response).replace(b"\n\n", b"\n") == (EVENTS[0] + EVENTS[2]).replace(b"\n\n", b"\n")
    assert only_report(ledger_path).output_tokens == 20


@pytest.mark.parametrize("read", RAW)
def test_an_app_that_wants_such_bytes_raw_gets_them_as_they_came(
    settings: Settings, ledger_path: Path, read: Callable[[Any], bytes]
) -> None:
    instrument(settings)
    with serve(_compressed) as url, detour(url) as session, session.post(URL, json=HELLO, stream=True) as response:
        assert gzip.decompress(read(response)) == b"".join(EVENTS)
    assert only_report(ledger_path).output_tokens == 20
