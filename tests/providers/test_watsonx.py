"""watsonx.ai's answers."""

from __future__ import annotations

from typing import Any

import pytest

from payi_middleware.providers import Match, open_reader, read_request
from payi_middleware.providers.answer import MISSING, PARTIAL
from tests.providers.wires import EVENTS, JSON, as_events, matched, play

ROOT = "https://us-south.ml.cloud.ibm.com/ml/v1"


def result(text: str, asked: int, answered: int, stop: str = "not_finished") -> dict[str, Any]:
    counts = {"input_token_count": asked, "generated_token_count": answered}
    return {"model_id": "ibm/granite-3", "results": [{"generated_text": text, "stop_reason": stop, **counts}]}


@pytest.mark.parametrize("path", ["text/generation", "deployments/mine/text/generation"])
def test_a_generation_in_one_body_is_read(path: str) -> None:
    answer = play(f"{ROOT}/{path}?version=2025-01-01", result("2", 7, 2, "eos_token"))
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 2)
    assert (answer.model, answer.finish_reason, answer.notes) == ("ibm/granite-3", "eos_token", {})


@pytest.mark.parametrize("size", [1, 9, 10_000])
def test_a_stream_counts_its_input_once_and_its_output_as_it_grows(size: int) -> None:
    raw = as_events(result("", 8, 0), result("a", 0, 1), result("b", 0, 2), result("", 0, 3, "eos_token"))
    answer = play(f"{ROOT}/text/generation_stream", raw, EVENTS, size=size)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.finish_reason) == (8, 3, "eos_token")


def test_the_first_text_and_the_end_are_seen() -> None:
    reader = open_reader(Match("watsonx.generate", "watsonx", "watsonx"), 200, EVENTS)
    assert reader.feed(as_events(result("", 8, 0))) is False
    assert not reader.first_token
    assert reader.feed(as_events(result("a", 0, 1))) is False
    assert reader.first_completion
    assert reader.feed(as_events(result("", 0, 2, "max_tokens"))) is True


def test_a_stream_that_breaks_off_is_partial_and_one_that_fails_says_so() -> None:
    url = f"{ROOT}/text/generation_stream"
    answer = play(url, as_events(result("", 8, 0), result("a", 0, 1)), EVENTS)
    assert answer.usage is not None
    assert (answer.usage.output_tokens, answer.notes) == (1, {PARTIAL: "stream ended before its end"})
    error = {"errors": [{"code": "downstream_request_failed", "message": "no capacity"}], "status_code": 500}
    answer = play(url, as_events(error), EVENTS)
    assert (answer.error_code, answer.error_message) == ("downstream_request_failed", "no capacity")
    assert answer.notes == {MISSING: "error inside the stream"}
    answer = play(url, {**error, "trace": "x"}, status=404)
    assert (answer.error_code, answer.error_message) == ("downstream_request_failed", "no capacity")


def test_chat_is_read_as_openai_s() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    body = {"id": "chat-1", "model_id": "ibm/granite-3", "model": "ibm/granite-3", "choices": [], "usage": usage}
    for path in ("text/chat", "deployments/mine/text/chat"):
        answer = play(f"{ROOT}/{path}", body)
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.response_id) == (5, 6, "chat-1")


@pytest.mark.parametrize("path", ["text/embeddings", "text/rerank"])
def test_embeddings_and_rerankings_count_their_input(path: str) -> None:
    answer = play(
        f"{ROOT}/{path}", {"model_id": "ibm/slate", "results": [{"embedding": [1.0]}], "input_token_count": 9}
    )
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, None)


def test_an_answer_without_counts_says_so() -> None:
    assert play(f"{ROOT}/text/generation", {"results": [{"generated_text": "x"}]}).notes == {
        MISSING: "provider sent no usage"
    }


def test_the_model_asked_for_is_in_the_body_or_the_path() -> None:
    match = matched(f"{ROOT}/text/chat")
    assert match is not None
    assert read_request(match, b'{"model_id": "ibm/granite-3"}').model == "ibm/granite-3"
    match = matched(f"{ROOT}/deployments/mine/text/chat")
    assert match is not None
    assert read_request(match, b'{"messages": []}').model == "mine"


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://eu-de.ml.cloud.ibm.com/ml/v1-beta/generation/text", "watsonx.generate"),
        ("https://eu-de.ml.cloud.ibm.com/ml/v1-beta/generation/text_stream", "watsonx.generate"),
        ("https://cpd.internal/ml/v1/text/chat_stream", "watsonx.chat"),
        ("https://eu-de.ml.cloud.ibm.com/ml/v1/text/tokenization", None),
        ("https://app.example/ml/v1/messages/text", None),
        ("https://app.example/v1/text/generation", None),
        ("https://app.example/text", None),
    ],
)
def test_watsonx_is_known_by_its_paths(url: str, api: str | None) -> None:
    match = matched(url, JSON)
    assert (match.api if match else None) == api
