"""Gemini's interactions, whole and streamed."""

from __future__ import annotations

from typing import Any

import pytest

from payi_middleware.providers import Answer, FunctionCall, Usage, recognise
from payi_middleware.providers.answer import MISSING, PARTIAL
from payi_middleware.providers.gemini_interactions import GeminiInteractions
from tests.providers.wires import EVENTS, as_events, matched, play

URL = "https://generativelanguage.googleapis.com/v1beta/interactions"
COUNTS: dict[str, Any] = {
    "total_tokens": 1373,
    "total_input_tokens": 22,
    "input_tokens_by_modality": [{"modality": "text", "tokens": 2}, {"modality": "image", "tokens": 20}],
    "total_cached_tokens": 4,
    "total_output_tokens": 973,
    "total_tool_use_tokens": 129,
    "tool_use_tokens_by_modality": [{"modality": "text", "tokens": 129}],
    "total_thought_tokens": 249,
}
USAGE = Usage(151, 1222, cache_read=4, reasoning=249, image_input=20)
CALL = {"type": "function_call", "id": "c1", "name": "add", "arguments": {"x": 1}}
WHOLE: dict[str, Any] = {
    "id": "v1_a",
    "object": "interaction",
    "model": "gemini-2.5-flash",
    "status": "completed",
    "service_tier": "standard",
    "steps": [{"type": "thought"}, CALL, {"type": "google_search_call", "name": "search"}],
    "usage": COUNTS,
}


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"event_type": kind, **members}


OPENING = event("interaction.created", interaction={"id": "v1_a", "model": "gemini-2.5-flash", "status": "in_progress"})
CLOSING = event("interaction.completed", interaction={key: value for key, value in WHOLE.items() if key != "steps"})
STEPS = [
    event("step.start", index=0, step={"type": "thought"}),
    event("step.delta", index=0, delta={"type": "thought_summary", "content": {"type": "text", "text": "hm"}}),
    event("step.start", index=1, step={**CALL, "arguments": {}}),
    event("step.delta", index=1, delta={"type": "arguments_delta", "arguments": '{"x":'}),
    event("step.delta", index=1, delta={"type": "arguments_delta", "arguments": "1}"}),
    event("step.stop", index=1),
]


def test_an_interaction_tells_its_usage_and_its_calls() -> None:
    expected = Answer(USAGE, "v1_a", "gemini-2.5-flash", "completed", (FunctionCall("add", '{"x":1}'),))
    assert play(URL, WHOLE) == Answer(**{**_members(expected), "service_tier": "standard"})


def _members(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in Answer.__dataclass_fields__}


def test_a_streamed_interaction_tells_the_same() -> None:
    streamed = play(URL, as_events(OPENING, *STEPS, CLOSING, "[DONE]"), EVENTS, size=7)
    assert streamed == play(URL, WHOLE)


def test_the_first_betas_events_are_read_too() -> None:
    answer = play(
        URL,
        as_events(
            event("interaction.start", interaction=OPENING["interaction"]),
            event("content.start", index=0, content={"type": "function_call"}),
            event("content.delta", index=0, delta=CALL),
            event("interaction.complete", interaction=CLOSING["interaction"]),
        ),
        EVENTS,
    )
    assert (answer.usage, answer.function_calls) == (USAGE, (FunctionCall("add", '{"x":1}'),))
    whole = play(URL, {**WHOLE, "steps": None, "outputs": [CALL]})
    assert whole.function_calls == (FunctionCall("add", '{"x":1}'),)


def test_a_stream_that_breaks_off_keeps_what_it_counted_last() -> None:
    counted = event("step.delta", index=1, delta={"type": "text", "text": "x"}, metadata={"usage": COUNTS})
    answer = play(URL, as_events(OPENING, counted), EVENTS)
    assert (answer.usage, answer.response_id, answer.finish_reason) == (USAGE, "v1_a", None)
    assert answer.notes == {PARTIAL: "stream ended before its end"}
    assert play(URL, as_events(OPENING), EVENTS).notes == {MISSING: "stream ended before usage"}


def test_an_interaction_in_the_background_has_no_usage_yet() -> None:
    answer = play(URL, {"id": "v1_a", "status": "in_progress", "agent": "deep-research"})
    assert answer.usage is None
    assert answer.model == "deep-research"
    assert answer.notes == {MISSING: "interaction is not complete"}
    assert play(URL, {"id": "v1_a", "status": "failed"}).notes == {MISSING: "provider sent no usage"}


def test_errors_are_told() -> None:
    error = event("error", error={"code": "resource_exhausted", "message": "no"})
    answer = play(URL, as_events(OPENING, error), EVENTS)
    assert (answer.error_code, answer.error_message) == ("resource_exhausted", "no")
    assert answer.notes == {MISSING: "error inside the stream"}
    unnamed = play(URL, as_events({"error": {"code": 500, "message": "no"}}), EVENTS)
    assert unnamed.error_code == "500"
    assert play(URL, {"error": {"code": 400, "message": "no"}}, status=400).error_code == "400"
    assert play(URL, {**WHOLE, "status": "failed", "error": {"message": "no"}}).error_message == "no"


@pytest.mark.parametrize("kind", ["completed", "failed", "cancelled", "incomplete", "complete"])
def test_the_terminal_event_ends_the_stream(kind: str) -> None:
    match = matched(URL)
    assert match is not None
    reading = GeminiInteractions(match, {})
    assert not reading.see(as_events(OPENING, *STEPS))
    assert reading.see(as_events(event(f"interaction.{kind}", interaction={"id": "v1_a"})))
    assert reading.streamed().notes == {MISSING: "provider sent no usage"}


def test_thoughts_are_tokens_but_no_part_of_the_answer() -> None:
    match = matched(URL)
    assert match is not None
    reading = GeminiInteractions(match, {})
    reading.see(as_events(OPENING, STEPS[0]))
    assert not reading.first_token
    reading.see(as_events(STEPS[1]))
    assert (reading.first_token, reading.first_completion) == (True, False)
    reading.see(as_events(event("step.delta", index=1, delta={"type": "text", "text": "Hi"})))
    assert reading.first_completion


def test_arguments_too_long_to_keep_leave_the_name() -> None:
    many = [event("step.delta", index=1, delta={"type": "arguments_delta", "arguments": "y"})] * 500
    answer = play(URL, as_events(OPENING, STEPS[2], *many, CLOSING), EVENTS)
    assert answer.function_calls == (FunctionCall("add"),)


def test_what_goes_on_in_the_background_counts_when_it_is_picked_up() -> None:
    started = play(URL, {"id": "v1_a", "status": "in_progress"})
    assert (started.inference, started.notes) == (False, {MISSING: "interaction is not complete"})
    match = recognise("GET", "generativelanguage.googleapis.com", None, "/v1beta/interactions/v1_a", {})
    assert match is not None
    assert match.api == "gemini.interactions.retrieve"
    poll = f"{URL}/v1_a"
    assert not play(poll, {"id": "v1_a", "status": "in_progress"}, method="GET").inference
    ended = play(poll, WHOLE, method="GET")
    assert (ended.inference, ended.usage, ended.response_id, ended.unique_id) == (True, USAGE, "v1_a", True)
    followed = play(poll, as_events(OPENING, *STEPS, CLOSING), EVENTS, method="GET")
    assert (followed.inference, followed.usage) == (True, USAGE)
    assert not play(poll, as_events(OPENING, STEPS[0]), EVENTS, method="GET").inference


def test_an_agent_that_worked_in_the_background_is_named_when_its_work_is_picked_up() -> None:
    told = {key: value for key, value in WHOLE.items() if key != "model"} | {"agent": "deep-research"}
    assert play(f"{URL}/v1_a", told, method="GET").model == "deep-research"


def test_a_stream_that_the_app_leaves_does_not_take_the_id_of_what_is_picked_up_later() -> None:
    left = play(URL, as_events(OPENING, STEPS[0]), EVENTS)
    assert (left.inference, left.response_id, left.unique_id) == (True, "v1_a", False)


@pytest.mark.parametrize(
    ("method", "host", "path"),
    [
        ("GET", "app.example", "/v1beta/interactions/v1_a"),
        ("GET", "generativelanguage.googleapis.com", "/v1beta/interactions"),
        ("POST", "generativelanguage.googleapis.com", "/v1beta/interactions/v1_a/cancel"),
        ("POST", "generativelanguage.googleapis.com", "/v1beta/interactions/v1_a"),
    ],
)
def test_other_requests_about_interactions_are_no_inferences(method: str, host: str, path: str) -> None:
    assert recognise(method, host, None, path, {}) is None
