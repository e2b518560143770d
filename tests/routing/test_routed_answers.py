"""The same handler, unmodified, direct and through Pay-i: the same bytes for the app, and the result of the call."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import anyio.to_thread
import httpx
import openai
import pytest
from botocore.exceptions import ClientError
from fastapi import FastAPI

from payi_middleware import Settings, flush, get_context, instrument, result_of, track_context
from payi_middleware.fastapi import instrument_app
from payi_middleware.service.ledger import Ledger
from tests.routing.calling import BEDROCK, CALLS, COMPLETION, HELLO, INVOKED, asking, converse, invoke, plain
from tests.routing.calling import streamed as streamed_reply
from tests.service_proxy.test_proxy_bedrock import signature_holds
from tests.service_proxy.wires import CHAT
from tests.transport.bedrock import Bedrock, Reply

Routed = Callable[..., Settings]
OF_THE_CONNECTION = {"accept-encoding", "connection", "content-length", "authorization", "x-amz-date"}


def only_booking(ledger: Ledger) -> Any:
    (record,) = ledger.requests()
    return record


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", CALLS)
def test_the_app_gets_what_the_provider_has_sent_byte_for_byte(
    name: str, streamed: bool, routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    wire, call, body, stream = CALLS[name]
    scripted.replies = [stream if streamed else plain(body)]
    direct = call(scripted.url, stream=streamed)

    meter = instrument(routed(wire))
    with track_context(user_id="user-17", request_properties={"stadt": "K\u00f6ln"}):
        through_payi = call(scripted.url, stream=streamed)
        result = get_context()["last_result"]

    assert through_payi == direct == b"".join(scripted.replies[0].pieces)
    assert b"xproxy" not in through_payi
    assert meter.flush(10)
    record = only_booking(ledger)
    assert (record.user_id, record.properties["stadt"]) == ("user-17", "K\u00f6ln")
    assert result is not None
    assert result.request_id == record.request_id


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", CALLS)
def test_the_provider_gets_the_same_request_and_nothing_of_pay_i(
    name: str, streamed: bool, routed: Routed, scripted: Bedrock
) -> None:
    wire, call, body, stream = CALLS[name]
    scripted.replies = [stream if streamed else plain(body)]
    call(scripted.url, stream=streamed)
    instrument(routed(wire))
    call(scripted.url, stream=streamed)

    (path, headers, sent), (routed_path, routed_headers, routed_sent) = scripted.asked
    assert routed_path == path
    assert {name: value for name, value in routed_headers.items() if name not in OF_THE_CONNECTION} == {
        name: value for name, value in headers.items() if name not in OF_THE_CONNECTION
    }
    if "AWS4" in routed_headers.get("authorization", ""):
        assert signature_holds(routed_path, routed_headers, routed_sent)
    else:
        assert routed_headers.get("authorization") == headers.get("authorization")
    assert not [name for name in routed_headers if "payi" in name or "xproxy" in name]
    assert routed_sent == sent


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "anthropic"])
def test_the_result_stays_in_the_answer_if_the_app_wants_it_there(
    name: str, routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    wire, call, body, stream = CALLS[name]
    instrument(routed(wire, keep_xproxy_result=True))
    scripted.replies = [plain(body)]
    told = json.loads(call(scripted.url))["xproxy_result"]["request_id"]
    assert told == only_booking(ledger).request_id

    scripted.replies = [stream]
    assert b'"xproxy_result":{' in call(scripted.url, stream=True)


def test_a_stream_is_asked_for_its_usage_by_the_proxy_and_the_app_does_not_see_that(
    routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    scripted.replies = [streamed_reply(CHAT.events)]
    instrument(routed("openai"))
    with openai.OpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client:
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
        chunks = list(stream)

    assert [len(chunk.choices) for chunk in chunks] == [1] * (len(CHAT.events) - 2)
    assert json.loads(scripted.asked[0][2])["stream_options"] == {"include_usage": True}
    assert only_booking(ledger).units["text"]["output"] == 5
    assert result_of(stream).request_id == only_booking(ledger).request_id


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_async_clients_get_the_same(streamed: bool, routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    scripted.replies = [streamed_reply(CHAT.events) if streamed else plain(COMPLETION)]
    instrument(routed("openai"))
    async with (
        openai.AsyncOpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client,
        client.chat.completions.with_streaming_response.create(
            model="gpt-4o-mini", messages=HELLO, **asking(streamed)
        ) as response,
    ):
        assert b"".join([chunk async for chunk in response.iter_bytes()]) == b"".join(scripted.replies[0].pieces)
    assert result_of(response.http_response).request_id == only_booking(ledger).request_id


def test_the_sdk_s_own_object_has_the_result(routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    scripted.replies = [plain(COMPLETION)]
    instrument(routed("openai"))
    with openai.OpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client:
        completion: Any = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    assert completion.xproxy_result.request_id == only_booking(ledger).request_id
    assert completion.model_extra == {}


@pytest.mark.parametrize("name", ["openai-chat", "anthropic"])
def test_an_error_of_the_provider_s_stays_its_own(name: str, routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    error = b'{"error": {"message": "Slow down", "type": "requests"}, "message": "Slow down"}\n'
    wire, call, _, _ = CALLS[name]
    scripted.replies = [plain(error, status=429)]
    instrument(routed(wire))
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)) as caught:
        call(scripted.url)

    raised: Any = caught.value
    assert raised.response.content == error
    assert only_booking(ledger).http_status_code == 429


@pytest.mark.parametrize("form", ["plain", "streamed"])
@pytest.mark.parametrize(("call", "replies"), [(converse, BEDROCK), (invoke, INVOKED)], ids=["converse", "invoke"])
def test_boto3_gets_the_same_answer(
    call: Any, replies: Any, form: str, routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    scripted.replies = [replies[form]]
    direct = call(scripted, stream=form == "streamed")
    instrument(routed("bedrock"))
    with track_context(user_id="user-17"):
        assert call(scripted, stream=form == "streamed") == direct
        assert get_context()["last_result"].request_id == only_booking(ledger).request_id

    (_, _, _), (path, headers, body) = scripted.asked
    assert not [name for name in headers if name.startswith("xproxy")]
    assert signature_holds(path, headers, body)


def test_an_error_of_bedrock_s_is_boto3_s_own(routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    scripted.replies = [
        Reply([b'{"message":"Slow down"}'], 429, "application/json", {"x-amzn-errortype": "ThrottlingException"}, False)
    ]
    instrument(routed("bedrock"))
    with pytest.raises(ClientError) as raised:
        converse(scripted)

    assert raised.value.response["Error"] == {"Message": "Slow down", "Code": "ThrottlingException"}
    assert only_booking(ledger).http_status_code == 429


def test_a_refusal_is_boto3_s_own_error(routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    ledger.create_limit(limit_name="l", limit_id="hard", max=0.0000001, limit_type="block")
    scripted.replies = [INVOKED["plain"]]
    instrument(routed("bedrock", limits="off", limit_ids=["hard"]))
    invoke(scripted)
    with pytest.raises(ClientError) as raised:
        invoke(scripted)

    assert raised.value.response["Error"]["Code"] == "limit_reached"
    assert len(scripted.asked) == 1


@pytest.mark.anyio
async def test_an_identity_that_is_not_known_yet_is_not_lost(
    routed: Routed, scripted: Bedrock, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.replies = [plain(COMPLETION)]
    app = FastAPI()

    @app.get("/")
    async def handler() -> str:  # blocks the event loop, so that an async source cannot be asked before the call
        with openai.OpenAI(api_key="key", base_url=f"{scripted.url}/v1", max_retries=0) as client:
            return client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).id

    async def who(request: Any) -> dict[str, Any]:
        return {"user_id": "user-17"}

    instrument_app(app, settings=routed("openai"), identity=[who])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as caller:
        assert (await caller.get("/")).json() == "chatcmpl-1"

    assert await anyio.to_thread.run_sync(flush, 10)
    assert [record.user_id for record in ledger.requests()] == ["user-17"]
    assert "not known yet" in caplog.text
