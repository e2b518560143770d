"""Each attempt that reaches a provider is one report; what the app gets of it is as without us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import groq
import openai
import pytest

from payi_middleware import Settings, instrument, uninstrument
from payi_middleware.demo.provider import Behaviour, Provider
from payi_middleware.metering import CALL_EXTENSION
from tests.transport.calling import CHAT, COMPLETION, KEY, MESSAGE, MESSAGES, PROMPT, only_report, reports, stand_in
from tests.transport.serving import unused_port

URL = "https://llm.example/v1/chat/completions"


def test_calls_of_three_sdks_on_two_libraries_are_reported(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as first:
        first.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    with anthropic.Anthropic(base_url=provider.anthropic_url, api_key=KEY) as second:
        second.messages.create(**MESSAGE)
    with groq.Groq(base_url=provider.groq_url, api_key=KEY) as third:
        third.chat.completions.create(model="llama-3.1-8b-instant", messages=[{"role": "user", "content": PROMPT}])
    assert [report.provider_response_id for report in reports(ledger_path)] == [
        request.response_id for request in provider.requests
    ]


def test_a_redirect_is_not_counted_and_the_hop_after_it_is(library: Any, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)

    def answer(request: Any) -> Any:
        if request.url.host == "llm.example":
            return library.Response(307, headers={"location": "https://eu.llm.example/v1/chat/completions"})
        return library.Response(200, json=COMPLETION)

    with library.Client(transport=library.MockTransport(answer), follow_redirects=True) as client:
        response = client.post(URL, json=CHAT)
    assert [hop.status_code for hop in response.history] == [307]
    assert CALL_EXTENSION not in response.history[0].extensions
    assert only_report(ledger_path).http_status_code == 200


def test_a_retry_of_the_sdk_is_a_report_of_its_own(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    provider.behaviour = Behaviour(status=429, retry_after=0)
    try:
        hooks = {"response": [lambda response: setattr(provider, "behaviour", Behaviour())]}
        http_client = openai.DefaultHttpxClient(event_hooks=hooks)
        with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, http_client=http_client) as client:
            answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    finally:
        provider.behaviour = Behaviour()
    failed, succeeded = reports(ledger_path)
    assert (failed.http_status_code, failed.failed, float(failed.cost)) == (429, True, 0.0)
    assert (succeeded.http_status_code, succeeded.failed) == (200, False)
    assert succeeded.provider_response_id == answer.id


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_answer_is_reported_with_its_status(
    provider: Provider, settings: Settings, ledger_path: Path, status: int, stream: bool
) -> None:
    instrument(settings)
    with (
        openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as raised,
    ):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=stream, extra_headers=stand_in(status=status)
        )
    assert raised.value.status_code == status
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed, float(report.cost)) == (status, True, 0.0)
    assert report.properties["system.failure"]


def test_a_refused_connection_is_reported_as_299_with_the_errors_name(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with unused_port() as port, library.Client() as client, pytest.raises(library.ConnectError):
        client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=CHAT)
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed) == (299, True)
    assert report.properties["system.failure"] == "ConnectError"


@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_connection_is_reported_as_299_with_the_errors_name(
    provider: Provider, settings: Settings, ledger_path: Path, stream: bool
) -> None:
    instrument(settings)
    with (
        openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client,
        pytest.raises(Exception, match=r"peer closed|Connection error"),
    ):
        list(
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=MESSAGES,
                stream=stream,
                extra_headers=stand_in(reset_after=2),
            )
        )
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed) == (299, True)
    assert report.properties["system.failure"] == "RemoteProtocolError"


def test_a_timeout_is_reported_as_299_with_the_errors_name(
    library: Any, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with library.Client(timeout=0.05) as client, pytest.raises(library.ReadTimeout):
        client.post(f"{provider.openai_url}/chat/completions", json=CHAT, headers=stand_in(latency=30))
    assert only_report(ledger_path).properties["system.failure"] == "ReadTimeout"


def _frames(error: BaseException) -> list[str]:
    """Name the functions that an exception passed through, without ours."""
    names, step = [], error.__traceback__
    while step is not None:
        if "payi_middleware" not in step.tb_frame.f_code.co_filename:
            names.append(step.tb_frame.f_code.co_name)
        step = step.tb_next
    return names


def test_an_exception_of_the_transport_reaches_the_app_untouched(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    error = library.ConnectError("no route")

    def fail(request: Any) -> Any:
        raise error

    def call() -> BaseException:
        with (
            library.Client(transport=library.MockTransport(fail)) as client,
            pytest.raises(library.ConnectError) as raised,
        ):
            client.post(URL, json=CHAT)
        error_seen: BaseException = raised.value
        return error_seen

    instrument(settings)
    metered = call()
    assert metered is error
    assert (metered.__cause__, metered.__context__) == (None, None)
    frames = _frames(metered)
    uninstrument()
    error.__traceback__ = None
    assert frames == _frames(call())
    assert only_report(ledger_path).properties["system.failure"] == "ConnectError"


@pytest.mark.anyio
async def test_an_exception_of_an_async_transport_reaches_the_app_untouched(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    error = RuntimeError("a bug in the app's own transport")

    async def fail(request: Any) -> Any:
        raise error

    async with library.AsyncClient(transport=library.MockTransport(fail)) as client:
        with pytest.raises(RuntimeError) as raised:
            await client.post(URL, json=CHAT)
    assert raised.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert only_report(ledger_path).properties["system.failure"] == "RuntimeError"


def test_an_exception_in_the_middle_of_a_stream_reaches_the_app_untouched(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    error = library.ReadError("gone")

    class Broken(library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Any:
            yield b'data: {"id": "chatcmpl-9", "choices": []}\n\n'
            raise error

    def answer(request: Any) -> Any:
        return library.Response(200, headers={"content-type": "text/event-stream"}, stream=Broken())

    with (
        library.Client(transport=library.MockTransport(answer)) as client,
        client.stream("POST", URL, json=CHAT) as response,
        pytest.raises(library.ReadError) as raised,
    ):
        list(response.iter_raw())
    assert raised.value is error
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.http_status_code) == ("chatcmpl-9", 299)
    assert report.properties["system.failure"] == "ReadError"
