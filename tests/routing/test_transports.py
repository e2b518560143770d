"""The client's own transports carry routed calls: by hand, in process, and over aiohttp."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import httpx
import httpx2
import openai
import pytest

from payi_middleware import PayiTransport, Settings, instrument, result_of
from payi_middleware.service.ledger import Ledger
from tests.routing.calling import COMPLETION, HELLO, plain
from tests.transport.bedrock import Bedrock

Routed = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _answers(scripted: Bedrock) -> None:
    scripted.replies = [plain(COMPLETION)]


@pytest.mark.anyio
async def test_calls_over_aiohttp_are_routed_once(routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    instrument(routed("openai"))
    async with openai.AsyncOpenAI(
        api_key="key", base_url=f"{scripted.url}/v1", max_retries=0, http_client=openai.DefaultAioHttpClient()
    ) as client:
        completion = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    assert result_of(completion).request_id == ledger.requests()[0].request_id
    assert len(scripted.asked) == len(ledger.requests()) == 1


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_transport_that_was_wrapped_by_hand_routes_calls(
    library: ModuleType, routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    instrument(routed("openai"))
    body = {"model": "gpt-4o-mini", "messages": HELLO}
    with library.Client(transport=PayiTransport(library.HTTPTransport())) as client:
        response = client.post(f"{scripted.url}/v1/chat/completions", json=body)

    assert response.content == COMPLETION
    assert response.headers["content-length"] == str(len(COMPLETION))
    assert str(response.url) == f"{scripted.url}/v1/chat/completions"
    assert not [name for name in response.headers if name.startswith("x-payi")]
    assert result_of(response).request_id == ledger.requests()[0].request_id


def test_a_transport_mounted_for_pay_i_s_host_is_the_one_that_is_used(routed: Routed, scripted: Bedrock) -> None:
    asked: list[httpx.Request] = []

    def payi(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"id": "chatcmpl-9", "xproxy_result": {"request_id": "r-1"}})

    settings = routed("openai", base_url="http://payi.internal/prefix", journal="off", shutdown_timeout=0)
    instrument(settings)
    with httpx.Client(mounts={"http://payi.internal": httpx.MockTransport(payi)}) as client:
        response = client.post(f"{scripted.url}/v1/chat/completions", json={"model": "m", "messages": HELLO})

    assert response.content == b'{"id":"chatcmpl-9"}'
    assert result_of(response, timeout=0).request_id == "r-1"
    assert str(asked[0].url) == "http://payi.internal/prefix/api/v1/proxy/openai/v1/chat/completions"
    assert asked[0].headers["host"] == "payi.internal"
    assert scripted.asked == []
