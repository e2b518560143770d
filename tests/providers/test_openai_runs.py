"""Runs of assistants: each counts once, whichever way the app learns of its end."""

from __future__ import annotations

from json import dumps
from typing import Any

import pytest

from payi_middleware.providers import Answer, FunctionCall, Match, Usage, open_reader
from tests.providers.wires import play

RUNS = "https://api.openai.com/v1/threads/thread_1/runs"
POLL = Match("openai.assistants.run.retrieve", "system.openai", "openai")
COUNTS = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
USAGE = Usage(input_tokens=30, output_tokens=12)
ENDS = ["completed", "incomplete", "failed", "cancelled", "expired"]


def run(status: str, usage: Any = None, **members: Any) -> dict[str, Any]:
    known = {"id": "run_1", "object": "thread.run", "status": status, "model": "gpt-4o", "usage": usage}
    return known | members


def named(*events: tuple[str, Any]) -> bytes:
    return b"".join(
        f"event: {name}\ndata: {told if isinstance(told, str) else dumps(told)}\n\n".encode() for name, told in events
    )


def polled(body: dict[str, Any], status: int = 200) -> Answer:
    reader = open_reader(POLL, status, {"content-type": "application/json"})
    reader.feed(dumps(body).encode())
    return reader.finish()


STEP = ("thread.run.step.completed", {"id": "step_1", "object": "thread.run.step", "usage": COUNTS})
DELTA = ("thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": []}})
DONE = ("done", "[DONE]")


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "cancelling"])
def test_a_run_that_has_not_ended_is_no_inference_yet(status: str) -> None:
    for answer in (play(RUNS, run(status)), polled(run(status))):
        assert not answer.inference
        assert answer.usage is None


@pytest.mark.parametrize("status", ENDS)
def test_the_poll_that_finds_a_run_ended_tells_its_usage_under_its_id(status: str) -> None:
    answer = polled(run(status, COUNTS))
    assert answer == Answer(usage=USAGE, response_id="run_1", model="gpt-4o", finish_reason=status)
    assert answer.inference
    assert answer.unique_id


def test_a_run_that_failed_tells_why() -> None:
    answer = polled(run("failed", last_error={"code": "rate_limit_exceeded", "message": "Slow down"}))
    assert (answer.error_code, answer.error_message) == ("rate_limit_exceeded", "Slow down")
    assert answer.notes == {"system.usage.missing": "provider sent no usage"}
    assert answer.inference


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_poll_that_fails_is_no_failed_inference_and_a_run_that_cannot_begin_is(status: int) -> None:
    error = {"error": {"code": "nope", "message": "No"}}
    assert not polled(error, status).inference
    begun = play(RUNS, error, status=status)
    assert begun.inference
    assert begun.error_code == "nope"


@pytest.mark.parametrize("size", [1, 7, 100, 65_536])
def test_a_streamed_run_ends_with_its_usage_and_its_steps_are_not_added(size: int) -> None:
    raw = named(
        ("thread.created", {"id": "thread_1", "object": "thread"}),
        ("thread.run.created", run("queued")),
        ("thread.run.in_progress", run("in_progress")),
        DELTA,
        STEP,
        ("thread.run.completed", run("completed", COUNTS)),
        DONE,
    )
    assert play(RUNS, raw, size=size) == Answer(
        usage=USAGE, response_id="run_1", model="gpt-4o", finish_reason="completed"
    )


def test_a_stream_tells_when_its_first_words_came_and_when_it_ended() -> None:
    reader = open_reader(Match("openai.assistants.run", "system.openai", "openai"), 200, {})
    assert not reader.feed(named(("thread.run.created", run("queued"))))
    assert not reader.first_token
    assert not reader.feed(named(DELTA))
    assert reader.first_token
    assert reader.first_completion
    assert not reader.feed(named(("thread.run.completed", run("completed", COUNTS))))
    assert reader.feed(named(DONE))


def test_a_stream_that_waits_for_tools_is_no_inference_yet() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [{"type": "other"}, call]}}
    waiting = run("requires_action", required_action=action)
    answer = play(RUNS, named(("thread.run.requires_action", waiting), DONE))
    assert not answer.inference
    assert answer.function_calls == (FunctionCall("weather", "{}"),)


def test_a_stream_that_the_app_left_leaves_the_runs_id_to_a_later_poll() -> None:
    answer = play(RUNS, named(("thread.run.created", run("queued")), DELTA, STEP))
    assert answer.usage is None
    assert answer.inference
    assert not answer.unique_id
    assert answer.response_id == "run_1"
    assert answer.notes == {"system.usage.missing": "stream ended before usage"}


@pytest.mark.parametrize(
    "told", [{"error": {"code": "server_error", "message": "Oops"}}, {"code": "server_error", "message": "Oops"}]
)
def test_an_error_inside_the_stream_is_told(told: dict[str, Any]) -> None:
    answer = play(RUNS, named(("thread.run.created", run("queued")), ("error", told)))
    assert (answer.error_code, answer.error_message, answer.inference) == ("server_error", "Oops", True)
    assert answer.notes == {"system.usage.missing": "error inside the stream"}
