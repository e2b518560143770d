"""Waiting for results: until they are in, not for ever, and with errors that say what happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import openai
import pytest

from payi_middleware import (
    IngestRefusedError,
    IngestTimeoutError,
    Settings,
    aresult_of,
    flush,
    get_context,
    instrument,
    result_of,
    track_context,
)
from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import PAYI_KEY, Ingest, ingest_server
from tests.transport.calling import CHAT, KEY


@pytest.fixture
def gate(ledger_path: Path) -> Iterator[Event]:
    """Reports are held back until this is set."""
    opened = Event()

    def redact(item: dict[str, Any]) -> dict[str, Any]:
        assert opened.wait(30)
        return item

    instrument(Settings(ledger=ledger_path, redact=redact))
    yield opened
    opened.set()


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Ingest]:
    with ingest_server(tmp_path / "remote.db", mode="hang") as server:
        yield server


def test_there_is_no_attribute_until_the_result_is_in(gate: Event, openai_client: openai.OpenAI) -> None:
    answer: Any = openai_client.chat.completions.create(**CHAT)
    stream: Any = openai_client.chat.completions.create(**CHAT, stream=True)
    list(stream)
    assert not hasattr(answer, "xproxy_result")
    assert not hasattr(stream, "xproxy_result")
    with pytest.raises(AttributeError, match="xproxy_result"):
        _ = answer.xproxy_result
    gate.set()
    assert flush(10)
    assert hasattr(answer, "xproxy_result")
    assert hasattr(stream, "xproxy_result")


@pytest.mark.usefixtures("instrumented")
def test_a_stream_has_no_result_while_it_is_read(openai_client: openai.OpenAI) -> None:
    stream: Any = openai_client.chat.completions.create(**CHAT, stream=True)
    next(stream)
    assert flush(10)
    assert not hasattr(stream, "xproxy_result")
    with pytest.raises(IngestTimeoutError):
        result_of(stream, timeout=0)
    list(stream)
    assert result_of(stream, timeout=10).request_id


def test_a_result_that_is_late_is_a_timeout(gate: Event, openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(**CHAT)
    with pytest.raises(IngestTimeoutError):
        result_of(answer, timeout=0.01)
    gate.set()
    assert result_of(answer, timeout=10).request_id


@pytest.mark.anyio
async def test_a_result_that_is_late_is_a_timeout_async(gate: Event, provider: Provider) -> None:
    async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        answer = await client.chat.completions.create(**CHAT)
    with pytest.raises(IngestTimeoutError):
        await aresult_of(answer, timeout=0.01)
    gate.set()
    assert (await aresult_of(answer, timeout=10)).request_id


@pytest.mark.usefixtures("instrumented")
def test_a_refused_report_raises_why(openai_client: openai.OpenAI) -> None:
    with track_context(limit_ids=["unknown"]):
        answer = openai_client.chat.completions.create(**CHAT)
    with pytest.raises(IngestRefusedError) as refused:
        result_of(answer, timeout=10)
    assert refused.value.status == 400
    assert refused.value.code
    assert not hasattr(answer, "xproxy_result")


@pytest.mark.anyio
@pytest.mark.usefixtures("instrumented")
async def test_a_refused_report_raises_why_async(provider: Provider) -> None:
    async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        with track_context(limit_ids=["unknown"]):
            answer = await client.chat.completions.create(**CHAT)
    with pytest.raises(IngestRefusedError):
        await aresult_of(answer, timeout=10)


@pytest.mark.anyio
@pytest.mark.parametrize("thing", [None, "text", object(), httpx.Response(200, json={})])
async def test_what_was_not_metered_is_a_lookup_error(thing: object) -> None:
    with pytest.raises(LookupError, match=type(thing).__name__):
        result_of(thing)
    with pytest.raises(LookupError, match=type(thing).__name__):
        await aresult_of(thing)


def test_an_answer_of_before_instrument_is_a_lookup_error(settings: Settings, openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(**CHAT)
    instrument(settings)
    with pytest.raises(LookupError):
        result_of(answer)


@pytest.mark.parametrize("stream", [False, True])
def test_inline_holds_an_answer_no_longer_than_its_timeout(
    hanging: Ingest, openai_client: openai.OpenAI, stream: bool
) -> None:
    instrument(
        Settings(
            base_url=hanging.url, api_key=PAYI_KEY, report="inline", inline_timeout=0.05, ingest_timeout=600,
            shutdown_timeout=0.1,
        )
    )  # fmt: skip
    answer = openai_client.chat.completions.create(**CHAT, stream=stream)
    assert not stream or list(answer)
    assert not hasattr(answer, "xproxy_result")


def test_inline_waits_for_nobody_while_the_service_is_unavailable(
    hanging: Ingest, openai_client: openai.OpenAI
) -> None:
    hanging.mode = 503
    meter = instrument(
        Settings(
            base_url=hanging.url, api_key=PAYI_KEY, report="inline", inline_timeout=600, ingest_timeout=600,
            shutdown_timeout=0.1,
        )
    )  # fmt: skip
    openai_client.chat.completions.create(**CHAT)
    assert not meter.available
    hanging.mode = "hang"
    assert not hasattr(openai_client.chat.completions.create(**CHAT), "xproxy_result")


@pytest.mark.usefixtures("instrumented")
def test_last_result_is_the_newest_of_this_context_only(openai_client: openai.OpenAI) -> None:
    assert get_context().last_result is None
    with track_context(user_id="alice"):
        for _ in range(2):
            result = result_of(openai_client.chat.completions.create(**CHAT), timeout=10)
            assert get_context().last_result is result
        assert (get_context()["user_id"], get_context().summary.calls) == ("alice", 2)
    with track_context(user_id="bob"):
        assert get_context().last_result is None
    assert get_context().last_result is None
