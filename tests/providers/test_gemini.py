"""Gemini's generations: what `usageMetadata` counts, in one body, in events and in an array."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Answer, FunctionCall, Usage, open_reader, units
from payi_middleware.providers.answer import MISSING, PARTIAL
from payi_middleware.providers.gemini import Gemini
from tests.providers.wires import EVENTS, JSON, as_events, matched, play

HOST = "https://generativelanguage.googleapis.com/v1beta"
URL = f"{HOST}/models/gemini-2.5-flash:generateContent"
STREAM = f"{HOST}/models/gemini-2.5-flash:streamGenerateContent"
IDS = {"modelVersion": "gemini-2.5-flash", "responseId": "r-1"}


def told(usage: dict[str, Any] | None, *parts: dict[str, Any], finish: str | int | None = "STOP") -> dict[str, Any]:
    """Return one generation, or one event of a stream of them."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **({"usageMetadata": usage} if usage is not None else {}), **IDS}


def said(text: str) -> dict[str, Any]:
    return {"text": text}


def usage(**counts: Any) -> dict[str, Any]:
    """Return a `usageMetadata` with its total, as Google writes it: without the counters that are zero."""
    names = {"prompt": "promptTokenCount", "answer": "candidatesTokenCount", "thoughts": "thoughtsTokenCount"}
    names |= {"tools": "toolUsePromptTokenCount"}
    found = {names[name]: counts.pop(name) for name in names if name in counts}
    return {**found, "totalTokenCount": sum(found.values()), **counts}


def tokens(answer: Answer) -> tuple[int | None, int | None]:
    assert answer.usage is not None
    return answer.usage.input_tokens, answer.usage.output_tokens


def test_a_generation_tells_its_ids_its_finish_and_its_usage() -> None:
    answer = play(URL, told(usage(prompt=9, answer=21), said("Hello")))
    assert answer == Answer(Usage(9, 21), "r-1", "gemini-2.5-flash", "STOP")


def test_thinking_is_beside_the_candidates_and_inside_the_output() -> None:
    answer = play(URL, told(usage(prompt=9, answer=21, thoughts=100), said("Hello")))
    assert answer.usage == Usage(9, 121, reasoning=100)
    assert units(answer.usage)[0] == {"text": {"input": 9, "output": 21}, "reasoning": {"output": 100}}


def test_what_tools_bring_into_the_prompt_is_added_and_cached_content_is_inside() -> None:
    answer = play(URL, told(usage(prompt=1000, answer=5, tools=300, cachedContentTokenCount=800), said("x")))
    assert answer.usage == Usage(1300, 5, cache_read=800)


def test_modalities_are_told_apart_and_pages_count_as_images() -> None:
    metadata = usage(
        prompt=1200,
        answer=50,
        tools=10,
        cachedContentTokenCount=500,
        promptTokensDetails=[
            {"modality": "TEXT", "tokenCount": 300},
            {"modality": "IMAGE", "tokenCount": 258},
            {"modality": "DOCUMENT", "tokenCount": 242},
            {"modality": "VIDEO", "tokenCount": 300},
            {"modality": "AUDIO", "tokenCount": 100},
        ],
        cacheTokensDetails=[
            {"modality": "VIDEO", "tokenCount": 200},
            {"modality": "AUDIO", "tokenCount": 60},
            {"modality": "IMAGE", "tokenCount": 40},
        ],
        candidatesTokensDetails=[{"modality": "IMAGE", "tokenCount": 40}, {"modality": "AUDIO", "tokenCount": 10}],
        toolUsePromptTokensDetails=[{"modality": "AUDIO", "tokenCount": 10}],
    )
    answer = play(URL, told(metadata, said("x")))
    assert answer.usage is not None
    assert units(answer.usage) == (
        {
            "text": {"input": 100, "output": 0},
            "text_cache_read": {"input": 200},
            "vision": {"input": 460},
            "vision_cache_read": {"input": 40},
            "video": {"input": 100},
            "video_cache_read": {"input": 200},
            "audio": {"input": 50, "output": 10},
            "audio_cache_read": {"input": 60},
            "image": {"output": 40},
        },
        {},
    )


def test_enums_that_are_numbers_are_understood() -> None:
    metadata = usage(
        prompt=300,
        answer=10,
        promptTokensDetails=[{"modality": 1, "tokenCount": 42}, {"modality": 2, "tokenCount": 258}],
    )
    answer = play(URL, told(metadata | {"trafficType": 2}, said("x"), finish=2))
    assert answer.usage == Usage(300, 10, image_input=258)
    assert (answer.finish_reason, answer.service_tier) == ("MAX_TOKENS", "provisioned_throughput")


@pytest.mark.parametrize(
    ("model", "prompt", "large"),
    [
        ("gemini-2.5-pro", 200_000, False),
        ("gemini-2.5-pro", 200_001, True),
        ("gemini-2.5-pro-preview-06-05", 200_001, True),
        ("gemini-2.5-flash", 900_000, False),
        ("gemini-1.5-pro-002", 128_001, True),
    ],
)
def test_context_is_large_by_the_models_own_threshold(model: str, prompt: int, large: bool) -> None:
    answer = play(
        f"{HOST}/models/{model}:generateContent", told(usage(prompt=prompt, answer=1)) | {"modelVersion": model}
    )
    assert answer.usage is not None
    assert answer.usage.large_context is large
    assert ("text_large_context" in units(answer.usage)[0]) is large


def test_a_model_that_is_not_told_is_the_one_asked_for() -> None:
    body = told(usage(prompt=300_000, answer=1))
    del body["modelVersion"]
    answer = play(f"{HOST}/models/gemini-2.5-pro:generateContent", body)
    assert answer.model is None
    assert answer.usage is not None
    assert answer.usage.large_context


def test_function_calls_of_a_body_are_named_with_their_arguments() -> None:
    parts: list[dict[str, Any]] = [
        {"functionCall": {"name": "add", "args": {"x": 2}}},
        {"functionCall": {"name": "now"}},
        said("text"),
    ]
    answer = play(URL, told(usage(prompt=1, answer=2), *parts))
    assert answer.function_calls == (FunctionCall("add", '{"x":2}'), FunctionCall("now"))


def test_a_blocked_prompt_finishes_with_the_reason() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(prompt=7), **IDS}
    counted = play(URL, body)
    assert (counted.finish_reason, counted.usage, counted.notes) == ("PROHIBITED_CONTENT", Usage(7), {})
    uncounted = play(URL, body | {"usageMetadata": {"trafficType": "ON_DEMAND"}})
    assert uncounted.usage is None
    assert uncounted.notes == {MISSING: "prompt blocked: PROHIBITED_CONTENT"}
    streamed = play(STREAM, as_events(body), EVENTS)
    assert (streamed.finish_reason, streamed.usage, streamed.notes) == ("PROHIBITED_CONTENT", Usage(7), {})


def test_a_body_without_usage_says_so() -> None:
    assert play(URL, told(None, said("x"))).notes == {MISSING: "provider sent no usage"}


def test_searches_are_not_counted_as_web_search_requests() -> None:
    body = told(usage(prompt=1, answer=2), said("x"))
    body["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["a", "b"]}
    assert play(URL, body).usage == Usage(1, 2)


def test_the_service_tier_is_told() -> None:
    assert play(URL, told(usage(prompt=1, answer=2, serviceTier="flex"))).service_tier == "flex"
    assert play(URL, told(usage(prompt=1, answer=2, trafficType="ON_DEMAND"))).service_tier is None


def test_a_body_above_the_limit_still_tells_its_usage() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "A" * (6 * 2**20)}}
    answer = play(URL, told(usage(prompt=5, answer=1290), image))
    assert (answer.usage, answer.response_id, answer.model) == (Usage(5, 1290), "r-1", "gemini-2.5-flash")


@pytest.mark.parametrize("status", [400, 404, 429, 503])
@pytest.mark.parametrize("framed", ["body", "array", "event"])
def test_errors_are_told_by_their_code(status: int, framed: str) -> None:
    error = {"error": {"code": status, "message": "no", "status": "SOMETHING"}}
    body: Any = {"body": error, "array": [error], "event": as_events(error)}[framed]
    answer = play(STREAM, body, EVENTS if framed == "event" else JSON, status=status)
    assert (answer.error_code, answer.error_message, answer.usage) == (str(status), "no", None)


STREAMED = [
    told(usage(prompt=9, answer=3), said("Hel"), finish=None),
    told(usage(prompt=9, answer=7), said("lo"), finish=None),
    told(usage(prompt=9, answer=8, thoughts=4), said("!")),
]


def test_the_last_count_of_a_stream_holds() -> None:
    expected = Answer(Usage(9, 12, reasoning=4), "r-1", "gemini-2.5-flash", "STOP")
    assert play(STREAM, as_events(*STREAMED), EVENTS) == expected
    assert play(STREAM, json.dumps(STREAMED).encode()) == expected
    assert play(STREAM, json.dumps(STREAMED, indent=2).replace("\n", "\r\n").encode(), size=11) == expected


def test_a_usage_that_counts_nothing_does_not_replace_one_that_does() -> None:
    last = told({"trafficType": "ON_DEMAND"}, said(""), finish=None)
    assert tokens(play(STREAM, as_events(*STREAMED, last), EVENTS)) == (9, 12)


def test_a_counter_that_the_last_event_drops_is_carried_on() -> None:
    details = [{"modality": "AUDIO", "tokenCount": 15}]
    first = told(
        {"promptTokenCount": 9, "candidatesTokenCount": 15, "candidatesTokensDetails": details}, said("x"), finish=None
    )
    last = told({"thoughtsTokenCount": 30})
    answer = play(STREAM, as_events(first, last), EVENTS)
    assert answer.usage == Usage(9, 45, reasoning=30, audio_output=15)


def test_every_event_that_comes_in_one_piece_counts() -> None:
    reading = family()
    reading.see(as_events(told(usage(prompt=9), said("x"), finish=None)))
    both = [told({"toolUsePromptTokenCount": 7}, said("x"), finish=None), told({"promptTokenCount": 9}, finish=None)]
    reading.see(as_events(*both))
    assert reading.streamed().usage == Usage(16)


def test_the_model_that_answers_decides_whether_a_streams_context_is_large() -> None:
    event = told(usage(prompt=200_001, answer=1), said("x")) | {"modelVersion": "gemini-2.5-pro"}
    answer = play(f"{HOST}/models/gemini-pro-latest:streamGenerateContent", as_events(event), EVENTS)
    assert answer.usage is not None
    assert answer.usage.large_context


def test_nothing_is_carried_on_where_the_last_total_is_complete() -> None:
    first = told(usage(prompt=9, answer=15, thoughts=78), said("x"), finish=None)
    last = told(usage(prompt=87, thoughts=78))
    assert tokens(play(STREAM, as_events(first, last), EVENTS)) == (87, 78)


def test_a_total_decides_which_of_two_dropped_counters_is_carried_on() -> None:
    first = told(usage(prompt=9, answer=15, thoughts=12), said("x"), finish=None)
    last = told({"promptTokenCount": 9, "totalTokenCount": 24})
    assert play(STREAM, as_events(first, last), EVENTS).usage == Usage(9, 15)


def test_counts_after_the_finish_reason_still_count() -> None:
    assert tokens(
        play(STREAM, as_events(told(None, said("x")), told(usage(prompt=3, answer=4), finish=None)), EVENTS)
    ) == (
        3,
        4,
    )


def test_streamed_function_calls_are_named_once_each() -> None:
    events = [
        told({}, {"functionCall": {"name": "theme"}, "thoughtSignature": "A" * 30_000}, finish=None),
        told({}, {"functionCall": {"name": "write", "willContinue": True}}, finish=None),
        told({}, {"functionCall": {"partialArgs": [{"jsonPath": "$.name"}], "willContinue": True}}, finish=None),
        told({}, {"functionCall": {}}, finish=None),
        told(usage(prompt=5, answer=6), {"functionCall": {"name": "add", "args": {"x": 1}}}),
    ]
    answer = play(STREAM, as_events(*events), EVENTS)
    assert answer.function_calls == (FunctionCall("theme"), FunctionCall("write"), FunctionCall("add", '{"x":1}'))
    assert tokens(answer) == (5, 6)


def test_a_call_whose_arguments_are_too_long_to_keep_is_still_named() -> None:
    call = {"functionCall": {"name": "save", "args": {"text": "y" * 200_000}}}
    answer = play(STREAM, as_events(told(usage(prompt=5, answer=6), call)), EVENTS)
    assert answer.function_calls == (FunctionCall("save"),)
    assert tokens(answer) == (5, 6)


def test_calls_beyond_what_is_kept_are_named_without_their_arguments() -> None:
    call = {"functionCall": {"name": "save", "args": {"text": "y" * 9_000}}}
    first = {"functionCall": {"args": {"text": "y" * 40_000}, "name": "unknown"}}
    together = play(STREAM, as_events(told({}, *[call] * 6), told({}, first)), EVENTS)
    assert together.function_calls == (FunctionCall("save"),) * 6
    events = [told({}, call, finish=None)] * 12
    apart = play(STREAM, as_events(*events, told(usage(prompt=5, answer=6))), EVENTS)
    assert [called.name for called in apart.function_calls] == ["save"] * 12
    assert [called.arguments is not None for called in apart.function_calls] == [True] * 5 + [False] * 7


def test_an_error_inside_a_stream_ends_it() -> None:
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    event = play(STREAM, as_events(STREAMED[0], error), EVENTS)
    assert (event.error_code, event.error_message, tokens(event)) == ("503", "overloaded", (9, 3))
    bare = play(STREAM, as_events(STREAMED[0]) + json.dumps(error, indent=2).encode(), EVENTS)
    assert (bare.error_code, bare.error_message) == ("503", "overloaded")
    listed = play(STREAM, [STREAMED[0], error])
    assert (listed.error_code, tokens(listed)) == ("503", (9, 3))
    alone = play(STREAM, as_events(error), EVENTS)
    assert alone.notes == {MISSING: "error inside the stream"}


def test_a_text_that_speaks_of_errors_is_none() -> None:
    spoken = told(usage(prompt=1, answer=2), {"functionCall": {"name": "log", "args": {"error": "x"}}})
    reading = family()
    assert not reading.see(as_events(spoken))
    assert reading.streamed().error_code is None


def test_a_stream_that_breaks_off_says_so() -> None:
    assert play(STREAM, as_events(*STREAMED[:2]), EVENTS).notes == {PARTIAL: "stream ended before its end"}
    assert play(STREAM, as_events(told(None, said("x"), finish=None)), EVENTS).notes == {
        MISSING: "stream ended before usage"
    }
    assert play(STREAM, as_events(told(None, said("x"))), EVENTS).notes == {MISSING: "provider sent no usage"}


def family() -> Gemini:
    match = matched(STREAM)
    assert match is not None
    return Gemini(match, {})


@pytest.mark.parametrize(
    ("parts", "first", "completion"),
    [
        ([said("Hi")], True, True),
        ([said("")], False, False),
        ([{"text": "hm", "thought": True}], True, False),
        ([{"text": "hm", "thought": True}, said("Hi")], True, True),
        ([{"functionCall": {"name": "f"}}], True, True),
        ([{"inlineData": {"mimeType": "audio/pcm", "data": "AA"}}], True, True),
        ([{"toolCall": {"toolType": "GOOGLE_SEARCH_WEB"}}], False, False),
    ],
)
def test_thoughts_are_tokens_but_no_part_of_the_answer(
    parts: list[dict[str, Any]], first: bool, completion: bool
) -> None:
    reading = family()
    reading.see(as_events(told({}, *parts, finish=None)))
    assert (reading.first_token, reading.first_completion) == (first, completion)


def test_an_endless_stream_is_held_in_bounded_memory() -> None:
    reading = family()
    event = as_events(told(usage(prompt=5, answer=6), {"functionCall": {"name": "f", "args": {"a": "z" * 9000}}}))
    for _ in range(500):
        reading.see(event)
    kept = sum(len(raw) for raw in reading._calls.events) + sum(len(raw) for raw in reading._counted.values())
    assert kept < 128 * 1024
    assert reading.streamed().usage == Usage(5, 6)


@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_any_split_of_a_stream_reads_the_same(squeeze: bool, cuts: list[int]) -> None:
    match = matched(STREAM)
    assert match is not None
    for raw, headers in (
        (as_events(*STREAMED).replace(b"\n", b"\r\n"), EVENTS),
        (json.dumps(STREAMED, indent=1).encode(), JSON),
    ):
        reader = open_reader(match, 200, {**headers, "content-encoding": "gzip"} if squeeze else headers)
        data, at, turn = gzip.compress(raw) if squeeze else raw, 0, 0
        while at < len(data):
            size = cuts[turn % len(cuts)]
            reader.feed(data[at : at + size])
            at, turn = at + size, turn + 1
        assert reader.finish() == Answer(Usage(9, 12, reasoning=4), "r-1", "gemini-2.5-flash", "STOP")


@given(noise=st.binary(max_size=400))
def test_no_bytes_whatever_raise(noise: bytes) -> None:
    for around in (b"%s", b'data: {"usageMetadata": %s}\n\n', b'data: {"functionCall": %s, "error": 1}\n\n'):
        play(STREAM, around.replace(b"%s", noise), EVENTS)
        play(URL, around.replace(b"%s", noise))
