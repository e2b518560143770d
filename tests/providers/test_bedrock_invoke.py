"""Answers of Bedrock's `invoke`, whose bodies are the models' own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.providers import Answer, FunctionCall, open_reader, units
from payi_middleware.providers.answer import MISSING, PARTIAL
from tests.providers.aws_frames import EVENT_STREAM, chunk, exception
from tests.providers.wires import JSON, matched, play

HOST = "https://bedrock-runtime.us-west-2.amazonaws.com"
MODEL = f"{HOST}/model/some.model-v1%3A0"
INVOKE, STREAM = f"{MODEL}/invoke", f"{MODEL}/invoke-with-response-stream"
METRICS = {"inputTokenCount": 9, "outputTokenCount": 4, "invocationLatency": 300, "firstByteLatency": 100}
END = {"amazon-bedrock-invocationMetrics": METRICS}
CLAUDE = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4",
    "content": [{"type": "text", "text": "Oslo."}, {"type": "tool_use", "id": "t", "name": "weather", "input": {}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 7},
}
NOVA = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Oslo."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 52, "cacheReadInputTokenCount": 40},
}
CHOICES = {
    "id": "chatcmpl-1",
    "model": "openai.gpt-oss-20b-1:0",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Oslo."}}],
}
LLAMA = {"generation": "Oslo.", "prompt_token_count": 8, "generation_token_count": 3, "stop_reason": "stop"}
TITAN = {
    "inputTextTokenCount": 6,
    "results": [{"tokenCount": 4, "outputText": "Oslo.", "completionReason": "FINISH"}],
}


def told(**tokens: int) -> dict[str, str]:
    """Return the headers of an answer whose tokens Bedrock counts there."""
    names = {f"x-amzn-bedrock-{name.replace('_', '-')}-token-count": str(count) for name, count in tokens.items()}
    return {**JSON, **names}


def counted(answer: Answer) -> tuple[int | None, int | None, int | None]:
    assert answer.usage is not None
    return answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read


def streamed(*chunks: dict[str, Any], then: bytes = b"") -> Answer:
    return play(STREAM, b"".join(chunk(one) for one in chunks) + then, EVENT_STREAM)


def claude_stream(*, usage: dict[str, int] | None = None) -> list[dict[str, Any]]:
    start = {"id": "msg_bdrk_2", "type": "message", "model": "claude-sonnet-4", "usage": {"input_tokens": 5}}
    tool = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Oslo"}},
        {"type": "content_block_start", "index": 1, "content_block": tool},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage or {"output_tokens": 21}},
        {"type": "message_stop", **END},
    ]


@pytest.mark.parametrize(
    ("body", "expected", "finish"),
    [
        (CLAUDE, (105, 7, 100), "tool_use"),
        (NOVA, (45, 7, 40), "end_turn"),
        ({**CHOICES, "usage": {"prompt_tokens": 11, "completion_tokens": 2}}, (11, 2, None), "stop"),
        (LLAMA, (8, 3, None), "stop"),
        (TITAN, (6, 4, None), "FINISH"),
    ],
    ids=["claude", "nova", "choices", "llama", "titan"],
)
def test_a_models_own_counters_are_read(body: dict[str, Any], expected: tuple[int | None, ...], finish: str) -> None:
    answer = play(INVOKE, body, told(input=900, output=900))
    assert counted(answer) == expected
    assert (answer.finish_reason, answer.notes) == (finish, {})


@pytest.mark.parametrize(
    "body",
    [
        {name: value for name, value in CLAUDE.items() if name != "usage"},
        CHOICES,
        {"outputs": [{"text": "Oslo.", "stop_reason": "stop"}]},
        {"id": "c1", "generations": [{"id": "g1", "text": "Oslo.", "finish_reason": "COMPLETE"}]},
        {"response_id": "r/1", "text": "Oslo.", "generation_id": "g", "finish_reason": "COMPLETE"},
        {"completion": " Oslo.", "stop_reason": "stop_sequence"},
        {"prompt": {"tokens": []}, "completions": [{"data": {"text": "Oslo."}}]},
    ],
    ids=["claude", "choices", "mistral", "command", "command r", "claude 2", "jurassic"],
)
def test_headers_count_for_models_that_do_not(body: dict[str, Any]) -> None:
    answer = play(INVOKE, body, told(input=5, output=10))
    assert counted(answer) == (5, 10, None)
    assert answer.notes == {}


def test_caches_in_the_headers_lie_beside_the_input() -> None:
    answer = play(INVOKE, {"text": "x"}, told(input=4, output=10, cache_read_input=100, cache_write_input=20))
    assert answer.usage is not None
    assert units(answer.usage)[0] == {
        "text": {"input": 4, "output": 10},
        "text_cache_read": {"input": 100},
        "text_cache_write": {"input": 20},
    }


@pytest.mark.parametrize("value", ["", "-1", "x", "1.5", "9" * 40, "٣"])
def test_headers_that_are_no_counts_are_left_alone(value: str) -> None:
    answer = play(INVOKE, {"text": "x"}, {**JSON, "x-amzn-bedrock-input-token-count": value})
    assert answer.usage is None
    assert answer.notes == {MISSING: "provider sent no usage"}


def test_embeddings_count_their_input() -> None:
    assert counted(play(INVOKE, {"embedding": [0.1], "inputTextTokenCount": 6}, told(input=6))) == (6, None, None)
    assert counted(play(INVOKE, {"id": "e", "embeddings": [[0.1]]}, told(input=7))) == (7, None, None)


def test_images_are_counted_by_the_piece() -> None:
    answer = play(INVOKE, {"images": ["aGk=", "aGk="], "error": None})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"image": {"output": 2}}
    artifacts = play(INVOKE, {"result": "success", "artifacts": [{"base64": "aGk="}]})
    assert artifacts.usage is not None
    assert artifacts.usage.counts == {"image": {"output": 1}}


@pytest.mark.parametrize(("documents", "queries"), [(3, 1), (100, 1), (101, 2)])
def test_a_ranking_is_billed_by_queries_of_a_hundred_documents(documents: int, queries: int) -> None:
    results = [{"index": index, "relevance_score": 0.5} for index in range(documents)]
    answer = play(INVOKE, {"results": results})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"search_unit": {"output": queries}}


def test_ids_models_and_tools_are_the_models_own() -> None:
    answer = play(INVOKE, CLAUDE)
    assert (answer.response_id, answer.model) == ("msg_bdrk_1", "claude-sonnet-4")
    assert answer.function_calls == (FunctionCall("weather", "{}"),)
    ranked = play(INVOKE, {"response_id": "r/1", "text": "", "tool_calls": [{"name": "f", "parameters": {"a": 1}}]})
    assert (ranked.response_id, ranked.function_calls) == ("r/1", (FunctionCall("f", '{"a":1}'),))


def test_the_service_tier_is_in_a_header() -> None:
    assert play(INVOKE, LLAMA, {**JSON, "x-amzn-bedrock-service-tier": "flex"}).service_tier == "flex"


def test_claudes_stream_counts_what_claude_says() -> None:
    answer = streamed(*claude_stream())
    assert counted(answer) == (5, 21, None)  # Bedrock's metrics leave the tokens of tools out
    assert (answer.response_id, answer.finish_reason, answer.notes) == ("msg_bdrk_2", "tool_use", {})
    assert answer.function_calls == (FunctionCall("weather", "{}"),)


def test_novas_stream_nests_the_events_of_converse() -> None:
    tool = {"start": {"toolUse": {"toolUseId": "t", "name": "weather"}}, "contentBlockIndex": 1}
    answer = streamed(
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Os"}, "contentBlockIndex": 0}},
        {"contentBlockStart": tool},
        {"contentBlockDelta": {"delta": {"toolUse": {"input": "{}"}}, "contentBlockIndex": 1}},
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": NOVA["usage"], "metrics": {}, "trace": {}}, **END},
    )
    assert counted(answer) == (45, 7, 40)
    assert (answer.finish_reason, answer.function_calls) == ("tool_use", (FunctionCall("weather", "{}"),))


def test_choices_in_a_stream_are_read_and_their_last_usage_counts() -> None:
    def delta(words: str, finish: str | None, completion: int) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"content": words}, "finish_reason": finish}
        return {"id": "c1", "choices": [choice], "usage": {"prompt_tokens": 17, "completion_tokens": completion}}

    answer = streamed(delta("Os", None, 1), delta("lo", "stop", 2), END)
    assert counted(answer) == (17, 2, None)
    assert answer.response_id == "c1"


@pytest.mark.parametrize(
    "chunks",
    [
        [{"choices": [{"index": 0, "delta": {"content": "Oslo"}, "finish_reason": "stop"}]}, END],
        [
            {"outputs": [{"text": "Oslo", "stop_reason": None}]},
            {"outputs": [{"text": "", "stop_reason": "stop"}], **END},
        ],
        [{"type": "completion", "completion": " Oslo"}, {"type": "completion", "completion": "", **END}],
        [{"is_finished": False, "text": "Oslo"}, {"is_finished": True, "finish_reason": "COMPLETE", **END}],
    ],
    ids=["choices", "mistral", "claude 2", "command"],
)
def test_bedrocks_metrics_count_for_streams_that_do_not(chunks: list[dict[str, Any]]) -> None:
    answer = streamed(*chunks)
    assert counted(answer) == (9, 4, None)
    assert answer.notes == {}


def test_llama_counts_its_prompt_in_the_first_event_and_its_answer_in_the_last() -> None:
    first = {"generation": "Os", "prompt_token_count": 23, "generation_token_count": 1, "stop_reason": None}
    last = {"generation": "lo", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": "length"}
    answer = streamed(first, last)
    assert counted(answer) == (23, 2, None)
    assert answer.finish_reason == "length"


def test_a_side_that_a_stream_does_not_tell_is_filled_in_from_the_metrics() -> None:
    answer = streamed({"outputText": "Oslo", "totalOutputTextTokenCount": 3, **END})
    assert counted(answer) == (9, 3, None)


def test_titans_counts_may_be_written_as_fractions() -> None:
    assert counted(streamed({"outputText": "x", "totalOutputTextTokenCount": 3.0, "inputTextTokenCount": 6.0})) == (
        6,
        3,
        None,
    )


def test_tools_of_command_r_are_in_its_last_event() -> None:
    response = {"response_id": "r", "tool_calls": [{"name": "f", "parameters": {}}]}
    answer = streamed({"is_finished": False, "text": "x"}, {"is_finished": True, "response": response, **END})
    assert answer.function_calls == (FunctionCall("f", "{}"),)


def test_guardrails_tell_their_units_beside_the_answer() -> None:
    usage = {"topicPolicyUnits": 1, "sensitiveInformationPolicyFreeUnits": 2}
    assessment = {"g1": {"invocationMetrics": {"usage": usage}}}
    trace = {"guardrail": {"input": assessment, "outputs": [assessment]}}
    beside = {"amazon-bedrock-trace": trace, "amazon-bedrock-guardrailAction": "INTERVENED"}
    expected = {"guardrail_topic": {"input": 2}, "guardrail_sensitive_information_free": {"input": 4}}
    whole = play(INVOKE, {**LLAMA, **beside})
    stream = streamed({"metadata": {"usage": NOVA["usage"]}, **END, **beside})
    for answer in (whole, stream):
        assert answer.usage is not None
        assert answer.usage.counts == expected
        assert answer.notes["system.aws.bedrock.guardrail.action"] == "INTERVENED"
    quiet = play(INVOKE, {**LLAMA, "amazon-bedrock-guardrailAction": "NONE"})
    assert quiet.notes == {}


def test_an_exception_ends_a_stream() -> None:
    answer = streamed(*claude_stream()[:2], then=exception("modelTimeoutException", "Too slow"))
    assert (answer.error_code, answer.error_message) == ("modelTimeoutException", "Too slow")
    assert counted(answer)[0] == 5
    assert answer.notes == {PARTIAL: "error inside the stream"}
    nothing = streamed(then=exception("throttlingException", "Wait"))
    assert nothing.error_code == "throttlingException"
    assert nothing.notes == {MISSING: "error inside the stream"}


@pytest.mark.parametrize("cut", [0, 1])
def test_a_stream_that_breaks_off_has_no_usage(cut: int) -> None:
    answer = streamed(*[{"outputs": [{"text": "Os"}]}] * cut)
    assert answer.usage is None
    assert MISSING in answer.notes


def test_the_metrics_are_the_end_of_a_stream() -> None:
    match = matched(STREAM)
    assert match is not None
    reader = open_reader(match, 200, EVENT_STREAM)
    assert [reader.feed(chunk(one)) for one in ({"completion": " Oslo"}, {"completion": "", **END})] == [False, True]
    assert (reader.first_token, reader.first_completion) == (True, True)


@given(cuts=st.lists(st.integers(1, 120), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_stream_says_the_same_however_it_is_cut(cuts: list[int]) -> None:
    raw = b"".join(chunk(one) for one in claude_stream())
    match = matched(STREAM)
    assert match is not None
    reader = open_reader(match, 200, EVENT_STREAM)
    at = 0
    while at < len(raw):
        size = cuts[at % len(cuts)]
        reader.feed(raw[at : at + size])
        at += size
    assert reader.finish() == play(STREAM, raw, EVENT_STREAM)
