"""Azure OpenAI, whose requests name a deployment and not the model that is paid for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import openai
import pytest
from payi.lib.helpers import payi_azure_openai_url

from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger
from tests.transport.bedrock import Bedrock, Reply, whole

from .serving import cost, headers, service

HELLO: Any = [{"role": "user", "content": "I am user-17"}]
COMPLETION = {
    "id": "chatcmpl-azure-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
COST = 1000 * 0.15e-6 + 100 * 0.6e-6
USAGE = b'data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}\n\n'  # noqa: E501
STREAM = [
    b'data: {"id":"","object":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n',  # noqa: E501
    b'data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',  # noqa: E501
    USAGE,
    b"data: [DONE]\n\n",
]


@contextmanager
def azure(ledger: Ledger, base_uri: str, version: str = "2024-10-21", **said: str) -> Iterator[openai.AzureOpenAI]:
    with (
        service(ledger) as url,
        openai.AzureOpenAI(
            api_key="key-1",
            api_version=version,
            azure_endpoint=payi_azure_openai_url(url),
            default_headers=headers(base_uri, **said),
            max_retries=0,
        ) as client,
    ):
        yield client


def chat(client: openai.AzureOpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="my-deployment", messages=HELLO, **more)


def test_the_model_that_answered_is_what_is_paid_for(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [whole(COMPLETION)]
    with azure(ledger, scripted.url) as client:
        completion = chat(client)

    assert completion.choices[0].message.content == "Hello."
    assert cost(completion.xproxy_result) == pytest.approx(COST)
    path, sent, _ = scripted.asked[0]
    assert path == "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert sent["api-key"] == "key-1"
    (record,) = ledger.requests()
    assert (record.category, record.resource) == ("system.azureopenai", "gpt-4o-mini-2024-07-18")


@pytest.mark.parametrize("header", ["PriceAs_Resource", "RouteAs_Resource"])
def test_a_caller_can_say_what_it_is_priced_as(sqlite: Ledger, scripted: Bedrock, header: str) -> None:
    scripted.replies = [whole(COMPLETION)]
    with azure(sqlite, scripted.url, **{header: "gpt-4o"}) as client:
        completion = chat(client)

    assert cost(completion.xproxy_result) == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)
    assert [record.resource for record in sqlite.requests()] == ["gpt-4o"]


def test_the_category_can_be_said_too(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [whole(COMPLETION)]
    with azure(sqlite, scripted.url, PriceAs_Category="system.openai", PriceAs_Resource="gpt-4o") as client:
        chat(client)

    assert [(record.category, record.resource) for record in sqlite.requests()] == [("system.openai", "gpt-4o")]


@pytest.mark.parametrize(("version", "asked"), [("2024-02-01", False), ("2024-10-21", True)])
def test_only_versions_that_know_the_option_are_asked_for_the_usage(
    sqlite: Ledger, scripted: Bedrock, version: str, asked: bool
) -> None:
    scripted.replies = [Reply(STREAM, content_type="text/event-stream")]
    with azure(sqlite, scripted.url, version) as client:
        chunks = list(chat(client, stream=True))

    assert (b"include_usage" in scripted.asked[0][2]) is asked
    assert chunks[0].choices == []
    assert chunks[0].prompt_filter_results == [{"prompt_index": 0}]
    assert [chunk.usage is not None for chunk in chunks] == [False, False, False, *([] if asked else [True])]
    assert cost(chunks[-1].xproxy_result) == pytest.approx(COST)


def test_a_base_uri_is_needed(sqlite: Ledger) -> None:
    with azure(sqlite, "") as client, pytest.raises(openai.BadRequestError) as raised:
        chat(client)

    assert raised.value.response.json()["xproxy_error"]["code"] == "header_is_missing"
    assert sqlite.requests() == []


def test_the_async_sdk_and_responses_are_served_alike(sqlite: Ledger, provider: Provider) -> None:
    async def calling(url: str) -> list[Any]:
        async with openai.AsyncAzureOpenAI(
            api_key="key-1",
            api_version="2024-10-21",
            azure_endpoint=payi_azure_openai_url(url),
            default_headers=headers(provider.url),
            max_retries=0,
        ) as client:
            completion = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
            stream = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
            return [completion, [chunk async for chunk in stream][-1]]

    with service(sqlite) as url:
        answers = anyio.run(calling, url)

    assert [cost(answer.xproxy_result) for answer in answers] == pytest.approx([3 * 0.15e-6 + 6 * 0.6e-6] * 2)
    assert {record.category for record in sqlite.requests()} == {"system.azureopenai"}
