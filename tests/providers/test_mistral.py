"""Mistral's own answers, and those that it shares with OpenAI."""

from __future__ import annotations

from typing import Any

import pytest

from payi_middleware.providers import FunctionCall, Match, open_reader, units
from payi_middleware.providers.answer import MISSING
from tests.providers.wires import EVENTS, JSON, as_events, matched, play

CONVERSATIONS = "https://api.mistral.ai/v1/conversations"
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "connector_tokens": 700,
    "total_tokens": 840,
    "connectors": {"web_search": 2, "image_generation": 1},
}
STARTED = {"type": "conversation.response.started", "conversation_id": "conv_1"}
DONE = {"type": "conversation.response.done", "usage": USAGE}


def said(text: str) -> dict[str, Any]:
    return {
        "type": "message.output.delta",
        "id": "msg_1",
        "model": "mistral-medium",
        "role": "assistant",
        "content": text,
    }


def called(arguments: str, call: str = "c1", name: str = "clock") -> dict[str, Any]:
    delta = {"type": "function.call.delta", "id": "fc_1", "model": "mistral-small", "tool_call_id": call}
    return {**delta, "name": name, "arguments": arguments}


def test_a_conversation_s_connectors_add_to_its_input_and_are_counted() -> None:
    outputs = [
        {"type": "tool.execution", "name": "web_search", "arguments": "{}"},
        {"type": "message.output", "id": "msg_1", "model": "mistral-medium", "content": "Hi"},
        {"type": "function.call", "id": "fc_1", "tool_call_id": "c1", "name": "clock", "arguments": {"zone": "CET"}},
    ]
    answer = play(CONVERSATIONS, {"conversation_id": "conv_1", "outputs": outputs, "usage": USAGE})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {
        "text": {"input": 800, "output": 40},
        "web_search_request": {"output": 2},
        "image_generation": {"output": 1},
    }
    assert (answer.model, answer.function_calls) == ("mistral-medium", (FunctionCall("clock", '{"zone":"CET"}'),))


def test_each_answer_of_a_conversation_has_its_own_id() -> None:
    outputs = [{"type": "message.output", "id": "msg_9", "content": "Hi"}]
    assert play(CONVERSATIONS, {"conversation_id": "conv_1", "outputs": outputs}).response_id == "msg_9"
    assert play(CONVERSATIONS, {"conversation_id": "conv_1", "outputs": []}).response_id is None


@pytest.mark.parametrize("size", [1, 11, 10_000])
def test_a_streamed_conversation_is_read_however_it_is_cut(size: int) -> None:
    answer = play(CONVERSATIONS, as_events(STARTED, said("Hel"), said("lo"), DONE, named=True), EVENTS, size=size)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.web_search_requests) == (800, 40, 2)
    assert (answer.response_id, answer.model, answer.notes) == ("msg_1", "mistral-medium", {})


def test_streamed_calls_are_joined_by_their_id() -> None:
    events = as_events(STARTED, called('{"a"'), called(":1}"), called("{}", "c2", "alarm"), DONE)
    answer = play(CONVERSATIONS, events, EVENTS)
    assert answer.function_calls == (FunctionCall("clock", '{"a":1}'), FunctionCall("alarm", "{}"))
    assert (answer.response_id, answer.model) == ("fc_1", "mistral-small")


def test_a_conversation_s_stream_that_fails_or_breaks_off_says_so() -> None:
    error = {"type": "conversation.response.error", "message": "no", "code": 3}
    answer = play(CONVERSATIONS, as_events(STARTED, error), EVENTS)
    assert (answer.error_code, answer.error_message) == ("3", "no")
    assert answer.notes == {MISSING: "error inside the stream"}
    assert play(CONVERSATIONS, as_events(STARTED, said("x")), EVENTS).notes == {MISSING: "stream ended before usage"}
    assert play(CONVERSATIONS, {"outputs": []}).notes == {MISSING: "provider sent no usage"}


def test_the_first_words_and_the_end_of_a_conversation_s_stream_are_seen() -> None:
    reader = open_reader(Match("mistral.conversations", "mistral", "mistral"), 200, EVENTS)
    reader.feed(as_events(STARTED))
    assert not reader.first_token
    reader.feed(as_events(called("{}")))
    assert reader.first_completion
    assert reader.feed(as_events(said("x"))) is False
    assert reader.feed(as_events(DONE)) is True


def test_recognised_pages_are_counted() -> None:
    body = {"model": "mistral-ocr-latest", "pages": [], "usage_info": {"pages_processed": 3, "doc_size_bytes": 9}}
    answer = play("https://api.mistral.ai/v1/ocr", body)
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"page": {"input": 3}}
    assert answer.model == "mistral-ocr-latest"
    assert play("https://api.mistral.ai/v1/ocr", {"pages": []}).notes == {MISSING: "provider sent no usage"}


@pytest.mark.parametrize("path", ["fim/completions", "agents/completions"])
def test_completions_of_code_and_of_agents_are_chats(path: str) -> None:
    choices = [{"index": 0, "finish_reason": "stop", "message": {"content": "x"}}]
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    answer = play(
        f"https://api.mistral.ai/v1/{path}", {"id": "f-1", "model": "codestral", "choices": choices, "usage": usage}
    )
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.response_id) == (3, 4, "f-1")


def test_transcriptions_count_their_audio() -> None:
    usage = {
        "prompt_audio_seconds": 3,
        "prompt_tokens": 5,
        "completion_tokens": 11,
        "total_tokens": 391,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 375},
    }
    url = "https://api.mistral.ai/v1/audio/transcriptions"
    form = {"content-type": "multipart/form-data; boundary=x"}
    plain = play(url, {"model": "voxtral-mini", "text": "Hi", "usage": usage}, asked=form)
    streamed = play(
        url,
        as_events(
            {"type": "transcription.text.delta", "text": "Hi"},
            {"type": "transcription.done", "model": "voxtral-mini", "text": "Hi", "usage": usage},
            named=True,
        ),
        EVENTS,
        asked=form,
    )
    for answer in (plain, streamed):
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.audio_input) == (380, 11, 375)
        assert answer.model == "voxtral-mini"


@pytest.mark.parametrize(
    ("url", "headers", "api"),
    [
        (CONVERSATIONS, JSON, "mistral.conversations"),
        (f"{CONVERSATIONS}/conv_12", JSON, "mistral.conversations"),
        (f"{CONVERSATIONS}/conv_12/restart", JSON, "mistral.conversations"),
        (
            "http://10.0.0.1/v1/conversations",
            {**JSON, "user-agent": "speakeasy-sdk/python 3.7 1 1 mistralai"},
            "mistral.conversations",
        ),
        ("http://10.0.0.1/v1/ocr", {**JSON, "user-agent": "mistral-client-python/1.5"}, "mistral.ocr"),
        ("https://api.openai.com/v1/conversations", JSON, None),
        ("https://app.example/v1/ocr", JSON, None),
        ("https://app.example/v1/server/restart", JSON, None),
        ("https://api.mistral.ai/v1/workers/restart", JSON, None),
    ],
)
def test_mistral_s_own_calls_are_known_by_host_or_sdk(url: str, headers: dict[str, str], api: str | None) -> None:
    match = matched(url, headers)
    assert (match.api if match else None) == api


def test_looking_at_a_conversation_is_no_inference() -> None:
    assert matched(f"{CONVERSATIONS}/conv_12", method="GET") is None
