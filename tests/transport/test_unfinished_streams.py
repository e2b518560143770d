"""A stream that the app does not read to its end is reported once, with what was seen of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import anthropic
import anyio
import openai
import pytest
import trio

from payi_middleware import Settings, instrument, result_of
from payi_middleware.demo.provider import Provider
from payi_middleware.service.accounts.records import RequestRecord
from tests.transport.calling import CHAT, KEY, MESSAGE, MESSAGES, STREAMED, delivered, only_report, reports, stand_in

ENDLESS = stand_in(endless=True)


@pytest.fixture(autouse=True)
def _instrumented(settings: Settings) -> None:
    instrument(settings)


def _assert_ended_early(report: RequestRecord, provider: Provider) -> None:
    assert report.provider_response_id == provider.requests[0].response_id
    assert report.http_status_code == 200
    assert "system.stream" in report.properties
    assert report.end_to_end_latency_ms is not None


def test_a_stream_closed_early_is_reported_once(provider: Provider, ledger_path: Path) -> None:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        with client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, extra_headers=ENDLESS
        ) as stream:
            next(stream)
        stream.close()
    _assert_ended_early(only_report(ledger_path), provider)
    assert delivered() == 1


def _fail_over(stream: object) -> None:
    raise ZeroDivisionError(f"the app's own bug over {next(iter(stream))}")  # type: ignore[call-overload]


def test_a_stream_left_by_an_exception_is_reported_once(provider: Provider, ledger_path: Path) -> None:
    with (
        anthropic.Anthropic(base_url=provider.anthropic_url, api_key=KEY) as client,
        pytest.raises(ZeroDivisionError, match="own"),
        client.messages.stream(**MESSAGE, extra_headers=ENDLESS) as stream,
    ):
        _fail_over(stream)
    report = only_report(ledger_path)
    _assert_ended_early(report, provider)
    assert report.input_tokens == 7  # Anthropic tells it at the start


def test_a_stream_that_was_never_read_is_reported_when_it_is_closed(
    library: Any, provider: Provider, ledger_path: Path
) -> None:
    with (
        library.Client() as client,
        client.stream("POST", f"{provider.openai_url}/chat/completions", json=STREAMED),
    ):
        assert len(provider.requests) == 1
    report = only_report(ledger_path)
    assert (report.http_status_code, "system.stream" in report.properties) == (200, True)


def test_a_forgotten_stream_is_reported_when_it_is_collected(provider: Provider, ledger_path: Path) -> None:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, extra_headers=ENDLESS
        )
        next(stream)
        del stream
        gc.collect()
        _assert_ended_early(only_report(ledger_path), provider)


def test_a_forgotten_response_is_reported_when_it_is_collected(
    library: Any, provider: Provider, ledger_path: Path
) -> None:
    with library.Client() as client:
        request = client.build_request("POST", f"{provider.openai_url}/chat/completions", json=STREAMED)
        response = client.send(request, stream=True)
        del response, request
        gc.collect()
        assert len(reports(ledger_path)) == 1


@pytest.mark.anyio
async def test_a_forgotten_async_stream_is_reported_when_it_is_collected(provider: Provider, ledger_path: Path) -> None:
    async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, extra_headers=ENDLESS
        )
        gone = weakref.ref(stream)
        del stream
        gc.collect()
        assert gone() is None
        await anyio.lowlevel.checkpoint()
        assert len(await anyio.to_thread.run_sync(reports, ledger_path)) == 1


def test_a_cancelled_asyncio_task_leaves_one_report(provider: Provider, ledger_path: Path) -> None:
    async def read(started: asyncio.Event) -> None:
        async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key=KEY) as client:
            async for _ in await client.chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES, stream=True, extra_headers=ENDLESS
            ):
                started.set()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(read(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    _assert_ended_early(only_report(ledger_path), provider)
    assert delivered() == 1


def test_a_cancelled_trio_scope_leaves_one_report(provider: Provider, ledger_path: Path) -> None:
    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.anthropic_url, api_key=KEY) as client:
            with trio.CancelScope() as scope:
                async with client.messages.stream(**MESSAGE, extra_headers=ENDLESS) as stream:
                    async for _ in stream:
                        scope.cancel()
            assert scope.cancelled_caught

    trio.run(main)
    _assert_ended_early(only_report(ledger_path), provider)
    assert delivered() == 1


@pytest.mark.anyio
async def test_a_call_cancelled_before_its_answer_is_reported_as_failed(
    library: Any, provider: Provider, ledger_path: Path
) -> None:
    async with library.AsyncClient() as client:

        async def call() -> None:
            await client.post(f"{provider.openai_url}/chat/completions", json=CHAT, headers=stand_in(latency=30))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            while not provider.requests:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    report = await anyio.to_thread.run_sync(only_report, ledger_path)
    assert report.http_status_code == 299
    assert report.properties["system.failure"] in ("CancelledError", "Cancelled")


def test_a_stream_that_ended_counts_once_although_it_is_closed_and_collected_later(
    provider: Provider, ledger_path: Path
) -> None:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        list(stream)
        result_of(stream)
        stream.close()
        del stream
        gc.collect()
    assert "system.stream" not in only_report(ledger_path).properties
    assert delivered() == 1
