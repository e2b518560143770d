"""Ollama's own answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from payi_middleware.providers import FunctionCall, Match, open_reader
from payi_middleware.providers.answer import MISSING
from tests.providers.wires import JSON, LINES, as_lines, matched, play

CHAT = "http://localhost:11434/api/chat"
END = {"done": True, "done_reason": "stop", "prompt_eval_count": 26, "prompt_eval_cached_count": 6, "eval_count": 11}


def piece(**more: Any) -> dict[str, Any]:
    return {"model": "qwen3:4b", "created_at": "2026-01-02T03:04:05Z", "done": False, **more}


def said(text: str, **more: Any) -> dict[str, Any]:
    return piece(message={"role": "assistant", "content": text, **more})


def test_an_answer_in_one_body_is_read() -> None:
    calls = [{"function": {"name": "clock", "arguments": {"zone": "CET"}}}]
    answer = play(CHAT, said("It is noon", tool_calls=calls) | END)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read) == (26, 11, 6)
    assert (answer.model, answer.finish_reason, answer.response_id) == ("qwen3:4b", "stop", None)
    assert answer.function_calls == (FunctionCall("clock", '{"zone":"CET"}'),)


@pytest.mark.parametrize("size", [1, 7, 200, 100_000])
@pytest.mark.parametrize("content_type", ["application/x-ndjson", ""])
def test_a_stream_is_read_however_it_is_cut(size: int, content_type: str) -> None:
    calls = [{"function": {"name": "clock", "arguments": {}}}]
    raw = as_lines([said("It"), said(' is "done":true'), said("", tool_calls=calls), said("") | END])
    answer = play(CHAT, raw, {"content-type": content_type}, size=size)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (26, 11)
    assert (answer.model, answer.finish_reason) == ("qwen3:4b", "stop")
    assert answer.function_calls == (FunctionCall("clock", "{}"),)


def test_the_count_of_a_prompt_that_was_cached_is_not_invented() -> None:
    answer = play(CHAT, said("Hi") | {"done": True, "eval_count": 3})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (None, 3)


def test_generate_ends_with_a_context_of_any_length() -> None:
    last = piece(response="") | {"done": True, "context": list(range(100_000)), "prompt_eval_count": 4, "eval_count": 2}
    raw = as_lines([piece(response="a"), last])
    answer = play("http://localhost:11434/api/generate", raw, LINES)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 2)


def test_embed_counts_its_input_and_the_older_embeddings_count_nothing() -> None:
    new = play(
        "http://localhost:11434/api/embed", {"model": "all-minilm", "embeddings": [[0.1]], "prompt_eval_count": 8}
    )
    assert new.usage is not None
    assert (new.usage.input_tokens, new.usage.output_tokens, new.model) == (8, None, "all-minilm")
    old = play("http://localhost:11434/api/embeddings", {"embedding": [0.1]})
    assert old.notes == {MISSING: "provider sent no usage"}


def test_thinking_and_words_are_told_apart_and_the_end_is_seen() -> None:
    reader = open_reader(Match("ollama.chat", "ollama", "ollama"), 200, LINES)
    reader.feed(as_lines([said("", thinking="Hm")]))
    assert (reader.first_token, reader.first_completion) == (True, False)
    reader.feed(as_lines([said("Yes")]))
    assert reader.first_completion
    assert reader.feed(as_lines([said("") | END])) is True


def test_a_stream_that_breaks_off_or_fails_says_so() -> None:
    assert play(CHAT, as_lines([said("It"), said(" is")]), LINES).notes == {MISSING: "stream ended before usage"}
    answer = play(CHAT, as_lines([said("It"), {"error": "the model runner stopped"}]), LINES)
    assert (answer.error_code, answer.error_message) == ("error", "the model runner stopped")
    assert answer.notes == {MISSING: "error inside the stream"}


@pytest.mark.parametrize(
    ("url", "headers", "is_ollama"),
    [
        ("http://127.0.0.1:11434/api/chat", JSON, True),
        ("https://ollama.com/api/generate", JSON, True),
        ("https://models.internal/api/embed", {**JSON, "user-agent": "ollama-python/0.6.3 (x86_64 linux)"}, True),
        ("https://app.example/api/chat", JSON, False),
        ("https://app.example/api/generate", JSON, False),
        ("http://127.0.0.1:11434/api/show", JSON, False),
        ("http://127.0.0.1:11434/chat", JSON, False),
    ],
)
def test_any_app_s_api_chat_is_not_ollama_s(url: str, headers: dict[str, str], is_ollama: bool) -> None:
    match = matched(url, headers)
    assert (match is not None and match.category == "ollama") is is_ollama


def test_an_event_too_large_to_parse_still_counts() -> None:
    last = json.dumps(piece(response="", context=["x" * 200_000]) | END).encode() + b"\n"
    answer = play("http://localhost:11434/api/generate", as_lines([piece(response="a")]) + last, LINES)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read) == (26, 11, 6)
