"""Anthropic's text completions: who answered, and that no usage is told."""

from __future__ import annotations

from payi_middleware.providers import recognise
from payi_middleware.providers.answer import MISSING
from tests.providers.conftest import read_body, read_stream

ANSWER = {
    "type": "completion",
    "id": "compl_1",
    "completion": " Hi",
    "stop_reason": "stop_sequence",
    "model": "claude-2.1",
}
API = "anthropic.complete"


def test_a_completion_tells_its_model_and_id_and_that_there_is_no_usage() -> None:
    answer = read_body(API, ANSWER)
    assert (answer.usage, answer.model, answer.response_id, answer.finish_reason) == (
        None,
        "claude-2.1",
        "compl_1",
        "stop_sequence",
    )
    assert MISSING in answer.notes


def test_a_streamed_completion_ends_at_the_event_that_says_why() -> None:
    first = {**ANSWER, "stop_reason": None}
    answer = read_stream(API, first, {"type": "ping"}, {**ANSWER, "completion": ""})
    assert (answer.usage, answer.model, answer.finish_reason) == (None, "claude-2.1", "stop_sequence")


def test_a_stream_that_is_left_still_tells_its_model() -> None:
    assert read_stream(API, {**ANSWER, "stop_reason": None}).response_id == "compl_1"


def test_an_error_within_the_stream_is_a_failure() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert read_stream(API, {**ANSWER, "stop_reason": None}, error).error_code == "overloaded_error"


def test_it_is_known_by_its_host_or_its_version_header() -> None:
    match = recognise("POST", "api.anthropic.com", None, "/v1/complete", {})
    assert match is not None
    assert match.api == API
    assert recognise("POST", "gateway.test", None, "/v1/complete", {"anthropic-version": "2023-06-01"}) is not None
    assert recognise("POST", "shop.test", None, "/v1/complete", {}) is None
