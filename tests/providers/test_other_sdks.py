"""The SDKs of Mistral, Cohere, Groq, Ollama and Hugging Face, each as an app uses it, on a wire as the provider's.

Every way of asking ends as one report in the embedded ledger, with the right tokens, under the right category.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import cohere
import groq
import httpx
import huggingface_hub
import ollama
import pytest
from cohere.core.http_response import AsyncHttpResponse, HttpResponse
from mistralai.client import Mistral
from mistralai.client import chat as mistral_chat
from mistralai.client.utils.eventstreaming import EventStream

from payi_middleware import Settings, instrument, result_of, uninstrument
from tests.providers.speaking import Spoken, reports, speaking, spoken
from tests.providers.wires import as_events, as_lines

SAY: Any = [{"role": "user", "content": "Hi"}]
CHAT_USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
COHERE_USAGE = {
    "tokens": {"input_tokens": 200, "output_tokens": 6},
    "billed_units": {"input_tokens": 20, "output_tokens": 5},
}


def completion(**more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hello"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": choices} | more


def chunk(finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "finish_reason": finish}]
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": choices} | more


def in_events(*events: dict[str, Any] | str) -> Spoken:
    return Spoken(
        [as_events(event, named=not isinstance(event, str) and "type" in event) for event in events],
        "text/event-stream",
    )


def in_lines(*objects: dict[str, Any], content_type: str = "application/x-ndjson") -> Spoken:
    return Spoken([as_lines([one]) for one in objects], content_type)


CHUNKS = in_events(chunk(), chunk("stop", usage=CHAT_USAGE), "[DONE]")
CONVERSATION = {
    "object": "conversation.response",
    "conversation_id": "conv_1",
    "outputs": [{"type": "message.output", "id": "msg_1", "model": "m-1", "role": "assistant", "content": "Hello"}],
    "usage": CHAT_USAGE,
}
COHERE_END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}}
COHERE_OLD = {
    "text": "Hello",
    "generation_id": "g-1",
    "response_id": "r-1",
    "chat_history": [],
    "finish_reason": "COMPLETE",
    "meta": {"api_version": {"version": "1"}, **COHERE_USAGE},
}
OLLAMA_END = {"done": True, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 5}


def ollama_said(**more: Any) -> dict[str, Any]:
    return {"model": "m-1", "created_at": "2026-01-02T03:04:05Z", "done": False, **more}


OLLAMA_CHAT = ollama_said(message={"role": "assistant", "content": "Hel"})
OLLAMA_TEXT = ollama_said(response="Hel")
ANSWERS = {
    "/v1/chat/completions": spoken(completion(usage=CHAT_USAGE)),
    "/v1/chat/completions?stream": CHUNKS,
    "/openai/v1/chat/completions": spoken(completion(usage=CHAT_USAGE)),
    "/openai/v1/chat/completions?stream": in_events(
        chunk(), chunk("stop", x_groq={"id": "r", "usage": CHAT_USAGE}), "[DONE]"
    ),
    "/v1/fim/completions": spoken(completion(usage=CHAT_USAGE, id="f-1")),
    "/v1/fim/completions?stream": CHUNKS,
    "/v1/agents/completions": spoken(completion(usage=CHAT_USAGE)),
    "/v1/conversations": spoken(CONVERSATION),
    "/v1/conversations?stream": in_events(
        {"type": "conversation.response.started", "conversation_id": "conv_1", "created_at": "2026-01-02T03:04:05Z"},
        {"type": "message.output.delta", "id": "msg_1", "model": "m-1", "role": "assistant", "content": "Hel"},
        {"type": "conversation.response.done", "usage": CHAT_USAGE},
    ),
    "/v1/conversations/conv_1": spoken(CONVERSATION),
    "/v1/ocr": spoken({"model": "m-1", "pages": [], "usage_info": {"pages_processed": 3, "doc_size_bytes": 9}}),
    "/v1/embeddings": spoken(
        {
            "id": "e-1",
            "object": "list",
            "model": "m-1",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 0, "total_tokens": 20},
        }
    ),
    "/v2/chat": spoken(
        {
            "id": "c-1",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
            "usage": COHERE_USAGE,
        }
    ),
    "/v2/chat?stream": in_events(
        {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hel"}}}},
        COHERE_END,
        "[DONE]",
    ),
    "/v1/chat": spoken(COHERE_OLD),
    "/v1/chat?stream": in_lines(
        {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"},
        {"is_finished": False, "event_type": "text-generation", "text": "Hel"},
        {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": COHERE_OLD},
        content_type="application/stream+json",
    ),
    "/v2/embed": spoken(
        {
            "id": "e-1",
            "response_type": "embeddings_by_type",
            "embeddings": {"float": [[0.5]]},
            "texts": ["Hi"],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 20}},
        }
    ),
    "/v2/rerank": spoken(
        {
            "id": "k-1",
            "results": [{"index": 0, "relevance_score": 0.5}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        }
    ),
    "/api/chat": spoken(OLLAMA_CHAT | OLLAMA_END),
    "/api/chat?stream": in_lines(OLLAMA_CHAT, OLLAMA_CHAT | OLLAMA_END),
    "/api/generate": spoken(OLLAMA_TEXT | OLLAMA_END),
    "/api/generate?stream": in_lines(OLLAMA_TEXT, OLLAMA_TEXT | OLLAMA_END),
    "/api/embed": spoken({"model": "m-1", "embeddings": [[0.5]], "prompt_eval_count": 20}),
}
BOTH = {"text": {"input": 20, "output": 5}}
INPUT = {"text": {"input": 20, "output": 0}}


@pytest.fixture(name="served", scope="module")
def _served() -> Iterator[str]:
    with speaking(ANSWERS) as speaker:
        yield speaker.url


@pytest.fixture(name="url")
def _url(served: str, ledger_path: Path) -> str:
    """Instrument, with the local server named as Mistral's."""
    instrument(Settings(ledger=ledger_path, providers={urlsplit(served).netloc: ("mistral", None)}))
    return served


@pytest.fixture(name="unnamed")
def _unnamed(served: str, ledger_path: Path) -> str:
    """Instrument, without a word about the local server."""
    instrument(Settings(ledger=ledger_path))
    return served


def streamed(events: Any) -> Any:
    """Read a stream to its end, and return it."""
    list(events)
    return events


async def streamed_async(events: Any) -> Any:
    async for _ in events:
        pass
    return events


def last_of(events: Iterator[Any]) -> Any:
    return list(events)[-1]


async def last_of_async(events: AsyncIterator[Any]) -> Any:
    return [event async for event in events][-1]


# --- Mistral ----------------------------------------------------------------------------------------------------------

MISTRAL: dict[str, tuple[Callable[[Mistral], Any], dict[str, Any]]] = {
    "chat": (lambda m: m.chat.complete(model="m-1", messages=SAY), BOTH),
    "chat stream": (lambda m: streamed(m.chat.stream(model="m-1", messages=SAY)), BOTH),
    "fim": (lambda m: m.fim.complete(model="m-1", prompt="def"), BOTH),
    "fim stream": (lambda m: streamed(m.fim.stream(model="m-1", prompt="def")), BOTH),
    "agent": (lambda m: m.agents.complete(agent_id="a-1", messages=SAY), BOTH),
    "conversation": (lambda m: m.beta.conversations.start(model="m-1", inputs="Hi"), BOTH),
    "conversation stream": (lambda m: streamed(m.beta.conversations.start_stream(model="m-1", inputs="Hi")), BOTH),
    "conversation goes on": (lambda m: m.beta.conversations.append(conversation_id="conv_1", inputs="Hi"), BOTH),
    "embeddings": (lambda m: m.embeddings.create(model="m-1", inputs=["Hi"]), INPUT),
    "ocr": (
        lambda m: m.ocr.process(model="m-1", document={"type": "document_url", "document_url": "https://x.test/a.pdf"}),
        {"page": {"input": 3, "output": 0}},
    ),
}
MISTRAL_ASYNC: dict[str, Callable[[Mistral], Awaitable[Any]]] = {
    "chat": lambda m: m.chat.complete_async(model="m-1", messages=SAY),
    "chat stream": lambda m: _then(m.chat.stream_async(model="m-1", messages=SAY), streamed_async),
    "fim": lambda m: m.fim.complete_async(model="m-1", prompt="def"),
    "conversation stream": lambda m: _then(
        m.beta.conversations.start_stream_async(model="m-1", inputs="Hi"), streamed_async
    ),
}


async def _then(first: Awaitable[Any], then: Callable[[Any], Awaitable[Any]]) -> Any:
    return await then(await first)


@pytest.mark.parametrize("way", MISTRAL)
def test_mistral_is_reported_and_its_object_has_the_result(way: str, url: str, ledger_path: Path) -> None:
    ask, units = MISTRAL[way]
    with Mistral(api_key="k", server_url=url) as client:
        answer = ask(client)
    result = result_of(answer)
    assert answer.xproxy_result is result
    (report,) = reports(ledger_path)
    assert (report.category, report.resource, report.units) == ("mistral", "m-1", units)
    assert result.request_id == report.request_id


@pytest.mark.parametrize("way", MISTRAL_ASYNC)
def test_async_mistral_is_reported_and_its_object_has_the_result(way: str, url: str, ledger_path: Path) -> None:
    async def ask() -> Any:
        async with Mistral(api_key="k", server_url=url) as client:
            return await MISTRAL_ASYNC[way](client)

    answer = anyio.run(ask)
    assert result_of(answer) is answer.xproxy_result
    (report,) = reports(ledger_path)
    assert (report.category, report.units) == ("mistral", BOTH)


def test_mistral_s_conversations_are_known_by_their_sdk_too(unnamed: str, ledger_path: Path) -> None:
    with Mistral(api_key="k", server_url=unnamed) as client:
        client.beta.conversations.start(model="m-1", inputs="Hi")
    (report,) = reports(ledger_path)
    assert (report.category, report.provider_response_id) == ("mistral", "msg_1")


def test_a_part_of_an_sdk_that_is_loaded_later_is_served(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK imports each of its resources when it is first used."""
    monkeypatch.delitem(sys.modules, "mistralai.client.fim", raising=False)
    with Mistral(api_key="k", server_url=url) as client:
        first = client.chat.complete(model="m-1", messages=SAY)
        assert "mistralai.client.fim" not in sys.modules
        second = client.fim.complete(model="m-1", prompt="def")
        assert result_of(first).request_id != result_of(second).request_id
    assert first.xproxy_result is result_of(first)
    assert second.xproxy_result is result_of(second)


def test_uninstrument_leaves_the_sdks_as_they_were(served: str, ledger_path: Path) -> None:
    places = [(mistral_chat, "unmarshal_json_response"), (HttpResponse, "__init__"), (AsyncHttpResponse, "__init__")]
    before = [getattr(place, name) for place, name in places]
    instrument(Settings(ledger=ledger_path))
    with Mistral(api_key="k", server_url=served) as client, _cohere(served) as (new, _):
        answers = [client.chat.complete(model="m-1", messages=SAY), new.chat(model="m-1", messages=SAY)]
    assert [getattr(place, name) for place, name in places] != before
    assert all(hasattr(type(answer), "xproxy_result") for answer in answers)
    uninstrument()
    assert [getattr(place, name) for place, name in places] == before
    assert not any(hasattr(type(answer), "xproxy_result") for answer in answers)
    assert not hasattr(EventStream, "xproxy_result")


# --- Cohere -----------------------------------------------------------------------------------------------------------

TEXTS = {"texts": ["Hi"], "input_type": "search_query", "embedding_types": ["float"]}
COHERE: dict[str, tuple[Callable[[Any, Any], Any], dict[str, Any]]] = {
    "chat": (lambda new, _: new.chat(model="m-1", messages=SAY), BOTH),
    "chat stream": (lambda new, _: last_of(new.chat_stream(model="m-1", messages=SAY)), BOTH),
    "embed": (lambda new, _: new.embed(model="m-1", **TEXTS), INPUT),
    "rerank": (
        lambda new, _: new.rerank(model="m-1", query="a", documents=["b"]),
        {"search_unit": {"input": 0, "output": 1}},
    ),
    "old chat": (lambda _, old: old.chat(model="m-1", message="Hi"), BOTH),
    "old chat stream": (lambda _, old: last_of(old.chat_stream(model="m-1", message="Hi")), BOTH),
}
COHERE_ASYNC: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "chat": lambda new, _: new.chat(model="m-1", messages=SAY),
    "chat stream": lambda new, _: last_of_async(new.chat_stream(model="m-1", messages=SAY)),
    "old chat": lambda _, old: old.chat(model="m-1", message="Hi"),
    "old chat stream": lambda _, old: last_of_async(old.chat_stream(model="m-1", message="Hi")),
}


@contextmanager
def _cohere(url: str) -> Iterator[tuple[Any, Any]]:
    with httpx.Client() as http:  # the SDK's own is never closed
        yield cohere.ClientV2("k", base_url=url, httpx_client=http), cohere.Client("k", base_url=url, httpx_client=http)


@pytest.mark.parametrize("way", COHERE)
def test_cohere_is_reported_and_its_object_or_last_event_has_the_result(
    way: str, unnamed: str, ledger_path: Path
) -> None:
    ask, units = COHERE[way]
    with _cohere(unnamed) as clients:
        answer = ask(*clients)
    result = result_of(answer)
    assert answer.xproxy_result is result
    (report,) = reports(ledger_path)
    assert (report.category, report.resource, report.units) == ("cohere", "m-1", units)


@pytest.mark.parametrize("way", COHERE_ASYNC)
def test_async_cohere_is_reported_and_its_object_or_last_event_has_the_result(
    way: str, unnamed: str, ledger_path: Path
) -> None:
    async def ask() -> Any:
        async with cohere.AsyncClientV2("k", base_url=unnamed) as new, cohere.AsyncClient("k", base_url=unnamed) as old:
            return await COHERE_ASYNC[way](new, old)

    answer = anyio.run(ask)
    assert result_of(answer) is answer.xproxy_result
    (report,) = reports(ledger_path)
    assert (report.category, report.units) == ("cohere", BOTH)


def test_a_cohere_stream_that_the_app_leaves_is_reported(unnamed: str, ledger_path: Path) -> None:
    with _cohere(unnamed) as (client, _):
        events = client.chat_stream(model="m-1", messages=SAY)
        assert next(events).type == "message-start"
        events.close()
    (report,) = reports(ledger_path)
    assert (report.category, report.provider_response_id) == ("cohere", "c-1")


# --- Groq -------------------------------------------------------------------------------------------------------------


def _groq(url: str, client: type[Any] = groq.Groq) -> Any:
    return client(api_key="k", base_url=url, max_retries=0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_groq_is_reported_and_its_object_has_the_result(stream: bool, unnamed: str, ledger_path: Path) -> None:
    with _groq(unnamed) as client:
        answer = client.chat.completions.create(model="m-1", messages=SAY, stream=stream)
        if stream:
            streamed(answer)
    assert result_of(answer) is answer.xproxy_result
    (report,) = reports(ledger_path)
    assert (report.resource, report.units) == ("m-1", BOTH)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_async_groq_is_reported_and_its_object_has_the_result(stream: bool, unnamed: str, ledger_path: Path) -> None:
    async def ask() -> Any:
        async with _groq(unnamed, groq.AsyncGroq) as client:
            answer = await client.chat.completions.create(model="m-1", messages=SAY, stream=stream)
            return await streamed_async(answer) if stream else answer

    answer = anyio.run(ask)
    assert result_of(answer) is answer.xproxy_result
    (report,) = reports(ledger_path)
    assert (report.resource, report.units) == ("m-1", BOTH)


# --- Ollama -----------------------------------------------------------------------------------------------------------

OLLAMA: dict[str, tuple[Callable[[ollama.Client], Any], dict[str, Any]]] = {
    "chat": (lambda o: o.chat(model="m-1", messages=SAY), BOTH),
    "chat stream": (lambda o: streamed(o.chat(model="m-1", messages=SAY, stream=True)), BOTH),
    "generate": (lambda o: o.generate(model="m-1", prompt="Hi"), BOTH),
    "generate stream": (lambda o: streamed(o.generate(model="m-1", prompt="Hi", stream=True)), BOTH),
    "embed": (lambda o: o.embed(model="m-1", input="Hi"), INPUT),
}
OLLAMA_ASYNC: dict[str, Callable[[ollama.AsyncClient], Awaitable[Any]]] = {
    "chat": lambda o: o.chat(model="m-1", messages=SAY),
    "chat stream": lambda o: _then(o.chat(model="m-1", messages=SAY, stream=True), streamed_async),
    "generate": lambda o: o.generate(model="m-1", prompt="Hi"),
}


@pytest.mark.parametrize("way", OLLAMA)
def test_ollama_is_reported(way: str, unnamed: str, ledger_path: Path) -> None:
    ask, units = OLLAMA[way]
    with ollama.Client(unnamed) as client:
        ask(client)
    (report,) = reports(ledger_path)
    assert (report.category, report.resource, report.units) == ("ollama", "m-1", units)


@pytest.mark.parametrize("way", OLLAMA_ASYNC)
def test_async_ollama_is_reported(way: str, unnamed: str, ledger_path: Path) -> None:
    async def ask() -> None:
        async with ollama.AsyncClient(unnamed) as client:
            await OLLAMA_ASYNC[way](client)

    anyio.run(ask)
    (report,) = reports(ledger_path)
    assert (report.category, report.resource, report.units) == ("ollama", "m-1", BOTH)


# --- Hugging Face -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_hugging_face_s_chat_is_reported(stream: bool, unnamed: str, ledger_path: Path) -> None:
    client = huggingface_hub.InferenceClient(base_url=unnamed + "/v1", api_key="k")
    answer = client.chat_completion(SAY, model="m-1", stream=stream)
    if stream:
        streamed(answer)
    (report,) = reports(ledger_path)
    assert (report.resource, report.units) == ("m-1", BOTH)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_async_hugging_face_s_chat_is_reported(stream: bool, unnamed: str, ledger_path: Path) -> None:
    async def ask() -> None:
        async with huggingface_hub.AsyncInferenceClient(base_url=unnamed + "/v1", api_key="k") as client:
            answer: Any = await client.chat_completion(SAY, model="m-1", stream=stream)
            if stream:
                await streamed_async(answer)

    anyio.run(ask)
    (report,) = reports(ledger_path)
    assert (report.resource, report.units) == ("m-1", BOTH)
