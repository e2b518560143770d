"""The SDKs' own answers and streams get `xproxy_result`, and can be waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import anyio.to_thread
import groq
import openai
import pytest

from payi_middleware import Settings, XproxyResult, aresult_of, flush, instrument, result_of, track_context
from payi_middleware.demo.provider import Provider
from tests.results.asking import ANTHROPIC, ASYNC_ANTHROPIC, ASYNC_OPENAI, OPENAI
from tests.transport.calling import CHAT, KEY, MESSAGES, only_report

Inline = pytest.mark.parametrize("inline", [None, "settings", "context"])


def _instrument(settings: Settings, inline: str | None) -> None:
    instrument(settings.model_copy(update={"report": "inline"}) if inline == "settings" else settings)


def _assert_same(answer: Any, result: XproxyResult, ledger_path: Path) -> None:
    assert answer.xproxy_result is result
    report = only_report(ledger_path)
    assert (result.request_id, result.user_id) == (report.request_id, report.user_id)


@Inline
@pytest.mark.parametrize("ask", OPENAI.values(), ids=OPENAI.keys())
def test_openai_objects_get_their_result(
    settings: Settings, openai_client: openai.OpenAI, ledger_path: Path, ask: Any, inline: str | None
) -> None:
    _instrument(settings, inline)
    with track_context(user_id="alice", report="inline" if inline == "context" else None):
        answer = ask(openai_client)
    if inline:
        assert answer.xproxy_result.user_id == "alice"
    _assert_same(answer, result_of(answer, timeout=10), ledger_path)


@Inline
@pytest.mark.parametrize("ask", ANTHROPIC.values(), ids=ANTHROPIC.keys())
def test_anthropic_objects_get_their_result(
    settings: Settings, anthropic_client: anthropic.Anthropic, ledger_path: Path, ask: Any, inline: str | None
) -> None:
    _instrument(settings, inline)
    with track_context(user_id="alice", report="inline" if inline == "context" else None):
        answer = ask(anthropic_client)
    if inline:
        assert answer.xproxy_result.user_id == "alice"
    _assert_same(answer, result_of(answer, timeout=10), ledger_path)


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # on trio, the SDK leaves its own open
@pytest.mark.anyio
@Inline
@pytest.mark.parametrize("ask", ASYNC_OPENAI.values(), ids=ASYNC_OPENAI.keys())
async def test_async_openai_objects_get_their_result(
    settings: Settings, provider: Provider, ledger_path: Path, ask: Any, inline: str | None
) -> None:
    _instrument(settings, inline)
    async with (
        openai.AsyncOpenAI(base_url=provider.openai_url, api_key=KEY) as client,
        track_context(user_id="alice", report="inline" if inline == "context" else None),
    ):
        answer = await ask(client)
    if inline:
        assert answer.xproxy_result.user_id == "alice"
    result = await aresult_of(answer, timeout=10)
    await anyio.to_thread.run_sync(_assert_same, answer, result, ledger_path)


@pytest.mark.anyio
@Inline
@pytest.mark.parametrize("ask", ASYNC_ANTHROPIC.values(), ids=ASYNC_ANTHROPIC.keys())
async def test_async_anthropic_objects_get_their_result(
    settings: Settings, provider: Provider, ledger_path: Path, ask: Any, inline: str | None
) -> None:
    _instrument(settings, inline)
    async with (
        anthropic.AsyncAnthropic(base_url=provider.anthropic_url, api_key=KEY) as client,
        track_context(user_id="alice", report="inline" if inline == "context" else None),
    ):
        answer = await ask(client)
    if inline:
        assert answer.xproxy_result.user_id == "alice"
    result = await aresult_of(answer, timeout=10)
    await anyio.to_thread.run_sync(_assert_same, answer, result, ledger_path)


def test_the_result_of_a_raw_response_and_of_an_http_response_can_be_had(
    settings: Settings, openai_client: openai.OpenAI, ledger_path: Path
) -> None:
    instrument(settings)
    raw = openai_client.chat.completions.with_raw_response.create(**CHAT)
    result = result_of(raw, timeout=10)
    assert result_of(raw.http_response, timeout=0) is result
    assert only_report(ledger_path).request_id == result.request_id


def test_the_result_of_an_sdk_without_the_attribute_can_be_had_from_its_raw_response(
    settings: Settings, provider: Provider, ledger_path: Path
) -> None:
    instrument(settings)
    with groq.Groq(base_url=provider.groq_url, api_key=KEY) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="llama-3.1-8b-instant", messages=[{"role": "user", "content": "hello"}]
        )
        result = result_of(raw, timeout=10)
    assert result.request_id == only_report(ledger_path).request_id


def test_with_streaming_response_gets_its_result(
    settings: Settings, openai_client: openai.OpenAI, ledger_path: Path
) -> None:
    instrument(settings)
    with openai_client.chat.completions.with_streaming_response.create(**CHAT) as response:
        answer = response.parse()
    _assert_same(answer, result_of(answer, timeout=10), ledger_path)


def test_two_answers_have_two_results(settings: Settings, openai_client: openai.OpenAI) -> None:
    instrument(settings)
    answers = [openai_client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES) for _ in range(5)]
    assert flush(10)
    assert len({result_of(answer, timeout=0).request_id for answer in answers}) == 5


def test_an_sdk_imported_after_instrument_is_served(settings: Settings, openai_client: openai.OpenAI) -> None:
    instrument(settings)
    assert openai_client.chat.completions.create(**CHAT)
    # `openai` was imported before here; the hooks were set by the first call, not by `instrument()`.
    assert "xproxy_result" in vars(openai.Stream)
