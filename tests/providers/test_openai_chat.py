"""Chat completions, completions and embeddings, with the ways in which compatible providers differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Answer, FunctionCall, Match, Usage, open_reader

Read = Callable[..., Answer]
CHAT = "openai.chat"
MODEL = "gpt-4o-2024-08-06"


def completion(usage: Any = None, **members: Any) -> dict[str, Any]:
    message = members.pop("message", {"role": "assistant", "content": "Hello."})
    choice = {"index": 0, "message": message, "finish_reason": members.pop("finish", "stop")}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "choices": [choice]}
    return whole | ({} if usage is None else {"usage": usage}) | members


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **members: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-2", "object": "chat.completion.chunk", "model": MODEL, "choices": choices} | members


OPENING = chunk({"role": "assistant", "content": ""})


def counts(prompt: int, answered: int, **details: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": answered, "total_tokens": prompt + answered} | details


def usage_of(answer: Answer) -> Usage:
    assert answer.usage is not None
    return answer.usage


def test_a_completion_tells_usage_id_model_finish_and_tier(body: Read) -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 2},
    }
    answer = body(CHAT, completion(counts(20, 10, **details), service_tier="flex"))
    assert answer == Answer(
        usage=Usage(
            input_tokens=20, output_tokens=10, cache_read=8, reasoning=4, audio_input=3, audio_output=2
        ),
        response_id="chatcmpl-1",
        model=MODEL,
        finish_reason="stop",
        service_tier="flex",
    )  # fmt: skip


def test_tool_calls_of_every_kind_are_named(body: Read) -> None:
    message = {
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
            {"id": "b", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
            {"id": "c", "function": {"name": "plain", "arguments": {"x": 1}}},
        ],
        "function_call": {"name": "old", "arguments": "{}"},
    }
    assert body(CHAT, completion(message=message)).function_calls == (
        FunctionCall("weather", '{"city":"Rome"}'),
        FunctionCall("shell", "ls"),
        FunctionCall("plain", '{"x":1}'),
        FunctionCall("old", "{}"),
    )


def test_an_embedding_counts_its_input(body: Read) -> None:
    answer = body(
        "openai.embeddings",
        {
            "object": "list",
            "data": [],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 5, "total_tokens": 5},
        },
    )
    assert answer.usage == Usage(input_tokens=5)
    assert answer.model == "text-embedding-3-small"


def test_voyage_counts_an_embedding_by_its_total(body: Read) -> None:
    assert body("openai.embeddings", {"model": "voyage-3", "usage": {"total_tokens": 4}}).usage == Usage(input_tokens=4)


def test_voyage_counts_pictures_as_what_is_no_text(body: Read) -> None:
    told = {"text_tokens": 5, "image_pixels": 2_000_000, "total_tokens": 3576}
    assert body("openai.embeddings", {"model": "m", "usage": told}).usage == Usage(3576, image_input=3571)


def test_a_completion_without_usage_says_so(body: Read) -> None:
    answer = body(CHAT, completion())
    assert answer.usage is None
    assert answer.notes == {"system.usage.missing": "provider sent no usage"}


def test_reasoning_outside_the_completion_is_added_when_the_total_proves_it(body: Read) -> None:
    raw = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 113} | {
        "completion_tokens_details": {"reasoning_tokens": 100}
    }
    usage = usage_of(body(CHAT, completion(raw), provider="xai"))
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning) == (12, 101, 100)


def test_audio_outside_the_prompt_is_added_when_the_total_proves_it(body: Read) -> None:
    raw = {"prompt_tokens": 5, "completion_tokens": 11, "total_tokens": 116} | {
        "prompt_tokens_details": {"audio_tokens": 100}
    }
    usage = usage_of(body(CHAT, completion(raw), provider="mistral"))
    assert (usage.input_tokens, usage.output_tokens, usage.audio_input) == (105, 11, 100)


def test_audio_alone_is_added_when_the_total_proves_that_reasoning_is_inside(body: Read) -> None:
    raw = {"prompt_tokens": 5, "completion_tokens": 31, "total_tokens": 136} | {
        "prompt_tokens_details": {"audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    usage = usage_of(body(CHAT, completion(raw)))
    assert (usage.input_tokens, usage.output_tokens) == (105, 31)


def test_both_are_added_when_the_total_proves_both(body: Read) -> None:
    raw = {"prompt_tokens": 5, "completion_tokens": 11, "total_tokens": 136} | {
        "prompt_tokens_details": {"audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    usage = usage_of(body(CHAT, completion(raw)))
    assert (usage.input_tokens, usage.output_tokens) == (105, 31)


def test_a_total_that_nothing_explains_changes_nothing_but_geminis(body: Read) -> None:
    raw = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    assert usage_of(body(CHAT, completion(raw))).output_tokens == 12
    assert usage_of(body(CHAT, completion(raw), provider="google")).output_tokens == 74


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens_details": {"cached_tokens": 6.0}},
        {"cached_tokens": 6},
        {"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
        {"cache_read_input_tokens": 6},
        {"num_cached_tokens": 6},
    ],
    ids=["openai", "moonshot", "deepseek", "databricks", "mistral"],
)
def test_cache_reads_are_found_where_the_provider_puts_them(body: Read, told: dict[str, Any]) -> None:
    usage = usage_of(body(CHAT, completion(counts(10, 1, **told))))
    assert (usage.input_tokens, usage.cache_read) == (10, 6)


def test_cache_writes_are_found_with_their_lifetimes(body: Read) -> None:
    openrouter = usage_of(body(CHAT, completion(counts(10, 1, prompt_tokens_details={"cache_write_tokens": 7}))))
    assert (openrouter.cache_write, openrouter.cache_write_1h) == (7, None)
    told = {"cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 3}}
    both = usage_of(body(CHAT, completion(counts(10, 1, **told))))
    assert (both.cache_write, both.cache_write_1h) == (4, 3)


def test_searches_of_perplexity_and_xai_are_counted(body: Read) -> None:
    assert usage_of(body(CHAT, completion(counts(1, 1, num_search_queries=2)))).web_search_requests == 2
    told = {"server_side_tool_usage_details": {"web_search_calls": 3}}
    assert usage_of(body(CHAT, completion(counts(1, 1, **told)))).web_search_requests == 3


@pytest.mark.parametrize("bad", [-1, True, "7.5", "-7", "", "²", "9" * 17, 1.5, None, [], 2**60, float("nan")])
def test_what_is_no_count_is_not_taken_for_one(body: Read, bad: Any) -> None:
    assert body(CHAT, completion({"prompt_tokens": bad, "completion_tokens": 3})).usage == Usage(output_tokens=3)


def test_a_stream_tells_its_usage_in_the_last_chunk(stream: Read) -> None:
    answer = stream(
        CHAT,
        OPENING | {"usage": None},
        chunk({"content": "Hi"}, usage=None),
        chunk({}, "stop", usage=None),
        chunk(None, usage=counts(9, 2), service_tier="default"),
        "[DONE]",
    )
    assert answer == Answer(
        usage=Usage(input_tokens=9, output_tokens=2),
        response_id="chatcmpl-2",
        model=MODEL,
        finish_reason="stop",
        service_tier="default",
    )


def test_groq_tells_a_streams_usage_in_x_groq(stream: Read) -> None:
    final = chunk({}, "stop", x_groq={"id": "req_1", "usage": counts(12, 26)})
    assert stream(CHAT, OPENING, final, "[DONE]").usage == Usage(input_tokens=12, output_tokens=26)


def test_moonshot_tells_a_streams_usage_in_the_choice(stream: Read) -> None:
    final = chunk({}, "stop")
    final["choices"][0]["usage"] = counts(3, 4)
    assert stream(CHAT, OPENING, final, "[DONE]").usage == Usage(input_tokens=3, output_tokens=4)


@pytest.mark.parametrize("together", [1, 3, 50])
@pytest.mark.parametrize("last", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_of_cumulative_usage_the_last_one_counts_however_many_events_come_at_once(together: int, last: Any) -> None:
    told = [chunk({"content": "w"}, usage=counts(7, number)) for number in range(1, 21)]
    events = [b"data: %s\n\n" % json.dumps(one, separators=(",", ":")).encode() for one in [OPENING, *told]]
    events.append(b"data: %s\n\n" % json.dumps(chunk({}, usage=last), separators=(",", ":")).encode())
    reader = open_reader(Match(CHAT, "c", "xai"), 200, {"content-type": "text/event-stream"})
    for start in range(0, len(events), together):
        reader.feed(b"".join(events[start : start + together]))
    assert reader.finish().usage == Usage(input_tokens=7, output_tokens=20)


def test_cumulative_usage_is_not_summed(stream: Read) -> None:
    events = [chunk({"content": "a"}, usage=counts(9, n)) for n in range(1, 6)]
    assert stream(CHAT, *events, "[DONE]").usage == Usage(input_tokens=9, output_tokens=5)


def test_a_stream_spelled_with_spaces_is_read_all_the_same() -> None:
    reader = open_reader(Match(CHAT, "c", "openai"), 200, {"content-type": "text/event-stream"})
    for event in (
        b'data: {"id" : "a", "model" : "m", "choices" : [{"delta" : {"content" : "Hi"}}]}\n\n',
        b'data: {"id" : "a", "model" : "m", "usage" : {"prompt_tokens" : 3, "completion_tokens" : 1}}\n\n',
        b"data:[DONE]\n\n",
    ):
        reader.feed(event)
    answer = reader.finish()
    assert (answer.usage, answer.response_id) == (Usage(input_tokens=3, output_tokens=1), "a")


def test_azures_first_event_with_empty_members_does_not_name_the_answer(stream: Read) -> None:
    first = {"choices": [], "created": 0, "id": "", "model": "", "prompt_filter_results": []}
    answer = stream(CHAT, first, OPENING, chunk({}, "stop"), "[DONE]")
    assert (answer.response_id, answer.model) == ("chatcmpl-2", MODEL)


def test_a_streamed_call_is_joined_from_its_fragments(stream: Read) -> None:
    def delta(index: int, **function: str | None) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": index, "function": function}]})

    first = chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "weather", "arguments": ""}}]})
    second = chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "time", "arguments": "{"}}]})
    answer = stream(
        CHAT, OPENING, first, delta(0, arguments='{"city":'), delta(0, arguments='"Rome"}', name=None), second,
        delta(1, arguments="}", name=""), chunk({}, "tool_calls"), "[DONE]",
    )  # fmt: skip
    assert answer.function_calls == (FunctionCall("weather", '{"city":"Rome"}'), FunctionCall("time", "{}"))
    assert answer.finish_reason == "tool_calls"


def test_calls_with_one_index_and_several_ids_are_several(stream: Read) -> None:
    events = [
        chunk({"tool_calls": [{"index": 0, "id": call, "function": {"name": call, "arguments": "{}"}}]})
        for call in "ab"
    ]
    assert [call.name for call in stream(CHAT, *events, "[DONE]").function_calls] == ["a", "b"]


def test_a_name_repeated_in_every_delta_is_one_call(stream: Read) -> None:
    events = [
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": part}}]}) for part in "{}"
    ]
    assert stream(CHAT, *events, "[DONE]").function_calls == (FunctionCall("f", "{}"),)


def test_the_older_function_call_is_joined_as_well(stream: Read) -> None:
    events = [chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}})]
    assert stream(CHAT, *events, "[DONE]").function_calls == (FunctionCall("f", "{}"),)


def test_arguments_too_long_to_keep_leave_the_names(stream: Read) -> None:
    first = chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "write", "arguments": ""}}]})
    parts = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x" * 200}}]})] * 400
    second = chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "giant", "arguments": "y" * 40_000}}]})
    answer = stream(CHAT, first, *parts, second, "[DONE]")
    assert answer.function_calls == (FunctionCall("write", None), FunctionCall("giant", None))


@pytest.mark.parametrize("empty", [{}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None])
def test_an_empty_form_after_the_counts_does_not_replace_them(stream: Read, empty: Any) -> None:
    answer = stream(CHAT, OPENING, chunk(None, usage=counts(7, 20)), chunk(None, usage=empty), "[DONE]")
    assert answer.usage == Usage(input_tokens=7, output_tokens=20)


def test_zeros_alone_are_counts(stream: Read) -> None:
    assert stream(CHAT, OPENING, chunk(None, usage=counts(0, 0)), "[DONE]").usage == Usage(0, 0)


def test_numbers_that_come_as_texts_are_numbers(body: Read) -> None:
    told = {"prompt_tokens": "7", "completion_tokens": "20", "prompt_tokens_details": {"cached_tokens": "3"}}
    assert body(CHAT, completion(told)).usage == Usage(7, 20, cache_read=3)


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b'{"code":429,"message":"Slow down"}', "429", "Slow down"),
        (b"upstream died", "error", None),
        (b'{"error":"boom"}', "error", "boom"),
    ],
)
@pytest.mark.parametrize("blank", [b" ", b""])
@pytest.mark.parametrize("words", [0, 3])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_an_event_that_is_an_error_by_its_name_ends_a_stream(
    data: bytes, code: str, message: str | None, blank: bytes, words: int, line_end: bytes
) -> None:
    reader = open_reader(Match(CHAT, "c", "openai"), 200, {"content-type": "text/event-stream"})
    for event in [OPENING, *[chunk({"content": "may"})] * words]:
        assert reader.feed(b"data: %s\n\n" % json.dumps(event, separators=(",", ":")).encode()) is False
    named = b"event:" + blank + b"error\ndata:" + blank + data + b"\n\n"
    assert reader.feed(named.replace(b"\n", line_end)) is True
    answer = reader.finish()
    assert (answer.error_code, answer.error_message, answer.response_id) == (code, message, "chatcmpl-2")
    assert answer.notes == {"system.usage.missing": "error inside the stream"}


def test_an_error_without_a_code_in_an_answer_of_status_200_is_a_failure(body: Read) -> None:
    answer = body(CHAT, {"error": "model is loading"})
    assert (answer.error_code, answer.error_message) == ("error", "model is loading")


def test_an_error_inside_a_stream_is_the_answer(stream: Read) -> None:
    error = {"error": {"message": "Overloaded", "type": "server_error", "code": None}}
    answer = stream(CHAT, OPENING, chunk({"content": "may"}), error)
    assert (answer.error_code, answer.error_message) == ("server_error", "Overloaded")
    assert answer.notes == {"system.usage.missing": "error inside the stream"}
    assert answer.response_id == "chatcmpl-2"


def test_a_truncated_stream_still_has_its_names(stream: Read) -> None:
    answer = stream(CHAT, OPENING, chunk({"content": "Hi"}))
    assert (answer.response_id, answer.model, answer.usage) == ("chatcmpl-2", MODEL, None)
    assert answer.notes == {"system.usage.missing": "stream ended before usage"}


def test_a_truncated_stream_with_cumulative_usage_says_that_it_is_partial(stream: Read) -> None:
    answer = stream(CHAT, chunk({"content": "Hi"}, usage=counts(9, 1)))
    assert answer.usage == Usage(input_tokens=9, output_tokens=1)
    assert answer.notes == {"system.usage.partial": "stream ended before its end"}


def test_a_complete_stream_without_usage_blames_the_provider(stream: Read) -> None:
    answer = stream(CHAT, OPENING, chunk({}, "stop"), "[DONE]")
    assert answer.notes == {"system.usage.missing": "provider sent no usage"}


def test_the_finish_is_that_of_the_first_choice(stream: Read) -> None:
    other = chunk({}, "length")
    other["choices"][0]["index"] = 1
    assert stream(CHAT, OPENING, other, chunk({}, "stop"), "[DONE]").finish_reason == "stop"


def test_empty_finish_reasons_do_not_crowd_out_the_real_one(stream: Read) -> None:
    events = [chunk({"content": "a"}, "")] * 2000
    assert stream(CHAT, *events, chunk({}, "stop"), "[DONE]").finish_reason == "stop"


def test_usage_hidden_in_generated_text_is_not_believed(stream: Read) -> None:
    lie = 'data: {"usage":{"prompt_tokens":1000000}} [DONE] "error"'
    events = [OPENING, chunk({"content": lie}), chunk({"content": "x"}), chunk({"content": lie})]
    answer = stream(CHAT, *events, chunk(None, usage=counts(9, 2)), "[DONE]")
    assert answer.usage == Usage(input_tokens=9, output_tokens=2)
    assert answer.error_message is None


def feed_marks(api: str, *deltas: bytes) -> list[tuple[bool, bool]]:
    reader = open_reader(Match(api, "c", "openai"), 200, {"content-type": "text/event-stream"})
    marks = []
    for delta in deltas:
        reader.feed(b'data: {"id":"a","model":"m","choices":[{"index":0,' + delta + b"}]}\n\n")
        marks.append((reader.first_token, reader.first_completion))
    return marks


def test_reasoning_is_a_token_and_text_is_a_completion() -> None:
    assert feed_marks(
        CHAT,
        b'"delta":{"role":"assistant","content":""}',
        b'"delta":{"content":"","reasoning_content":"Hm"}',
        b'"delta":{"content":"","reasoning_content":" so"}',
        b'"delta":{"content":"Hi"}',
        b'"delta":{"content":"!"}',
    ) == [(False, False), (True, False), (True, False), (True, True), (True, True)]


@pytest.mark.parametrize(
    "delta",
    [
        b'"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}',
        b'"delta":{"refusal":"No"}',
        b'"delta":{"audio":{"id":"a","transcript":"Hi"}}',
        b'"delta":{"content":[{"type":"text","text":"Hi"}]}',
    ],
    ids=["tool", "refusal", "audio", "parts"],
)
def test_every_visible_output_is_a_completion(delta: bytes) -> None:
    assert feed_marks(CHAT, delta) == [(True, True)]


def test_thinking_in_parts_is_no_completion() -> None:
    delta = b'"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]}]}'
    assert feed_marks(CHAT, delta) == [(True, False)]


def test_the_text_of_a_plain_completion_is_its_completion() -> None:
    assert feed_marks("openai.completions", b'"text":""', b'"text":"Hi"') == [(False, False), (True, True)]


def test_a_chat_that_answers_a_plain_prompt_is_timed_as_one() -> None:
    assert feed_marks("openai.completions", b'"delta":{"content":"Hi"}') == [(True, True)]


LETTERS = st.text(st.sampled_from('aß"\\:{}[] ,\n'), max_size=6)
WORDS = LETTERS | st.sampled_from(["usage", '"usage":{', "[DONE]", '"tool_calls":[{', '"finish_reason":"stop"'])
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "usage": st.none() | st.builds(counts, st.integers(0, 99), st.integers(0, 99)),
        "obfuscation": st.text("abc", max_size=4),
        "service_tier": st.just("default"),
        "error": st.none(),
    },
)
CALLS = st.just([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]) | st.none()
DELTAS = st.one_of(
    WORDS.map(lambda words: {"content": words}),
    WORDS.map(lambda words: {"reasoning_content": words}),
    CALLS.map(lambda calls: {"tool_calls": calls}),
)
CHUNKS = st.builds(
    lambda delta, finish, members: chunk(delta, finish, **members), DELTAS, st.sampled_from([None, "", "stop"]), MEMBERS
)


@given(st.lists(CHUNKS, max_size=12), st.integers(1, 4))
def test_skipping_events_like_those_before_never_skips_a_fact(events: list[dict[str, Any]], repeats: int) -> None:
    """Compare with the reading of every event: the last usage that counts anything, any finish, any call."""
    events = [OPENING, *(event for event in events for _ in range(repeats))]
    reader = open_reader(Match(CHAT, "c", "openai"), 200, {"content-type": "text/event-stream"})
    for event in events:
        reader.feed(b"data: " + json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n")
    answer = reader.finish()
    told = [event["usage"] for event in events if event.get("usage")]
    told = [usage for usage in told if usage["total_tokens"]] or told
    expected = (
        Usage(input_tokens=told[-1]["prompt_tokens"], output_tokens=told[-1]["completion_tokens"]) if told else None
    )
    assert answer.usage == expected
    choices = [event["choices"][0] for event in events]
    assert answer.finish_reason == ("stop" if any(choice["finish_reason"] == "stop" for choice in choices) else None)
    assert bool(answer.function_calls) is any(choice["delta"].get("tool_calls") for choice in choices)
    visible = any(choice["delta"].get("content") or choice["delta"].get("tool_calls") for choice in choices)
    assert reader.first_completion is visible
    assert reader.first_token is (visible or any(choice["delta"].get("reasoning_content") for choice in choices))


@pytest.mark.parametrize(
    ("told", "provider", "unique"),
    [
        ({"id": "chatcmpl-417", "system_fingerprint": "fp_ollama"}, "unknown", False),
        ({"id": "chatcmpl-417"}, "ollama", False),
        ({"id": "cmpl-7"}, "ollama", False),
        ({"id": "chatcmpl-417"}, "openai", True),
        ({"id": "chatcmpl-0a1b2c3d4e"}, "ollama", True),
        ({"id": "12"}, "unknown", False),
        ({"id": "id-1767213405020"}, "cloudflare", False),
        ({"id": "gen-1767213405-AbCdEf"}, "openrouter", True),
        ({"id": None}, "ollama", True),
    ],
)
def test_an_id_that_other_answers_have_too_is_known_by_its_form(
    body: Read, stream: Read, told: dict[str, Any], provider: str, unique: bool
) -> None:
    assert body(CHAT, completion(counts(3, 4), **told), provider=provider).unique_id is unique
    assert stream(CHAT, OPENING | told, chunk({}, "stop") | told, provider=provider).unique_id is unique
