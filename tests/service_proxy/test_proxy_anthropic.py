"""Anthropic's own SDK, at Anthropic and at Azure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import anyio
import pytest
from payi.lib.helpers import payi_anthropic_url, payi_azure_anthropic_url

from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger

from .serving import cost, headers, service

MODEL = "claude-3-haiku-20240307"
HELLO: Any = [{"role": "user", "content": "I am user-17"}]
ANSWER = "Stand-in answer to: I am user-17"
MESSAGE_COST = 3 * 0.25e-6 + 6 * 1.25e-6

pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")


@pytest.fixture
def client(url: str, provider: Provider) -> Iterator[anthropic.Anthropic]:
    said = headers(provider.url, user_id="alice")
    with anthropic.Anthropic(
        api_key="sk-1", base_url=payi_anthropic_url(url), default_headers=said, max_retries=0
    ) as client:
        yield client


def asked(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 50, "messages": HELLO, **more}


def test_a_message_has_its_answer_and_its_result(client: anthropic.Anthropic, ledger: Ledger) -> None:
    message: Any = client.messages.create(**asked())

    assert message.content[0].text == ANSWER
    assert cost(message.xproxy_result) == pytest.approx(MESSAGE_COST)
    (record,) = ledger.requests()
    assert (record.user_id, record.category, record.resource) == ("alice", "system.anthropic", MODEL)
    assert record.provider_response_id == message.id


def test_a_streamed_message_has_its_result_in_its_last_event(client: anthropic.Anthropic, ledger: Ledger) -> None:
    events: list[Any] = list(client.messages.create(**asked(stream=True)))

    with_result = [event.type for event in events if hasattr(event, "xproxy_result")]
    assert events[-1].type == "message_stop"
    assert with_result == ["message_delta", "message_stop"]
    assert cost(events[-1].xproxy_result) == pytest.approx(MESSAGE_COST)
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == ANSWER
    (record,) = ledger.requests()
    assert record.units == {"text": {"input": 3, "output": 6}}


def test_the_sdks_stream_helper_shows_the_result(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**asked()) as stream:
        events: list[Any] = list(stream)
        message = stream.get_final_message()

    assert message.content[0].type == "text"
    assert message.content[0].text == ANSWER
    results = [event.xproxy_result for event in events if hasattr(event, "xproxy_result")]
    assert [cost(result) for result in results] == [pytest.approx(MESSAGE_COST)]


def test_counting_tokens_is_no_inference(client: anthropic.Anthropic, ledger: Ledger) -> None:
    assert client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens == 3
    assert ledger.requests() == []


def test_an_overloaded_provider_says_so_itself(client: anthropic.Anthropic, ledger: Ledger) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**asked(extra_headers={"x-stand-in": '{"status": 529}'}))

    body: Any = raised.value.body
    assert raised.value.status_code == 529
    assert body["error"]["type"] == "overloaded_error"
    assert body["xproxy_error"]["code"] == "provider_error"
    assert [record.failed for record in ledger.requests()] == [True]


def test_the_async_sdk_is_served_alike(sqlite: Ledger, provider: Provider) -> None:
    async def calling(url: str) -> list[Any]:
        async with anthropic.AsyncAnthropic(
            api_key="sk-1", base_url=payi_anthropic_url(url), default_headers=headers(provider.url), max_retries=0
        ) as client:
            message = await client.messages.create(**asked())
            events = [event async for event in await client.messages.create(**asked(stream=True))]
        return [message, events[-1]]

    with service(sqlite) as url:
        answers = anyio.run(calling, url)

    assert [cost(answer.xproxy_result) for answer in answers] == pytest.approx([MESSAGE_COST] * 2)


def test_claude_at_azure_is_booked_as_azures(sqlite: Ledger, provider: Provider) -> None:
    with (
        service(sqlite) as url,
        anthropic.Anthropic(
            api_key="key-1",
            base_url=payi_azure_anthropic_url(url),
            default_headers=headers(provider.url, PriceAs_Resource="claude-3-haiku-20240307"),
            max_retries=0,
        ) as client,
    ):
        message: Any = client.messages.create(**asked(model="my-deployment"))
        events: list[Any] = list(client.messages.create(**asked(model="my-deployment", stream=True)))

    assert message.content[0].text == ANSWER
    assert events[-1].xproxy_result["request_id"]
    assert {(record.category, record.resource) for record in sqlite.requests()} == {("system.azure", MODEL)}
