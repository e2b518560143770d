"""Answers of Bedrock's Converse, whole and streamed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.providers import Answer, FunctionCall, open_reader, units
from payi_middleware.providers.answer import MISSING, PARTIAL
from tests.providers.aws_frames import EVENT_STREAM, event, exception
from tests.providers.wires import JSON, matched, play

HOST = "https://bedrock-runtime.eu-west-1.amazonaws.com"
CONVERSE = f"{HOST}/model/eu.amazon.nova-lite-v1%3A0/converse"
STREAM = f"{HOST}/model/eu.amazon.nova-lite-v1%3A0/converse-stream"
USAGE = {"inputTokens": 12, "outputTokens": 30, "totalTokens": 42}
POLICIES = {"topicPolicyUnits": 1, "contentPolicyUnits": 2, "wordPolicyUnits": 1, "contextualGroundingPolicyUnits": 0}


def said(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": list(content) or [{"text": "Oslo."}]}},
        "stopReason": "end_turn",
        "usage": USAGE,
        "metrics": {"latencyMs": 400},
        **more,
    }


def tool(name: str, **given: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": f"tooluse_{name}", "name": name, "input": given}}


def assessed(**usage: int) -> dict[str, Any]:
    return {"invocationMetrics": {"guardrailProcessingLatency": 9, "usage": {**POLICIES, **usage}}}


def delta(words: str, index: int = 0, kind: str = "text") -> bytes:
    told: dict[str, Any] = {"text": words}
    if kind == "toolUse":
        told = {"toolUse": {"input": words}}
    elif kind == "reasoningContent":
        told = {"reasoningContent": {"text": words}}
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": told, "p": "abc"})


def tool_start(name: str, index: int, **more: str) -> bytes:
    used = {"toolUse": {"toolUseId": f"t{index}", "name": name, **more}}
    return event("contentBlockStart", {"contentBlockIndex": index, "start": used, "p": "ab"})


def stop(reason: str = "end_turn") -> bytes:
    return event("messageStop", {"stopReason": reason, "p": "abcd"})


def metadata(**more: Any) -> bytes:
    return event("metadata", {"metrics": {"latencyMs": 5}, "p": "a", "usage": USAGE, **more})


def streamed(*messages: bytes) -> Answer:
    start = event("messageStart", {"role": "assistant", "p": "abcdefgh"})
    return play(STREAM, start + b"".join(messages), EVENT_STREAM)


def test_tokens_are_counted_as_they_are_told() -> None:
    answer = play(CONVERSE, said())
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 30)
    assert (answer.usage.cache_read, answer.usage.cache_write) == (None, None)
    assert (answer.finish_reason, answer.notes) == ("end_turn", {})


def test_what_is_read_from_a_cache_or_written_to_it_lies_beside_the_input() -> None:
    usage = {**USAGE, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20, "cacheReadInputTokenCount": 100}
    answer = play(CONVERSE, said(usage=usage))
    assert answer.usage is not None
    assert answer.usage.input_tokens == 132
    assert units(answer.usage)[0] == {
        "text": {"input": 12, "output": 30},
        "text_cache_read": {"input": 100},
        "text_cache_write": {"input": 20},
    }


def test_writes_of_an_hour_are_told_from_those_of_five_minutes() -> None:
    details = [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 5}]
    answer = play(CONVERSE, said(usage={**USAGE, "cacheWriteInputTokens": 20, "cacheDetails": details}))
    assert answer.usage is not None
    assert (answer.usage.cache_write, answer.usage.cache_write_1h, answer.usage.input_tokens) == (5, 15, 32)


def test_a_side_that_is_not_told_stays_unknown() -> None:
    answer = play(CONVERSE, said(usage={"outputTokens": 50}))
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (None, 50)


def test_no_usage_is_said_to_be_missing() -> None:
    answer = play(CONVERSE, {"output": {"message": {"content": [{"text": ""}]}}, "stopReason": "end_turn"})
    assert answer.usage is None
    assert answer.notes == {MISSING: "provider sent no usage"}


def test_the_apps_tools_are_named_and_those_that_bedrock_runs_are_not() -> None:
    grounding = tool("nova_grounding", query="x")
    grounding["toolUse"]["type"] = "server_tool_use"
    answer = play(CONVERSE, said(grounding, {"text": "so"}, tool("weather", city="Oslo"), stopReason="tool_use"))
    assert answer.function_calls == (FunctionCall("weather", '{"city":"Oslo"}'),)


def test_the_model_that_a_prompt_router_chose_is_the_one_that_answered() -> None:
    arn = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0"
    assert play(CONVERSE, said(trace={"promptRouter": {"invokedModelId": arn}})).model == arn


def test_the_service_tier_is_told() -> None:
    assert play(CONVERSE, said(serviceTier={"type": "priority"})).service_tier == "priority"
    assert streamed(stop(), metadata(serviceTier={"type": "flex"})).service_tier == "flex"


def test_a_guardrails_units_of_prompt_and_answer_are_summed_up() -> None:
    trace = {"inputAssessment": {"g1": assessed()}, "outputAssessments": {"g1": [assessed(topicPolicyUnits=3)]}}
    answer = play(CONVERSE, said(trace={"guardrail": trace}))
    assert answer.usage is not None
    assert units(answer.usage)[0] == {
        "text": {"input": 12, "output": 30},
        "guardrail_topic": {"input": 4},
        "guardrail_content": {"input": 4},
        "guardrail_word_free": {"input": 2},
    }
    assert answer.notes == {}


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("topicPolicyUnits", "guardrail_topic"),
        ("contentPolicyUnits", "guardrail_content"),
        ("wordPolicyUnits", "guardrail_word_free"),
        ("automatedReasoningPolicyUnits", "guardrail_automated_reasoning"),
        ("sensitiveInformationPolicyUnits", "guardrail_sensitive_information"),
        ("sensitiveInformationPolicyFreeUnits", "guardrail_sensitive_information_free"),
        ("contextualGroundingPolicyUnits", "guardrail_contextual_grounding"),
        ("contentPolicyImageUnits", "guardrail_content_image"),
    ],
)
def test_each_policy_has_its_unit(name: str, unit: str) -> None:
    trace = {"inputAssessment": {"g1": {"invocationMetrics": {"usage": {name: 7}}}}}
    answer = play(CONVERSE, said(trace={"guardrail": trace}))
    assert answer.usage is not None
    assert answer.usage.counts == {unit: {"input": 7}}


def test_an_intervention_is_a_failure_in_pay_is_sense() -> None:
    answer = streamed(stop("guardrail_intervened"), metadata())
    assert answer.notes["system.aws.bedrock.guardrail.action"] == "guardrail_intervened"
    assert answer.notes["system.failure"] == "guardrail_intervened"
    assert answer.error_code is None


@pytest.mark.parametrize("trace", [7, [], {"guardrail": 3}, {"guardrail": {"inputAssessment": [[[[[[{}]]]]]]}}])
def test_a_trace_of_another_form_counts_nothing(trace: Any) -> None:
    answer = play(CONVERSE, said(trace=trace))
    assert answer.usage is not None
    assert answer.usage.counts == {}


def test_a_stream_tells_its_usage_at_its_end() -> None:
    start = event("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}})
    end = event("contentBlockStop", {"contentBlockIndex": 0})
    answer = streamed(start, delta("Os"), delta("lo."), end, stop(), metadata())
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 30)
    assert (answer.finish_reason, answer.notes) == ("end_turn", {})


def test_tools_in_a_stream_get_their_arguments_together() -> None:
    answer = streamed(
        delta("Let me see"),
        tool_start("weather", 1),
        delta('{"city":', 1, "toolUse"),
        tool_start("time", 2),
        delta('"Oslo"}', 1, "toolUse"),
        delta("{}", 2, "toolUse"),
        tool_start("nova_grounding", 3, type="server_tool_use"),
        stop("tool_use"),
        metadata(),
    )
    assert answer.function_calls == (FunctionCall("weather", '{"city":"Oslo"}'), FunctionCall("time", "{}"))


def test_arguments_too_long_to_keep_are_left_out() -> None:
    many = [delta("x" * 3_000, 1, "toolUse") for _ in range(40)]
    answer = streamed(tool_start("write", 1), *many, stop("tool_use"), metadata())
    assert answer.function_calls == (FunctionCall("write", None),)


def test_an_exception_ends_a_stream() -> None:
    answer = streamed(delta("Os"), exception("throttlingException", "Too many tokens"))
    assert (answer.error_code, answer.error_message) == ("throttlingException", "Too many tokens")
    assert answer.notes == {MISSING: "error inside the stream"}


def test_a_stream_that_breaks_off_has_no_usage() -> None:
    assert streamed(delta("Os"), stop()).notes == {MISSING: "stream ended before usage"}


def test_usage_before_an_exception_is_partial() -> None:
    answer = streamed(metadata(), exception("modelStreamErrorException", "gone"))
    assert answer.usage is not None
    assert answer.notes == {PARTIAL: "error inside the stream"}


def test_the_metadata_is_the_end_of_a_stream_and_thoughts_are_no_answer() -> None:
    match = matched(STREAM)
    assert match is not None
    reader = open_reader(match, 200, EVENT_STREAM)
    seen = []
    thought = delta("hmm", 0, "reasoningContent")
    for message in (event("messageStart", {"role": "assistant"}), thought, delta("Oslo", 1), stop(), metadata()):
        ended = reader.feed(message)
        seen.append((reader.first_token, reader.first_completion, ended))
    nothing, thinking, answering = (False, False, False), (True, False, False), (True, True, False)
    assert seen == [nothing, thinking, answering, answering, (True, True, True)]


def test_the_end_is_seen_in_one_chunk_with_the_last_words() -> None:
    match = matched(STREAM)
    assert match is not None
    reader = open_reader(match, 200, EVENT_STREAM)
    assert not reader.feed(delta("Os"))
    assert reader.feed(delta("lo") + stop() + metadata())
    usage = reader.finish().usage
    assert usage is not None
    assert usage.output_tokens == 30


def test_a_tool_call_is_an_answer() -> None:
    match = matched(STREAM)
    assert match is not None
    reader = open_reader(match, 200, EVENT_STREAM)
    reader.feed(tool_start("weather", 0))
    assert (reader.first_token, reader.first_completion) == (True, True)


def test_words_that_look_like_events_are_words() -> None:
    answer = streamed(delta('"metadata":{"usage":{"inputTokens":9}} toolUse messageStop'), stop(), metadata())
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.function_calls) == (12, ())


@given(cuts=st.lists(st.integers(1, 90), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_stream_says_the_same_however_it_is_cut(cuts: list[int]) -> None:
    raw = b"".join([delta("Os"), tool_start("f", 1), delta("{}", 1, "toolUse"), stop("tool_use"), metadata()])
    match = matched(STREAM)
    assert match is not None
    reader = open_reader(match, 200, EVENT_STREAM)
    at = 0
    while at < len(raw):
        size = cuts[at % len(cuts)]
        reader.feed(raw[at : at + size])
        at += size
    assert reader.finish() == play(STREAM, raw, EVENT_STREAM)


def test_amazons_error_header_is_the_code_of_an_error() -> None:
    headers = {**JSON, "x-amzn-errortype": "ValidationException:http://internal.amazon.com/coral/"}
    answer = play(CONVERSE, {"message": "The provided model identifier is invalid."}, headers, status=400)
    assert answer.error_code == "ValidationException"
    assert answer.error_message == "The provided model identifier is invalid."
    assert answer.usage is None
