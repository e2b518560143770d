"""The stand-in provider, read by the providers' own SDKs."""

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import anthropic
import anyio
import groq
import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from pydantic import ValidationError

from payi_middleware.demo.provider import HEADER, Behaviour, Provider, create_app

HELLO: Any = [{"role": "user", "content": "I am user-17"}]
ANSWER = "Stand-in answer to: I am user-17"
WORDS_IN, WORDS_OUT = 3, 6


@pytest.fixture(name="provider", scope="module")
def _provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(name="openai_client", scope="module")
def _openai_client(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=provider.openai_url, max_retries=0) as client:
        yield client


@pytest.fixture(name="anthropic_client", scope="module")
def _anthropic_client(provider: Provider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="k", base_url=provider.anthropic_url, max_retries=0) as client:
        yield client


def behave(**fields: Any) -> dict[str, str]:
    return {HEADER: json.dumps(fields)}


def chat(client: openai.OpenAI, **fields: Any) -> ChatCompletion:
    return client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, extra_headers=behave(**fields))


def chat_chunks(client: openai.OpenAI, *, usage: bool = False, **fields: Any) -> Iterator[ChatCompletionChunk]:
    with client.chat.completions.create(
        model="gpt-4o-mini",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": usage},
        extra_headers=behave(**fields),
    ) as stream:
        yield from stream


def test_a_chat_completion_is_valid_and_counts_words_as_tokens(openai_client: openai.OpenAI) -> None:
    answer = chat(openai_client)
    ChatCompletion.model_validate(answer.to_dict())
    assert answer.usage is not None
    assert answer.choices[0].message.content == ANSWER
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (WORDS_IN, WORDS_OUT)


def test_a_model_answers_with_its_dated_name(openai_client: openai.OpenAI) -> None:
    assert chat(openai_client).model == "gpt-4o-mini-2024-07-18"


def test_what_was_asked_is_recorded_under_the_id_that_was_answered(
    provider: Provider, openai_client: openai.OpenAI
) -> None:
    answer = chat(openai_client)
    recorded = next(request for request in provider.requests if request.response_id == answer.id)
    assert recorded.body is not None
    assert (recorded.method, recorded.path) == ("POST", "/v1/chat/completions")
    assert recorded.body["messages"] == HELLO
    assert recorded.headers["authorization"] == "Bearer k"


def test_a_streamed_chat_completion_carries_usage_only_when_asked(openai_client: openai.OpenAI) -> None:
    bare, with_usage = list(chat_chunks(openai_client)), list(chat_chunks(openai_client, usage=True))
    for chunk in bare + with_usage:
        ChatCompletionChunk.model_validate(chunk.to_dict())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in bare) == ANSWER
    assert all(chunk.usage is None for chunk in bare)
    assert all(chunk.usage is None for chunk in with_usage[:-1])
    last = with_usage[-1]
    assert last.usage is not None
    assert (last.choices, last.usage.completion_tokens) == ([], WORDS_OUT)


def test_a_chat_completion_breaks_down_cached_and_reasoning_tokens(openai_client: openai.OpenAI) -> None:
    usage = chat(openai_client, cached_tokens=100, cache_write_tokens=10, reasoning_tokens=50).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (WORDS_IN + 110, WORDS_OUT + 50)
    assert (usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens) == (100, 50)


def test_a_tool_call_is_answered_and_streamed(openai_client: openai.OpenAI) -> None:
    answer = chat(openai_client, tool_call="weather")
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls
    calls = [chunk.choices[0].delta.tool_calls for chunk in chat_chunks(openai_client, tool_call="weather")]
    assert [call[0].function.name for call in calls if call and call[0].function] == ["weather"]


def test_completions_and_embeddings_are_answered(openai_client: openai.OpenAI) -> None:
    done = openai_client.completions.create(model="gpt-3.5-turbo-instruct", prompt="one two")
    assert done.usage is not None
    assert (done.choices[0].text, done.usage.prompt_tokens) == ("Stand-in answer to: one two", 2)
    chunks = openai_client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="one two", stream=True, stream_options={"include_usage": True}
    )
    usages = [chunk.usage for chunk in chunks]
    assert [None] * (len(usages) - 1) == usages[:-1]
    assert usages[-1] is not None
    for texts, vectors in ((["one two", "three"], 2), ("one two three", 1)):
        embedded = openai_client.embeddings.create(model="text-embedding-3-small", input=texts)
        assert [[0.5, -0.25, 0.125]] * vectors == [row.embedding for row in embedded.data]
        assert embedded.usage.prompt_tokens == 3
    assert "gpt-4o" in [model.id for model in openai_client.models.list()]


def test_a_response_is_valid_and_can_be_retrieved(openai_client: openai.OpenAI) -> None:
    asked = behave(cached_tokens=7, reasoning_tokens=9, web_searches=2, tool_call="weather")
    answer = openai_client.responses.create(model="gpt-5-mini", input="I am user-17", extra_headers=asked)
    Response.model_validate(answer.to_dict())
    assert answer.usage is not None
    assert answer.output_text == ANSWER
    assert (answer.usage.input_tokens, answer.usage.input_tokens_details.cached_tokens) == (WORDS_IN + 7, 7)
    assert (answer.usage.output_tokens, answer.usage.output_tokens_details.reasoning_tokens) == (WORDS_OUT + 9, 9)
    kinds = ["reasoning", "web_search_call", "web_search_call", "message", "function_call"]
    assert kinds == [item.type for item in answer.output]
    assert answer.to_dict() == openai_client.responses.retrieve(answer.id).to_dict()
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve("resp_unknown")


def test_a_response_streams_from_created_to_completed(openai_client: openai.OpenAI) -> None:
    asked = behave(reasoning_tokens=9, web_searches=1, tool_call="weather")
    with openai_client.responses.stream(model="gpt-5-mini", input="I am user-17", extra_headers=asked) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == WORDS_OUT
    assert list(range(len(events))) == [event.sequence_number for event in events]
    final = stream.get_final_response()
    assert final.usage is not None
    assert (final.output_text, final.usage.output_tokens) == (ANSWER, WORDS_OUT + 9)


def test_an_azure_deployment_is_answered_without_a_model(provider: Provider) -> None:
    with openai.AzureOpenAI(api_key="k", azure_endpoint=provider.azure_url, api_version="2024-10-21") as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert provider.requests[-1].path == "/openai/deployments/gpt-4o/chat/completions"
    assert answer.model == "gpt-4o-2024-08-06"
    url = f"{provider.azure_url}/openai/deployments/gpt-4o-mini/chat/completions"
    assert httpx.post(url, json={"messages": HELLO}).json()["model"] == "gpt-4o-mini-2024-07-18"


def test_a_message_is_valid_and_counts_the_cache_beside_its_input(anthropic_client: anthropic.Anthropic) -> None:
    asked = behave(cached_tokens=5, cache_write_tokens=3, cache_write_1h_tokens=2, web_searches=1, tool_call="weather")
    answer = anthropic_client.messages.create(
        model="claude-haiku-4-5",
        max_tokens=50,
        messages=HELLO,
        system="Be brief",
        extra_headers=asked,
    )
    anthropic.types.Message.model_validate(answer.to_dict())
    usage = answer.usage
    assert answer.model == "claude-haiku-4-5-20251001"
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (5, 5, 5)
    assert usage.cache_creation is not None
    assert usage.server_tool_use is not None
    assert (usage.cache_creation.ephemeral_1h_input_tokens, usage.server_tool_use.web_search_requests) == (2, 1)
    kinds = ["server_tool_use", "web_search_tool_result", "text", "tool_use"]
    assert (kinds, "tool_use") == ([block.type for block in answer.content], answer.stop_reason)


@pytest.mark.parametrize("fields", [{}, {"cached_tokens": 4, "web_searches": 1, "tool_call": "weather", "gzip": True}])
def test_a_streamed_message_ends_as_the_plain_one(
    anthropic_client: anthropic.Anthropic, fields: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": HELLO}
    plain = anthropic_client.messages.create(**asked, extra_headers=behave(**fields))
    with anthropic_client.messages.stream(**asked, extra_headers=behave(**fields)) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == ANSWER
    assert plain.usage.to_dict() == final.usage.to_dict()
    assert plain.stop_reason == final.stop_reason
    assert [block.type for block in plain.content] == [block.type for block in final.content]


def test_a_raw_message_stream_has_the_documented_events(
    anthropic_client: anthropic.Anthropic, provider: Provider
) -> None:
    events = anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=HELLO, stream=True)
    kinds = [event.type for event in events]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * WORDS_OUT,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    asked = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HELLO, "stream": True}
    assert "event: ping\ndata: " in httpx.post(f"{provider.anthropic_url}/v1/messages", json=asked).text


def test_tokens_of_a_message_are_counted(anthropic_client: anthropic.Anthropic) -> None:
    count = anthropic_client.messages.count_tokens(model="claude-haiku-4-5", messages=HELLO)
    assert count.input_tokens == WORDS_IN


def test_groq_streams_its_usage_in_x_groq(provider: Provider) -> None:
    asked: dict[str, Any] = {"model": "llama-3.3-70b-versatile", "messages": HELLO}
    with groq.Groq(api_key="k", base_url=provider.groq_url) as client:
        plain = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    groq.types.chat.ChatCompletion.model_validate(plain.to_dict())
    assert plain.usage is not None
    assert plain.usage.completion_tokens == WORDS_OUT
    usages = [chunk.x_groq.usage for chunk in chunks if chunk.x_groq and chunk.x_groq.usage]
    assert [usage.completion_tokens for usage in usages] == [WORDS_OUT]


@pytest.mark.parametrize(
    ("status", "openai_error", "anthropic_error"),
    [
        (400, openai.BadRequestError, anthropic.BadRequestError),
        (429, openai.RateLimitError, anthropic.RateLimitError),
        (500, openai.InternalServerError, anthropic.InternalServerError),
    ],
)
def test_an_error_has_the_provider_s_own_body(
    openai_client: openai.OpenAI,
    anthropic_client: anthropic.Anthropic,
    status: int,
    openai_error: type[openai.APIStatusError],
    anthropic_error: type[anthropic.APIStatusError],
) -> None:
    with pytest.raises(openai_error, match="told to refuse") as ours:
        chat(openai_client, status=status, retry_after=2)
    assert ours.value.response.headers["retry-after"] == "2"
    with pytest.raises(anthropic_error, match="told to refuse") as theirs:
        anthropic_client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=9,
            messages=HELLO,
            extra_headers=behave(status=status),
        )
    assert isinstance(theirs.value.body, dict)
    assert theirs.value.body["type"] == "error"


def test_the_default_behaviour_holds_until_changed(provider: Provider, openai_client: openai.OpenAI) -> None:
    provider.behaviour = Behaviour(status=429)
    try:
        with pytest.raises(openai.RateLimitError):
            openai_client.chat.completions.create(model="gpt-4o", messages=HELLO)
        assert chat(openai_client, status=200).choices[0].message.content == ANSWER
    finally:
        provider.behaviour = Behaviour()


@pytest.mark.parametrize("header", ["nonsense", "[]", '{"colour": "red"}', '{"status": "soon"}'])
def test_a_wrong_behaviour_is_refused_aloud(provider: Provider, header: str) -> None:
    answer = httpx.post(f"{provider.openai_url}/chat/completions", json={}, headers={HEADER: header})
    assert answer.status_code == 400
    assert answer.text.startswith(HEADER)


def test_a_body_that_is_no_json_object_is_refused(provider: Provider) -> None:
    answer = httpx.post(f"{provider.openai_url}/chat/completions", content=b"[1]")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_the_number_of_chunks_can_be_set(openai_client: openai.OpenAI) -> None:
    for chunks in (1, 2, 50):
        texts = [chunk.choices[0].delta.content for chunk in chat_chunks(openai_client, chunks=chunks)]
        assert chunks == len([text for text in texts if text])
        assert "".join(text or "" for text in texts).startswith(ANSWER)


def test_answers_and_streams_are_compressed_on_demand(provider: Provider, openai_client: openai.OpenAI) -> None:
    assert chat(openai_client, gzip=True).choices[0].message.content == ANSWER
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chat_chunks(openai_client, gzip=True))
    assert text == ANSWER
    url, asked = f"{provider.openai_url}/chat/completions", {"model": "m", "messages": HELLO}
    with httpx.stream("POST", url, json=asked, headers=behave(gzip=True)) as answer:
        assert b"chat.completion" in gzip.decompress(b"".join(answer.iter_raw()))
    with httpx.stream("POST", url, json=asked | {"stream": True}, headers=behave(gzip=True, endless=True)) as answer:
        first = zlib.decompressobj(wbits=31).decompress(next(answer.iter_raw()))
    assert first.startswith(b"data: {")


def test_a_connection_is_dropped_in_the_middle(provider: Provider, openai_client: openai.OpenAI) -> None:
    chunks = chat_chunks(openai_client, reset_after=3)
    assert len([next(chunks) for _ in range(3)]) == 3
    with pytest.raises(openai.APIConnectionError):
        next(chunks)
    url = f"{provider.openai_url}/chat/completions"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(url, json={"messages": HELLO}, headers=behave(reset_after=5))


def test_the_first_byte_and_the_chunks_can_be_late(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        chat(openai_client.with_options(timeout=0.05), latency=30)
    with pytest.raises(Exception, match="timed out"):
        list(chat_chunks(openai_client.with_options(timeout=0.05), chunk_delay=30))


def test_two_hundred_concurrent_calls_are_told_apart(provider: Provider) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[str, str]:
        prompt = f"I am user-{number}"
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
            stream=True,
            extra_headers=behave(latency=0.1, chunk_delay=0.001),
        )
        return prompt, "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def everybody() -> list[tuple[str, str]]:
        url = provider.openai_url
        # The SDK gives a connection 5 seconds, which 200 at once do not get on a machine that does something else, too.
        async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0, timeout=60) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(200)))

    answers = asyncio.run(everybody())
    assert len(answers) == 200
    assert all(text == f"Stand-in answer to: {prompt}" for prompt, text in answers)
    ids = [request.response_id for request in provider.requests if request.method == "POST" and request.response_id]
    assert len(set(ids)) == len(ids)


def test_an_async_message_stream_is_answered(provider: Provider) -> None:
    async def ask() -> str:
        async with (
            anthropic.AsyncAnthropic(api_key="k", base_url=provider.anthropic_url) as client,
            client.messages.stream(model="claude-haiku-4-5", max_tokens=9, messages=HELLO) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    assert asyncio.run(ask()) == ANSWER


def test_it_stops_at_once_while_streams_and_slow_calls_are_open(caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())
    with Provider(Behaviour(endless=True)) as provider, httpx.Client(timeout=30) as client:
        url, asked = f"{provider.openai_url}/chat/completions", {"messages": HELLO}
        slow = threading.Thread(target=_ignore_errors, args=(client, url, asked))
        slow.start()
        with client.stream("POST", url, json=asked | {"stream": True}) as answer:
            chunks = answer.iter_raw()
            assert all(next(chunks) for _ in range(20))
            provider.__exit__(None, None, None)
            with pytest.raises(httpx.RemoteProtocolError):
                list(chunks)
        slow.join()
    assert set(threading.enumerate()) <= before
    assert "graceful shutdown exceeded" not in caplog.text


def _ignore_errors(client: httpx.Client, url: str, asked: dict[str, Any]) -> None:
    try:
        client.post(url, json=asked, headers=behave(latency=600))
    except httpx.HTTPError:
        return


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_app_answers_in_process_too(backend: str) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://stand-in") as client:
            asked = {"model": "gpt-4o", "messages": HELLO, "stream": True}
            return await client.post("/v1/chat/completions", json=asked, headers=behave(latency=0.01))

    assert anyio.run(ask, backend=backend).text.endswith("data: [DONE]\n\n")


def test_a_behaviour_refuses_impossible_values() -> None:
    with pytest.raises(ValidationError):
        Behaviour(chunks=0)
