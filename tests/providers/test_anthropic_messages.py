"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payi_middleware.providers import Answer, FunctionCall, Match, Usage, open_reader, units

Read = Callable[..., Answer]
API = "anthropic.messages"


def message(usage: Any, **members: Any) -> dict[str, Any]:
    known = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    return known | {"stop_reason": "end_turn", "usage": usage} | members


def start(usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": message(usage, stop_reason=None)}


def delta(usage: Any, stop: str = "end_turn") -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage}


STOP = {"type": "message_stop"}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}


def usage_of(answer: Answer) -> Usage:
    assert answer.usage is not None
    return answer.usage


def test_cached_and_written_tokens_are_added_to_the_input(body: Read) -> None:
    told = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "output_tokens": 7,
        "service_tier": "priority",
        "server_tool_use": {"web_search_requests": 2},
    }
    answer = body(API, message(told))
    assert answer == Answer(
        usage=Usage(
            input_tokens=140,
            output_tokens=7,
            cache_read=100,
            cache_write=20,
            cache_write_1h=10,
            web_search_requests=2,
            reasoning_as_text=True,
        ),
        response_id="msg_1",
        model="claude-sonnet-4-5",
        finish_reason="end_turn",
        service_tier="priority",
    )
    assert units(usage_of(answer))[0]["text"] == {"input": 10, "output": 7}


@pytest.mark.parametrize(("speed", "tier"), [("fast", "fast"), ("standard", "standard"), (None, "standard")])
def test_fast_mode_is_a_service_tier(body: Read, speed: str | None, tier: str) -> None:
    told = {"input_tokens": 1, "output_tokens": 1, "service_tier": "standard", "speed": speed}
    assert body(API, message(told)).service_tier == tier


def test_a_write_without_lifetimes_is_one_of_five_minutes(body: Read) -> None:
    usage = usage_of(body(API, message({"input_tokens": 1, "cache_creation_input_tokens": 9, "output_tokens": 1})))
    assert (usage.input_tokens, usage.cache_write, usage.cache_write_1h) == (10, 9, None)


def test_a_write_above_its_lifetimes_leaves_the_rest_to_five_minutes(body: Read) -> None:
    lifetimes = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}
    told = {"input_tokens": 1, "cache_creation_input_tokens": 9, "cache_creation": lifetimes, "output_tokens": 1}
    usage = usage_of(body(API, message(told)))
    assert (usage.input_tokens, usage.cache_write, usage.cache_write_1h) == (10, 6, 3)


def test_iterations_are_billed_where_they_are_more_than_the_top_level(body: Read) -> None:
    turns = [
        {"type": "message", "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 4},
        {"type": "advisor_message", "input_tokens": 50, "output_tokens": 6, "cache_creation_input_tokens": 7},
    ]
    answer = body(API, message({"input_tokens": 10, "output_tokens": 5, "iterations": turns}))
    usage = usage_of(answer)
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read, usage.cache_write) == (71, 11, 4, 7)
    assert answer.notes == {"system.usage.iterations": "2"}


def test_iterations_that_are_less_than_the_top_level_are_not_billed(body: Read) -> None:
    told = {"input_tokens": 10, "output_tokens": 5, "iterations": [{"input_tokens": 1, "output_tokens": 1}]}
    assert usage_of(body(API, message(told))).input_tokens == 10


@pytest.mark.parametrize(("fresh", "large"), [(99_999, False), (100_000, True)])
def test_context_is_large_from_200000_tokens_on(body: Read, fresh: int, large: bool) -> None:
    told = {"input_tokens": fresh, "cache_read_input_tokens": 60_000, "cache_creation_input_tokens": 40_000}
    assert usage_of(body(API, message(told | {"output_tokens": 1}))).large_context is large


def test_the_context_of_iterations_is_that_of_the_largest(body: Read) -> None:
    turns = [{"input_tokens": 120_000, "output_tokens": 1}] * 2
    usage = usage_of(body(API, message({"input_tokens": 120_000, "output_tokens": 1, "iterations": turns})))
    assert (usage.input_tokens, usage.large_context) == (240_000, False)


@pytest.mark.parametrize(
    ("provider", "place", "scope"),
    [
        ("anthropic", "us", "datazone.us"),
        ("anthropic", "global", None),
        ("anthropic", "not_available", None),
        ("anthropic", None, None),
        ("azure", "us", None),
    ],
)
def test_the_place_of_inference_is_a_scope_of_anthropics_own(
    body: Read, provider: str, place: str | None, scope: str | None
) -> None:
    told = {"input_tokens": 1, "output_tokens": 1, "inference_geo": place}
    assert usage_of(body(API, message(told), provider=provider)).scope == scope


def test_thinking_is_told_and_stays_text_in_the_units(body: Read) -> None:
    told = {"input_tokens": 1, "output_tokens": 37, "output_tokens_details": {"thinking_tokens": 9}}
    usage = usage_of(body(API, message(told)))
    assert usage.reasoning == 9
    assert units(usage)[0] == {"text": {"input": 1, "output": 37}}


def test_only_the_apps_own_tools_are_function_calls(body: Read) -> None:
    content = [
        {"type": "server_tool_use", "name": "web_search", "input": {}},
        {"type": "mcp_tool_use", "name": "remote", "input": {}},
        {"type": "tool_use", "name": "weather", "input": {"city": "Rome"}},
    ]
    answer = body(API, message({"input_tokens": 1, "output_tokens": 1}, content=content))
    assert answer.function_calls == (FunctionCall("weather", '{"city":"Rome"}'),)


def test_a_delta_replaces_what_the_start_said(stream: Read) -> None:
    first = {"input_tokens": 700, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}
    last = {"input_tokens": 1500, "cache_creation_input_tokens": 9, "output_tokens": 175, "service_tier": None}
    answer = stream(API, start(first), TEXT, delta(last, "tool_use"), STOP)
    usage = usage_of(answer)
    assert (usage.input_tokens, usage.output_tokens) == (1514, 175)
    assert (usage.cache_read, usage.cache_write) == (5, 9)
    assert (answer.finish_reason, answer.service_tier, answer.notes) == ("tool_use", "standard", {})
    assert (answer.response_id, answer.model) == ("msg_1", "claude-sonnet-4-5")


def test_several_deltas_are_cumulative(stream: Read) -> None:
    events = [delta({"output_tokens": count}) for count in (5, 9, 12)]
    assert usage_of(stream(API, start({"input_tokens": 3, "output_tokens": 1}), *events, STOP)).output_tokens == 12


def test_a_truncated_stream_has_the_usage_of_its_start(stream: Read) -> None:
    answer = stream(API, start({"input_tokens": 3, "output_tokens": 1}), TEXT)
    assert (usage_of(answer).input_tokens, usage_of(answer).output_tokens) == (3, 1)
    assert answer.notes == {"system.usage.partial": "stream ended before its end"}


def test_a_stream_that_never_started_has_nothing(stream: Read) -> None:
    assert stream(API, TEXT).notes == {"system.usage.missing": "stream ended before usage"}


def test_an_error_event_ends_the_stream(stream: Read) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    answer = stream(API, error)
    assert (answer.error_code, answer.error_message) == ("overloaded_error", "Overloaded")
    assert answer.notes == {"system.usage.missing": "error inside the stream"}


def test_a_streamed_call_is_joined_from_its_fragments(stream: Read) -> None:
    def opened(index: int, kind: str, name: str) -> dict[str, Any]:
        block = {"type": kind, "id": f"t{index}", "name": name, "input": {}}
        return {"type": "content_block_start", "index": index, "content_block": block}

    def part(index: int, text: str) -> dict[str, Any]:
        fragment = {"type": "input_json_delta", "partial_json": text}
        return {"type": "content_block_delta", "index": index, "delta": fragment}

    answer = stream(
        API, start({"input_tokens": 3, "output_tokens": 1}), opened(1, "server_tool_use", "web_search"), part(1, "{}"),
        opened(2, "tool_use", "weather"), part(2, '{"city":'), part(2, '"Rome"}'), opened(3, "tool_use", "now"), STOP,
    )  # fmt: skip
    assert answer.function_calls == (FunctionCall("weather", '{"city":"Rome"}'), FunctionCall("now", "{}"))


def test_thinking_is_a_token_and_text_is_a_completion() -> None:
    reader = open_reader(Match(API, "c", "anthropic"), 200, {"content-type": "text/event-stream"})
    marks = []
    for kind in ("signature_delta", "thinking_delta", "text_delta"):
        reader.feed(b'data: {"type":"content_block_delta","index":0,"delta":{"type":"%s"}}\n\n' % kind.encode())
        marks.append((reader.first_token, reader.first_completion))
    assert marks == [(False, False), (True, False), (True, True)]


def test_zeros_that_a_gateway_fills_into_a_delta_are_no_counts(stream: Read) -> None:
    told = {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1}
    zeros = {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": None, "output_tokens": 9}
    usage = usage_of(stream(API, start(told), TEXT, delta(zeros), STOP))
    assert (usage.input_tokens, usage.cache_read, usage.output_tokens) == (14, 4, 9)


def test_a_delta_whose_input_is_all_from_the_cache_counts(stream: Read) -> None:
    told = {"input_tokens": 0, "cache_read_input_tokens": 10, "output_tokens": 9}
    usage = usage_of(stream(API, start({"input_tokens": 10, "output_tokens": 1}), TEXT, delta(told), STOP))
    assert (usage.input_tokens, usage.cache_read, usage.output_tokens) == (10, 10, 9)
