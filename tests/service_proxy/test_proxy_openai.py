"""OpenAI's own SDK, with nothing changed but its base URL and its headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import openai
import pytest
from payi.lib.helpers import create_headers, payi_openai_url

from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger
from tests.transport.bedrock import Bedrock, Reply

from .serving import KEY, cost, headers
from .wires import CHAT_USAGE, DONE, chat_chunk

MODEL = "gpt-4o-mini"
HELLO: Any = [{"role": "user", "content": "I am user-17"}]
CHAT_COST = 3 * 0.15e-6 + 6 * 0.6e-6
"""Three words in and six out, at the price of gpt-4o-mini: https://openai.com/api/pricing"""


@pytest.fixture
def client(url: str, provider: Provider) -> Iterator[openai.OpenAI]:
    base, said = payi_openai_url(url), headers(provider.url)
    with openai.OpenAI(api_key="sk-1", base_url=base, default_headers=said, max_retries=0) as client:
        yield client


@pytest.fixture
def direct(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-1", base_url=provider.openai_url, max_retries=0) as client:
        yield client


def plain(told: Any) -> Any:
    """Return what an SDK's object says, but for ids and times, which differ from call to call, and our result."""
    said = told.to_dict()
    for name in ("id", "created", "created_at", "completed_at", "xproxy_result"):
        said.pop(name, None)
    return said


def test_a_chat_has_its_answer_and_its_result(client: openai.OpenAI, direct: openai.OpenAI, ledger: Ledger) -> None:
    said = create_headers(user_id="alice", use_case_name="support", request_properties={"route": "/chat"})
    completion: Any = client.chat.completions.create(model=MODEL, messages=HELLO, extra_headers=said)

    assert plain(completion) == plain(direct.chat.completions.create(model=MODEL, messages=HELLO))
    assert cost(completion.xproxy_result) == pytest.approx(CHAT_COST)
    (record,) = ledger.requests()
    assert completion.xproxy_result["request_id"] == record.request_id
    assert (record.user_id, record.use_case_name, record.category, record.resource) == (
        "alice",
        "support",
        "system.openai",
        MODEL,
    )
    assert record.properties["route"] == "/chat"
    assert record.provider_response_id == completion.id
    assert record.units == {"text": {"input": 3, "output": 6}}


def test_a_streamed_chat_has_its_result_in_the_last_chunk(
    client: openai.OpenAI, direct: openai.OpenAI, ledger: Ledger
) -> None:
    chunks: list[Any] = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    expected = list(direct.chat.completions.create(model=MODEL, messages=HELLO, stream=True))

    assert [chunk.choices for chunk in chunks] == [chunk.choices for chunk in expected]
    assert [hasattr(chunk, "xproxy_result") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert cost(chunks[-1].xproxy_result) == pytest.approx(CHAT_COST)
    (record,) = ledger.requests()
    assert record.provider_response_id == chunks[0].id
    assert record.time_to_first_completion_token_ms is not None


def test_a_caller_who_asks_for_the_usage_gets_it_with_the_result(client: openai.OpenAI, direct: openai.OpenAI) -> None:
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": HELLO,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    chunks: list[Any] = list(client.chat.completions.create(**asked))

    assert [plain(chunk) for chunk in chunks] == [plain(chunk) for chunk in direct.chat.completions.create(**asked)]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == 3
    assert cost(chunks[-1].xproxy_result) == pytest.approx(CHAT_COST)


def test_a_caller_who_declines_the_usage_is_charged_all_the_same(client: openai.OpenAI, provider: Provider) -> None:
    chunks: list[Any] = list(
        client.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": False}
        )
    )
    body = provider.requests[-1].body

    assert body is not None
    assert body["stream_options"] == {"include_usage": True}
    assert all(chunk.choices for chunk in chunks)
    assert cost(chunks[-1].xproxy_result) == pytest.approx(CHAT_COST)


def test_the_sdks_helper_for_streamed_chats_shows_the_result(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=HELLO) as stream:
        events: list[Any] = list(stream)
        text = stream.get_final_completion().choices[0].message.content

    assert text == "Stand-in answer to: I am user-17"
    results = [event.chunk.xproxy_result for event in events if hasattr(getattr(event, "chunk", None), "xproxy_result")]
    assert [cost(result) for result in results] == [pytest.approx(CHAT_COST)]


def test_several_choices_end_in_one_result(url: str, scripted: Bedrock) -> None:
    events = [
        chat_chunk({"content": "a"}, index=0),
        chat_chunk({"content": "b"}, index=1),
        chat_chunk({"content": ""}, "stop", index=0),
        chat_chunk({"content": "c"}, index=1),
        chat_chunk({"content": ""}, "stop", index=1),
        CHAT_USAGE,
        DONE,
    ]
    scripted.replies = [Reply(events, content_type="text/event-stream")]
    with openai.OpenAI(
        api_key="sk", base_url=payi_openai_url(url), default_headers=headers(scripted.url), max_retries=0
    ) as client:
        chunks: list[Any] = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, n=2))

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["a", "b", "", "c", ""]
    assert [hasattr(chunk, "xproxy_result") for chunk in chunks] == [False, False, False, False, True]
    assert cost(chunks[-1].xproxy_result) == pytest.approx(10 * 0.15e-6 + 5 * 0.6e-6)


def test_a_response_has_its_answer_and_its_result(client: openai.OpenAI, direct: openai.OpenAI) -> None:
    response: Any = client.responses.create(model=MODEL, input="I am user-17")
    expected = direct.responses.create(model=MODEL, input="I am user-17")

    assert response.output_text == expected.output_text
    assert response.usage == expected.usage
    assert cost(response.xproxy_result) == pytest.approx(CHAT_COST)


def test_a_streamed_response_has_its_result_in_the_last_event_and_in_the_response_in_it(client: openai.OpenAI) -> None:
    events: list[Any] = list(client.responses.create(model=MODEL, input="I am user-17", stream=True))

    assert events[-1].type == "response.completed"
    assert [event.type for event in events if hasattr(event, "xproxy_result")] == ["response.completed"]
    assert cost(events[-1].xproxy_result) == pytest.approx(CHAT_COST)
    assert events[-1].response.xproxy_result == events[-1].xproxy_result
    assert events[-1].response.output_text == "Stand-in answer to: I am user-17"


def test_the_sdks_helper_for_streamed_responses_shows_the_result(client: openai.OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="I am user-17") as stream:
        for _ in stream:
            pass
        response: Any = stream.get_final_response()

    assert response.output_text == "Stand-in answer to: I am user-17"
    assert cost(response.xproxy_result) == pytest.approx(CHAT_COST)


def test_embeddings_have_their_result(client: openai.OpenAI, ledger: Ledger) -> None:
    found: Any = client.embeddings.create(model="text-embedding-3-small", input=["some words", "three more words"])

    assert [item.embedding for item in found.data] == [[0.5, -0.25, 0.125]] * 2
    assert cost(found.xproxy_result) == pytest.approx(5 * 0.02e-6)
    (record,) = ledger.requests()
    assert str(record.provider_response_id).startswith("payi_")


def test_plain_completions_have_their_result(client: openai.OpenAI) -> None:
    whole: Any = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="I am user-17")
    chunks: list[Any] = list(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="I am", stream=True))

    assert cost(whole.xproxy_result) > 0
    assert chunks[-1].choices
    assert cost(chunks[-1].xproxy_result) > 0


def test_what_is_no_inference_passes_without_being_booked(client: openai.OpenAI, ledger: Ledger) -> None:
    models: Any = client.models.list()

    assert "gpt-4o" in [model.id for model in models.data]
    assert ledger.requests() == []


def test_an_answer_that_is_fetched_again_is_not_charged_again(client: openai.OpenAI, ledger: Ledger) -> None:
    created: Any = client.responses.create(model=MODEL, input="I am user-17")
    fetched: Any = client.responses.retrieve(created.id)

    assert fetched.output_text == created.output_text
    assert len(ledger.requests()) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_a_providers_error_stays_what_it_is(
    client: openai.OpenAI, direct: openai.OpenAI, ledger: Ledger, status: int, error: type[openai.APIStatusError]
) -> None:
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": HELLO,
        "extra_headers": {"x-stand-in": f'{{"status": {status}}}'},
    }
    with pytest.raises(error) as raised:
        client.chat.completions.create(**asked)
    with pytest.raises(error) as expected:
        direct.chat.completions.create(**asked)

    assert raised.value.body == expected.value.body
    body = raised.value.response.json()
    assert (body["statusCode"], body["xproxy_error"]["code"]) == (status, "provider_error")
    (record,) = ledger.requests()
    assert body["xproxy_result"]["request_id"] == record.request_id
    assert (record.failed, record.http_status_code, float(record.cost)) == (True, status, 0)


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_nothing_is_passed_on(url: str, provider: Provider, key: str) -> None:
    asked = len(provider.requests)
    said = {**headers(provider.url), "xProxy-api-key": key}
    with (
        openai.OpenAI(api_key="sk", base_url=payi_openai_url(url), default_headers=said, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        client.chat.completions.create(model=MODEL, messages=HELLO)

    assert raised.value.response.json()["xproxy_error"]["code"] == "invalid_api_key"
    assert len(provider.requests) == asked


async def _chatting(url: str, provider: str) -> list[Any]:
    said = headers(provider, user_id="bob")
    async with openai.AsyncOpenAI(
        api_key="sk", base_url=payi_openai_url(url), default_headers=said, max_retries=0
    ) as client:
        whole = await client.chat.completions.create(model=MODEL, messages=HELLO)
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        response = await client.responses.create(model=MODEL, input="I am user-17")
        events = [
            event async for event in await client.responses.create(model=MODEL, input="I am user-17", stream=True)
        ]
        embedding = await client.embeddings.create(model="text-embedding-3-small", input="some words")
    return [whole, chunks[-1], response, events[-1], embedding]


def test_the_async_sdk_is_served_alike(url: str, provider: Provider, ledger: Ledger) -> None:
    answers = anyio.run(_chatting, url, provider.url)

    expected = [CHAT_COST] * 4 + [2 * 0.02e-6]
    assert [cost(answer.xproxy_result) for answer in answers] == pytest.approx(expected)
    assert {record.user_id for record in ledger.requests()} == {"bob"}
    assert KEY not in str(ledger.requests())
