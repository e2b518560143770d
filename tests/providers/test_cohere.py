"""Cohere's answers, version 1 and 2."""

from __future__ import annotations

from typing import Any

import pytest

from payi_middleware.providers import FunctionCall, Match, open_reader, units
from payi_middleware.providers.answer import MISSING, PARTIAL
from tests.providers.wires import EVENTS, JSON, LINES, as_events, as_lines, matched, play

CHAT = "https://api.cohere.com/v2/chat"
OLD_CHAT = "https://api.cohere.com/v1/chat"
USAGE = {
    "billed_units": {"input_tokens": 12, "output_tokens": 9},
    "tokens": {"input_tokens": 210, "output_tokens": 15, "reasoning_tokens": 4},
    "cached_tokens": 160,
}


def message_start() -> dict[str, Any]:
    return {"type": "message-start", "id": "c-77", "delta": {"message": {"role": "assistant", "content": []}}}


def content(**text: str) -> dict[str, Any]:
    return {"type": "content-delta", "index": 0, "delta": {"message": {"content": text}}}


def tool(kind: str, index: int, **function: str) -> dict[str, Any]:
    calls = {"id": f"t{index}", "type": "function", "function": function}
    return {"type": f"tool-call-{kind}", "index": index, "delta": {"message": {"tool_calls": calls}}}


def message_end(reason: str = "COMPLETE", **more: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": USAGE, **more}}


def stream(*events: dict[str, Any] | str) -> bytes:
    return as_events(*events, named=True)


def test_what_is_billed_is_the_usage_and_what_the_model_saw_is_noted() -> None:
    answer = play(CHAT, {"id": "c-1", "finish_reason": "COMPLETE", "message": {"content": []}, "usage": USAGE})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"text": {"input": 12, "output": 9}}
    assert answer.notes == {"system.usage.tokens": "input_tokens=210,output_tokens=15,cached_tokens=160"}
    assert (answer.response_id, answer.finish_reason, answer.model) == ("c-1", "COMPLETE", None)


def test_where_all_tokens_are_billed_those_from_the_cache_are_counted_apart() -> None:
    same = {"input_tokens": 50, "output_tokens": 6}
    answer = play(CHAT, {"id": "c-1", "usage": {"tokens": same, "billed_units": same, "cached_tokens": 48}})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"text": {"input": 2, "output": 6}, "text_cache_read": {"input": 48}}
    assert answer.notes == {}


def test_where_only_tokens_are_told_they_are_the_usage() -> None:
    tokens = {"input_tokens": 50, "output_tokens": 6}
    answer = play(CHAT, {"id": "c-1", "usage": {"tokens": tokens, "cached_tokens": 48}})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read) == (50, 6, 48)
    assert answer.notes == {}


def test_where_only_what_is_billed_is_told_that_is_the_usage() -> None:
    billed = {"billed_units": {"input_tokens": 12, "output_tokens": 9}}
    for answer in (
        play(CHAT, {"id": "c-1", "message": {}, "usage": billed}),
        play(CHAT, {"id": "c-1", "message": {}, "usage": {**billed, "tokens": {}}}),
        play(CHAT, stream(message_start(), message_end(usage=billed)), EVENTS),
        play(OLD_CHAT, {"generation_id": "g-1", "meta": billed}),
    ):
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 9)
        assert answer.notes == {}


def test_of_what_is_told_in_one_way_only_nothing_is_lost() -> None:
    told = {
        "tokens": {"input_tokens": 210},
        "billed_units": {"input_tokens": 12, "output_tokens": 9, "search_units": 1},
    }
    answer = play(CHAT, {"id": "c-1", "message": {}, "usage": told})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"text": {"input": 12, "output": 9}, "search_unit": {"output": 1}}
    assert answer.notes == {"system.usage.tokens": "input_tokens=210"}


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_a_stream_is_read_however_it_is_cut(size: int) -> None:
    raw = stream(message_start(), content(text="Hel"), content(text='lo "true"'), message_end(), "[DONE]")
    answer = play(CHAT, raw, EVENTS, size=size)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read) == (12, 9, None)
    assert (answer.response_id, answer.finish_reason) == ("c-77", "COMPLETE")


def test_streamed_tool_calls_are_joined_by_their_index() -> None:
    raw = stream(
        message_start(),
        tool("start", 0, name="weather", arguments=""),
        tool("delta", 0, arguments='{"city":'),
        tool("delta", 0, arguments='"Bonn"}'),
        {"type": "tool-call-end", "index": 0},
        tool("start", 1, name="clock", arguments="{}"),
        message_end("TOOL_CALL"),
    )
    answer = play(CHAT, raw, EVENTS)
    assert answer.function_calls == (FunctionCall("weather", '{"city":"Bonn"}'), FunctionCall("clock", "{}"))
    assert answer.finish_reason == "TOOL_CALL"


def test_tool_calls_of_a_whole_answer_are_named() -> None:
    called = [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    answer = play(CHAT, {"id": "c-2", "message": {"tool_calls": called}, "usage": USAGE})
    assert answer.function_calls == (FunctionCall("weather", "{}"),)
    old = play(
        OLD_CHAT, {"generation_id": "g", "tool_calls": [{"name": "weather", "parameters": {"a": 1}}], "meta": {}}
    )
    assert old.function_calls == (FunctionCall("weather", '{"a":1}'),)


def test_thinking_and_words_are_told_apart_and_the_end_is_seen_once() -> None:
    reader = open_reader(Match("cohere.v2.chat", "cohere", "cohere"), 200, EVENTS)
    assert reader.feed(stream(message_start())) is False
    assert not reader.first_token
    reader.feed(stream(content(thinking="Hm")))
    assert reader.first_token
    assert not reader.first_completion
    reader.feed(stream(content(text="Yes")))
    assert reader.first_completion
    assert reader.feed(stream(message_end())) is True
    assert reader.feed(stream("[DONE]")) is False


def test_a_stream_that_breaks_off_says_so() -> None:
    answer = play(CHAT, stream(message_start(), content(text="Hel")), EVENTS)
    assert answer.usage is None
    assert answer.notes == {MISSING: "stream ended before usage"}
    assert answer.response_id == "c-77"


def test_an_error_at_the_end_of_a_stream_is_a_failure() -> None:
    answer = play(CHAT, stream(message_start(), message_end("ERROR", error="model overloaded")), EVENTS)
    assert (answer.error_code, answer.error_message) == ("error", "model overloaded")
    assert answer.usage is not None
    event = stream(message_start(), {"type": "error", "error": {"code": "busy", "message": "later"}})
    answer = play(CHAT, event, EVENTS)
    assert (answer.error_code, answer.error_message) == ("busy", "later")


def test_a_refusal_has_no_response_id() -> None:
    answer = play(CHAT, {"id": "e-1", "error_type": "TOO_MANY", "message": "too many tokens"}, status=400)
    assert (answer.response_id, answer.error_code, answer.error_message) == (None, "TOO_MANY", "too many tokens")


@pytest.mark.parametrize("content_type", ["application/stream+json", "application/x-ndjson", "text/plain"])
def test_a_stream_of_version_1_ends_with_the_whole_answer(content_type: str) -> None:
    whole = {
        "generation_id": "g-1",
        "response_id": "r-1",
        "finish_reason": "COMPLETE",
        "tool_calls": [{"name": "search", "parameters": {"q": "x"}}],
        "meta": {
            "billed_units": {"input_tokens": 3, "output_tokens": 4},
            "tokens": {"input_tokens": 60, "output_tokens": 5},
        },
    }
    raw = as_lines(
        [
            {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"},
            {"is_finished": False, "event_type": "text-generation", "text": "Arr"},
            {"is_finished": False, "event_type": "tool-calls-generation", "tool_calls": whole["tool_calls"]},
            {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": whole},
        ]
    )
    answer = play(OLD_CHAT, raw, {"content-type": content_type}, size=13)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 4)
    assert (answer.response_id, answer.finish_reason) == ("g-1", "COMPLETE")
    assert answer.function_calls == (FunctionCall("search", '{"q":"x"}'),)


def test_tool_calls_of_a_stream_that_breaks_off_are_kept() -> None:
    called = {"event_type": "tool-calls-generation", "tool_calls": [{"name": "search", "parameters": {}}]}
    answer = play(OLD_CHAT, as_lines([{"event_type": "stream-start", "generation_id": "g"}, called]), LINES)
    assert answer.function_calls == (FunctionCall("search", "{}"),)
    assert answer.notes == {MISSING: "stream ended before usage"}


def test_generate_counts_what_is_billed() -> None:
    body = {
        "id": "n-1",
        "generations": [{"id": "x", "finish_reason": "MAX_TOKENS"}],
        "meta": {"billed_units": {"input_tokens": 7, "output_tokens": 20}},
    }
    answer = play("https://api.cohere.com/v1/generate", body)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 20)
    assert (answer.response_id, answer.finish_reason, answer.notes) == ("n-1", "MAX_TOKENS", {})
    last = {"is_finished": True, "finish_reason": "COMPLETE", "response": {"id": "n-2", "meta": body["meta"]}}
    streamed = play("https://api.cohere.com/v1/generate", as_lines([{"text": "a", "is_finished": False}, last]), LINES)
    assert streamed.usage == answer.usage
    assert streamed.response_id == "n-2"


@pytest.mark.parametrize(
    ("billed", "counted"),
    [
        ({"input_tokens": 8, "image_tokens": 0}, {"text": {"input": 8}}),
        ({"input_tokens": 8, "image_tokens": 90}, {"text": {"input": 8}, "vision": {"input": 90}}),
        ({"images": 2}, {"image": {"input": 2}}),
        ({"search_units": 3}, {"search_unit": {"output": 3}}),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("api", ["embed", "rerank"])
def test_what_is_billed_besides_tokens_is_counted_by_its_unit(
    billed: dict[str, int], counted: dict[str, dict[str, int]], version: str, api: str
) -> None:
    answer = play(f"https://api.cohere.com/{version}/{api}", {"id": "e", "meta": {"billed_units": billed}})
    assert answer.usage is not None
    assert units(answer.usage)[0] == counted


def test_images_that_cannot_be_among_the_input_are_counted_beside_it() -> None:
    tokens = {"input_tokens": 34, "output_tokens": 56, "image_tokens": 259}
    answer = play(CHAT, {"id": "c", "usage": {"tokens": tokens}})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"text": {"input": 34, "output": 56}, "vision": {"input": 259}}


def test_an_answer_without_usage_says_so() -> None:
    assert play(CHAT, {"id": "c-3", "message": {}}).notes == {MISSING: "provider sent no usage"}


def test_usage_without_an_end_is_partial() -> None:
    raw = as_lines([{"event_type": "stream-start", "generation_id": "g", "meta": {"tokens": {"input_tokens": 1}}}])
    assert play(OLD_CHAT, raw, LINES).notes == {PARTIAL: "stream ended before its end"}


def test_cohere_s_sdk_is_recognised_on_any_host_and_its_path_alone_is_not() -> None:
    by_sdk = {**JSON, "x-fern-sdk-name": "cohere"}
    match = matched("http://10.0.0.1:8000/v2/rerank", by_sdk)
    assert match == Match("cohere.v2.rerank", "cohere", "unknown")
    assert matched("http://10.0.0.1:8000/v2/chat") is None
    assert matched("http://10.0.0.1:8000/cohere/v2/chat") == Match("cohere.v2.chat", "cohere", "unknown")  # gateways
    assert matched("https://api.cohere.com/v1/tokenize", by_sdk) is None
    assert matched("https://api.cohere.com/v2/datasets/chat", by_sdk) is None
    assert matched("https://api.cohere.com/compatibility/v1/chat/completions") == Match(
        "openai.chat", "cohere", "cohere"
    )
