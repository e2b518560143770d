"""`PayiTransport` and `AsyncPayiTransport` meter by hand, and never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from payi_middleware import AsyncPayiTransport, ConfigurationError, PayiTransport, Settings, instrument
from payi_middleware.demo.provider import Provider
from payi_middleware.meter import default_meter
from tests.transport.calling import CHAT, COMPLETION, delivered, only_report


@pytest.fixture(autouse=True)
def _default_ledger(monkeypatch: pytest.MonkeyPatch, ledger_path: Path) -> None:
    monkeypatch.setenv("PAYI_LEDGER", str(ledger_path))


def test_a_transport_by_hand_meters_without_any_patch(library: Any, provider: Provider, ledger_path: Path) -> None:
    seam = library.Client._transport_for_url
    with library.Client(transport=PayiTransport(library.HTTPTransport())) as client:
        answer = client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
    assert library.Client._transport_for_url is seam
    assert only_report(ledger_path).provider_response_id == answer.json()["id"]
    assert delivered() == 1


@pytest.mark.anyio
async def test_an_async_transport_by_hand_meters_without_any_patch(
    library: Any, provider: Provider, ledger_path: Path
) -> None:
    async with library.AsyncClient(transport=AsyncPayiTransport(library.AsyncHTTPTransport())) as client:
        answer = await client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
    assert only_report(ledger_path).provider_response_id == answer.json()["id"]
    assert delivered() == 1


def test_the_result_belongs_to_the_library_of_the_inner_transport() -> None:
    for library, other in ((httpx, httpx2), (httpx2, httpx)):
        sync, asynchronous = PayiTransport(_mock(library)), AsyncPayiTransport(_mock(library))
        assert isinstance(sync, library.BaseTransport)
        assert not isinstance(sync, other.BaseTransport)
        assert isinstance(asynchronous, library.AsyncBaseTransport)
        assert not isinstance(asynchronous, other.AsyncBaseTransport)


@pytest.mark.parametrize("inner", [None, object(), "https://api.openai.com", httpx.AsyncHTTPTransport])
def test_what_is_no_transport_is_refused_by_name(inner: object) -> None:
    with pytest.raises(ConfigurationError, match=type(inner).__name__):
        PayiTransport(inner)
    with pytest.raises(ConfigurationError, match=type(inner).__name__):
        AsyncPayiTransport(inner)


def test_a_transport_of_the_other_colour_is_refused(library: Any) -> None:
    with library.HTTPTransport() as sync, pytest.raises(ConfigurationError, match="AsyncBaseTransport"):
        AsyncPayiTransport(sync)


@pytest.mark.parametrize("depth", [1, 3])
def test_by_hand_and_instrumented_and_nested_counts_once(
    library: Any, settings: Settings, ledger_path: Path, depth: int
) -> None:
    instrument(settings)
    transport = _mock(library)
    for _ in range(depth):
        transport = PayiTransport(transport)
    with library.Client(transport=transport) as client:
        client.post("https://llm.example/v1/chat/completions", json=CHAT)
    only_report(ledger_path)
    assert delivered() == 1


@pytest.mark.anyio
async def test_async_by_hand_and_instrumented_and_nested_counts_once(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    transport = AsyncPayiTransport(AsyncPayiTransport(_mock(library)))
    async with library.AsyncClient(transport=transport) as client:
        await client.post("https://llm.example/v1/chat/completions", json=CHAT)
    only_report(ledger_path)
    assert delivered() == 1


def test_a_client_inside_a_transport_of_the_app_counts_once(
    library: Any, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with library.Client() as inner_client:

        class Gateway(library.BaseTransport):  # type: ignore[misc]
            def handle_request(self, request: Any) -> Any:
                return inner_client.send(request, stream=True)

        with library.Client(transport=Gateway()) as client:
            assert client.post(f"{provider.openai_url}/chat/completions", json=CHAT).status_code == 200
    only_report(ledger_path)
    assert delivered() == 1


def test_the_apps_request_is_as_it_was_after_the_call(library: Any, settings: Settings) -> None:
    instrument(settings)
    with library.Client(transport=_mock(library)) as client:
        request = client.build_request(
            "POST", "https://llm.example/v1/chat/completions", json=CHAT, extensions={"mine": 1}, headers={"a": "b"}
        )
        extensions, headers = dict(request.extensions), request.headers.raw
        answer = client.send(request)
    assert answer.request is request
    assert (request.extensions, request.headers.raw) == (extensions, headers)


def test_entering_and_closing_reach_the_inner_transport(library: Any) -> None:
    events = []

    class Inner(library.BaseTransport):  # type: ignore[misc]
        def __enter__(self) -> Any:
            events.append("enter")
            return self

        def __exit__(self, *failure: object) -> None:
            events.append("exit")

        def close(self) -> None:
            events.append("close")

    with PayiTransport(Inner()) as transport:
        assert type(transport).__name__ == "PayiTransport"
    transport.close()
    assert events == ["enter", "exit", "close"]


@pytest.mark.anyio
async def test_async_entering_and_closing_reach_the_inner_transport(library: Any) -> None:
    events = []

    class Inner(library.AsyncBaseTransport):  # type: ignore[misc]
        async def __aenter__(self) -> Any:
            events.append("enter")
            return self

        async def __aexit__(self, *failure: object) -> None:
            events.append("exit")

        async def aclose(self) -> None:
            events.append("close")

    async with AsyncPayiTransport(Inner()) as transport:
        assert type(transport).__name__ == "AsyncPayiTransport"
    await transport.aclose()
    assert events == ["enter", "exit", "close"]


def test_a_wrong_environment_never_reaches_the_call(
    library: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    with library.Client(transport=PayiTransport(_mock(library))) as client:
        assert client.post("https://llm.example/v1/chat/completions", json=CHAT).json() == COMPLETION
    assert "ConfigurationError" in caplog.text
    with pytest.raises(ConfigurationError):
        default_meter()


def _mock(library: Any) -> Any:
    return library.MockTransport(lambda request: library.Response(200, json=COMPLETION))
