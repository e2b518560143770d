"""Pay-i away: before a call, in the middle of it and after it, with each policy. Nothing is paid twice unseen."""

from __future__ import annotations

import gzip
import io
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import openai
import pytest
from botocore.exceptions import EndpointConnectionError

from payi_middleware import Settings, flush, instrument, result_of, track_context
from payi_middleware.service.app import create_app
from payi_middleware.service.ledger import Ledger
from tests.routing.calling import BEDROCK, COMPLETION, HELLO, asking, chat, converse, plain, streamed
from tests.service_proxy.serving import KEY, service
from tests.service_proxy.upstreams import SSE, Line, chunked, wire
from tests.service_proxy.wires import CHAT
from tests.transport.bedrock import Bedrock
from tests.transport.serving import serve, unused_port

Routed = Callable[..., Settings]
AWAY = pytest.mark.parametrize(
    ("policy", "direct"), [(None, True), ("direct", True), ("fail", False)], ids=["default", "direct", "fail"]
)

ALONE: dict[str, Any] = {"limits": "off", "journal": "off", "shutdown_timeout": 0}
"""Settings of an app that asks Pay-i for nothing but its call, and leaves nothing behind."""


@pytest.fixture(autouse=True)
def _answers(scripted: Bedrock) -> None:
    scripted.replies = [plain(COMPLETION)]


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens."""
    with unused_port() as port:
        yield f"http://127.0.0.1:{port}"


def ask(url: str, **more: Any) -> Any:
    with openai.OpenAI(api_key="key", base_url=f"{url}/v1", max_retries=0) as client:
        return client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, **more)


@AWAY
def test_before_a_call_the_policy_decides(
    policy: Any, direct: bool, routed: Routed, scripted: Bedrock, nowhere: str
) -> None:
    instrument(routed("openai", base_url=nowhere, on_proxy_failure=policy, shutdown_timeout=0))
    for _ in range(3):  # the later ones meet the circuit breaker
        if direct:
            assert ask(scripted.url).id == "chatcmpl-1"
        else:
            with pytest.raises(openai.APIConnectionError):
                ask(scripted.url)

    assert len(scripted.asked) == (3 if direct else 0)


@pytest.mark.anyio
@AWAY
async def test_before_a_call_the_policy_decides_in_async_code(
    policy: Any, direct: bool, routed: Routed, scripted: Bedrock, nowhere: str
) -> None:
    instrument(routed("openai", base_url=nowhere, on_proxy_failure=policy, shutdown_timeout=0))
    async with openai.AsyncOpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client:
        if direct:
            assert (await client.chat.completions.create(model="m", messages=HELLO)).id == "chatcmpl-1"
        else:
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(model="m", messages=HELLO)


@AWAY
def test_before_a_call_the_policy_decides_for_boto3(
    policy: Any, direct: bool, routed: Routed, scripted: Bedrock, nowhere: str
) -> None:
    scripted.replies = [BEDROCK["plain"]]
    instrument(routed("bedrock", base_url=nowhere, on_proxy_failure=policy, shutdown_timeout=0))
    for _ in range(2):
        if direct:
            assert converse(scripted)["stopReason"] == "end_turn"
        else:
            with pytest.raises(EndpointConnectionError):
                converse(scripted)


def test_calls_with_a_block_limit_fail_and_others_are_made_unless_the_app_says_otherwise(
    routed: Routed, scripted: Bedrock, ledger: Ledger, new_limit: Callable[..., str]
) -> None:
    new_limit("1", "hard")
    new_limit("1", "soft", limit_type="allow")
    with service(ledger) as url:
        instrument(routed("openai", base_url=url))
        for limit_id in ("hard", "soft"):
            with track_context(limit_ids=[limit_id]):
                ask(scripted.url)
    scripted.asked.clear()
    with track_context(limit_ids=["soft"]):
        ask(scripted.url)
    with track_context(limit_ids=["hard"]), pytest.raises(openai.APIConnectionError):
        ask(scripted.url)

    assert len(scripted.asked) == 1


def test_what_was_called_directly_is_reported_when_pay_i_is_back(
    routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    meter = instrument(routed("openai", base_url=f"http://127.0.0.1:{port}", user_id="user-17"))
    completion = ask(scripted.url)
    assert not meter.flush(0.1)

    with serve(create_app(ledger, api_key=KEY), port=port):
        assert result_of(completion, timeout=30).request_id
    assert [record.user_id for record in ledger.requests()] == ["user-17"]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_error_of_what_stands_before_pay_i_reaches_the_app_as_nobody_knows_whether_the_call_was_made(
    status: int, routed: Routed, scripted: Bedrock
) -> None:
    def act(line: Line) -> None:
        line.send(b"HTTP/1.1 %d Away\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\nAway" % status)

    with wire(act) as balancer:
        instrument(
            routed(
                "openai",
                base_url=balancer.url,
                on_proxy_failure="direct",
                limits="off",
                journal="off",
                shutdown_timeout=0,
            )
        )
        with pytest.raises(openai.InternalServerError) as raised:
            ask(scripted.url)

    assert raised.value.response.text == "Away"
    assert scripted.asked == []


@pytest.mark.parametrize(
    ("status", "code"), [(503, "unexpected_error"), (401, "invalid_api_key"), (400, "invalid_provider_host")]
)
@AWAY
def test_a_refusal_of_pay_i_s_own_that_came_before_the_call_counts_as_away(
    policy: Any, direct: bool, status: int, code: str, routed: Routed, scripted: Bedrock
) -> None:
    body = b'{"statusCode":%d,"message":"no","xproxy_error":{"code":"%s","message":"no"}}' % (status, code.encode())

    def act(line: Line) -> None:
        head = b"HTTP/1.1 %d No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        line.send(head + body)

    with wire(act) as payi:
        instrument(
            routed(
                "openai", base_url=payi.url, on_proxy_failure=policy, limits="off", journal="off", shutdown_timeout=0
            )
        )
        if direct:
            assert ask(scripted.url).id == "chatcmpl-1"
        else:
            with pytest.raises(openai.APIStatusError) as raised:
                ask(scripted.url)
            assert raised.value.response.content == body

    assert len(scripted.asked) == direct


def test_a_provider_that_pay_i_cannot_reach_is_not_called_again_directly(
    routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    def leave(line: Line) -> None:
        """Close the connection without an answer."""

    with wire(leave) as provider:
        host = provider.url.removeprefix("http://")
        instrument(routed("openai").model_copy(update={"providers": {host: ("openai", None)}}))
        with pytest.raises(openai.InternalServerError) as raised:
            ask(provider.url)

    assert raised.value.response.json()["xproxy_error"]["code"] == "provider_error"
    assert len(provider.asked) == 1
    assert flush(10)
    assert len(ledger.requests()) == 1


@pytest.mark.parametrize("policy", ["direct", "fail"])
def test_in_the_middle_of_a_stream_the_app_sees_it_break_off_and_what_came_is_reported_once(
    policy: str, routed: Routed, scripted: Bedrock, ledger: Ledger, service_url: str
) -> None:
    def die(line: Line) -> None:
        if line.head.startswith(b"POST /api/v1/proxy/"):
            line.send(SSE + chunked(b"".join(CHAT.events[:3])) + b"5\r\n")
            return
        with socket.create_connection(("127.0.0.1", int(service_url.rpartition(":")[2]))) as real:
            real.sendall(line.head.replace(b"keep-alive", b"close") + b"\r\n\r\n" + line.body)
            while data := real.recv(65_536):
                line.send(data)

    with wire(die) as payi:
        meter = instrument(routed("openai", base_url=payi.url, on_proxy_failure=policy))
        seen: list[Any] = []
        with (
            openai.OpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client,
            client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, **asking(stream=True)) as stream,
            pytest.raises(openai.APIConnectionError),
        ):
            seen.extend(stream)
        assert len(seen) == 3
        assert meter.flush(20)

    assert scripted.asked == []  # nothing is paid twice
    (record,) = ledger.requests()
    assert record.provider_response_id == "c1"
    assert record.properties["system.failure"] == "RemoteProtocolError"


def test_in_the_middle_of_a_plain_answer_the_app_sees_it_break_off(routed: Routed, scripted: Bedrock) -> None:
    def die(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")

    with wire(die) as payi:
        instrument(
            routed(
                "openai", base_url=payi.url, on_proxy_failure="direct", limits="off", journal="off", shutdown_timeout=0
            )
        )
        with pytest.raises(openai.APIConnectionError):
            ask(scripted.url)

    assert scripted.asked == []


def test_after_the_answer_nothing_is_left_to_do(routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    with service(ledger) as url:
        meter = instrument(routed("openai", base_url=url))
        completion = ask(scripted.url)

    assert result_of(completion, timeout=0).request_id == ledger.requests()[0].request_id
    assert meter.flush(0.5)
    assert meter.stats()["queued"] == 0


def test_a_stream_that_the_app_leaves_is_the_proxy_s_to_book(routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    scripted.replies = [streamed(CHAT.events)]
    meter = instrument(routed("openai"))
    with (
        openai.OpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client,
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True) as stream,
    ):
        next(iter(stream))

    assert meter.flush(10)
    assert meter.stats()["delivered"] == 0


def test_clients_that_cannot_be_routed_go_directly_with_a_warning(
    routed: Routed, scripted: Bedrock, caplog: pytest.LogCaptureFixture
) -> None:
    import requests

    instrument(routed("openai"))
    body = {"model": "gpt-4o-mini", "messages": HELLO}
    assert requests.post(f"{scripted.url}/v1/chat/completions", json=body, timeout=10).json()["id"] == "chatcmpl-1"

    assert "cannot be routed" in caplog.text


@pytest.mark.anyio
async def test_a_call_that_its_app_cancels_is_the_proxy_s_to_book(routed: Routed, ledger: Ledger) -> None:
    asked = anyio.Event()
    token = anyio.lowlevel.current_token()

    def wait(line: Line) -> None:
        anyio.from_thread.run_sync(asked.set, token=token)
        line.wait_until_closed()

    with wire(wait) as provider:
        settings = routed("openai")
        host = provider.url.removeprefix("http://")
        meter = instrument(settings.model_copy(update={"providers": {host: ("openai", None)}}))
        async with (
            openai.AsyncOpenAI(api_key="key", base_url=f"{provider.url}/v1", max_retries=0) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(partial(client.chat.completions.create, model="gpt-4o-mini", messages=HELLO))
            await asked.wait()
            group.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(meter.flush, 10)

    assert meter.stats()["delivered"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_answer_that_something_before_pay_i_has_compressed_is_decoded(
    stream: bool, routed: Routed, scripted: Bedrock
) -> None:
    body = b"".join(CHAT.events) if stream else COMPLETION
    kind = b"text/event-stream" if stream else b"application/json"

    def compress(line: Line) -> None:
        packed = gzip.compress(body)
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
        line.send(head % (kind, len(packed)) + packed)

    with wire(compress) as payi:
        instrument(routed("openai", base_url=payi.url, **ALONE))
        assert chat(scripted.url, stream=stream) == body


@pytest.mark.parametrize("away", [False, True], ids=["routed", "direct"])
def test_an_upload_is_sent_to_either(
    away: bool, routed: Routed, scripted: Bedrock, nowhere: str, service_url: str
) -> None:
    scripted.replies = [plain(b'{"text":"Hello","usage":{"type":"duration","seconds":3}}')]
    instrument(routed("openai", base_url=nowhere if away else service_url, shutdown_timeout=0))
    with openai.OpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client:
        file = ("a.wav", io.BytesIO(b"RIFF" * 1000))
        assert client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file).text == "Hello"

    assert scripted.asked[0][2].count(b"RIFF") == 1000
