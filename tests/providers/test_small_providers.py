"""Aleph Alpha, Deepgram, Hugging Face, Replicate, Voyage."""

from __future__ import annotations

from typing import Any

import pytest

from payi_middleware.providers import Match, open_reader, read_request, recognise, units
from payi_middleware.providers.answer import MISSING
from tests.providers.wires import EVENTS, JSON, as_events, matched, play

NO_USAGE = {MISSING: "provider sent no usage"}
PREDICTIONS = "https://api.replicate.com/v1/predictions"
TGI = "https://abc.us-east-1.aws.endpoints.huggingface.cloud/generate"


def test_aleph_alpha_counts_both_sides() -> None:
    body = {
        "model_version": "2024-01",
        "completions": [{"completion": "x", "finish_reason": "maximum_tokens"}],
        "num_tokens_prompt_total": 9,
        "num_tokens_generated": 30,
    }
    answer = play("https://api.aleph-alpha.com/complete", body)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 30)
    assert (answer.model, answer.finish_reason) == ("2024-01", "maximum_tokens")
    assert play("https://api.aleph-alpha.com/complete", {}).notes == NO_USAGE


@pytest.mark.parametrize(("duration", "seconds"), [(25.93, 26), (3, 3), (0, 0)])
def test_deepgram_s_transcripts_count_seconds(duration: float, seconds: int) -> None:
    metadata = {"request_id": "r-1", "duration": duration, "model_info": {"u": {"name": "general-nova-3"}}}
    answer = play("https://api.deepgram.com/v1/listen?model=nova-3", {"metadata": metadata, "results": {}})
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"audio_seconds": {"input": seconds}}
    assert (answer.response_id, answer.model) == ("r-1", "general-nova-3")


@pytest.mark.parametrize("duration", [None, True, "3", -1, 1e300])
def test_no_length_of_audio_is_invented(duration: object) -> None:
    assert play("https://api.deepgram.com/v1/listen", {"metadata": {"duration": duration}}).notes == NO_USAGE


def test_deepgram_s_speech_counts_characters_in_its_headers() -> None:
    headers = {"content-type": "audio/mpeg", "dg-char-count": "74", "dg-model-name": "aura-2", "dg-request-id": "r-2"}
    answer = play("https://api.deepgram.com/v1/speak", b"\xff\xf3d\xc4" * 500, headers)
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"character": {"input": 74}}
    assert (answer.response_id, answer.model) == ("r-2", "aura-2")
    assert play("https://api.deepgram.com/v1/speak", b"\xff", {"content-type": "audio/mpeg"}).notes == NO_USAGE


def test_deepgram_takes_audio_and_only_at_its_host() -> None:
    assert matched("https://api.deepgram.com/v1/listen", {"content-type": "audio/wav"}) is not None
    assert matched("https://api.eu.deepgram.com/v1/listen", {"content-type": "audio/wav"}) is not None
    assert matched("https://app.example/v1/listen") is None


def prediction(**more: Any) -> dict[str, Any]:
    return {"id": "p-1", "model": "meta/llama-3", "version": "abc", "status": "succeeded", **more}


def test_a_prediction_that_has_ended_counts_what_its_metrics_say() -> None:
    answer = play(PREDICTIONS, prediction(metrics={"input_token_count": 5, "output_token_count": 7}), status=201)
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"text": {"input": 5, "output": 7}}
    assert (answer.response_id, answer.model, answer.finish_reason) == ("p-1", "meta/llama-3", "succeeded")
    answer = play(PREDICTIONS, prediction(metrics={"predict_time": 2.5, "image_count": 2}))
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"image": {"output": 2}}


def test_a_prediction_that_is_of_no_model_is_named_by_its_version() -> None:
    assert play(PREDICTIONS, prediction(model=None)).model == "abc"


def test_a_prediction_without_counts_says_why() -> None:
    waiting = play(PREDICTIONS, prediction(status="starting"), status=201)
    assert (waiting.notes, waiting.inference) == ({MISSING: "prediction has not ended"}, False)
    assert play(PREDICTIONS, prediction(metrics={"predict_time": 2.5})).notes == NO_USAGE
    answer = play(PREDICTIONS, prediction(status="failed", error="out of memory"))
    assert (answer.error_code, answer.error_message) == ("failed", "out of memory")


@pytest.mark.parametrize(
    ("method", "path", "api"),
    [
        ("GET", "predictions/p1", "replicate.predictions.retrieve"),
        ("GET", "predictions", None),
        ("GET", "models/meta/llama-3", None),
        ("GET", "predictions/p1/cancel", None),
        ("POST", "predictions/p1/cancel", None),
        ("POST", "predictions/p1", None),
    ],
)
def test_a_prediction_is_picked_up_by_its_id(method: str, path: str, api: str | None) -> None:
    match = recognise(method, "api.replicate.com", None, f"/v1/{path}", {})
    assert (match and match.api) == api
    assert recognise(method, "app.example", None, f"/v1/{path}", {}) is None


def test_a_prediction_s_model_is_in_the_path_or_its_version_in_the_body() -> None:
    match = matched("https://api.replicate.com/v1/models/meta/llama-3/predictions")
    assert match is not None
    assert (match.model_from_path, match.category, match.resource_from) == ("meta/llama-3", "replicate", "response")
    match = matched(PREDICTIONS)
    assert match is not None
    assert read_request(match, b'{"version": "abc", "input": {}}').model == "abc"
    assert matched("https://app.example/v1/predictions") is None


@pytest.mark.parametrize("path", ["embeddings", "contextualizedembeddings", "multimodalembeddings", "rerank"])
def test_voyage_counts_its_input_as_the_total(path: str) -> None:
    answer = play(f"https://api.voyageai.com/v1/{path}", {"model": "voyage-4", "usage": {"total_tokens": 12}})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.model) == (12, None, "voyage-4")
    match = matched(f"https://api.voyageai.com/v1/{path}")
    assert match is not None
    assert match.api in ("voyage.embeddings", "voyage.rerank")


def test_text_generation_is_counted_by_its_details_or_its_headers() -> None:
    details = {"finish_reason": "length", "generated_tokens": 20, "prefill": []}
    answer = play(TGI, {"generated_text": "x", "details": details}, {**JSON, "x-prompt-tokens": "6"})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.finish_reason) == (6, 20, "length")
    answer = play(TGI, {"generated_text": "x"}, {**JSON, "x-prompt-tokens": "6", "x-generated-tokens": "4"})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (6, 4)
    assert play(TGI, {"generated_text": "x"}, {**JSON, "x-prompt-tokens": "many"}).notes == NO_USAGE


def test_text_generation_at_an_endpoint_s_root_answers_with_a_list() -> None:
    root = TGI.removesuffix("generate")
    details = {"finish_reason": "eos_token", "generated_tokens": 75, "prefill": [], "tokens": [{"id": 13, "text": "["}]}
    headers = {**JSON, "x-prompt-tokens": "16", "x-generated-tokens": "75"}
    answer = play(root, [{"generated_text": '"details": {', "details": details}], headers, size=7)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.finish_reason) == (16, 75, "eos_token")
    answer = play(root, [{"generated_text": "x"}], headers)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (16, 75)
    assert play(root, {"error": "overloaded", "error_type": "overloaded"}, status=429).error_message == "overloaded"


@pytest.mark.parametrize(
    "url",
    ["https://me-my.hf.space/", "https://router.huggingface.co/", "https://example.com/", "https://huggingface.cloud/"],
)
def test_any_other_root_is_no_text_generation(url: str) -> None:
    assert matched(url) is None


def test_a_text_generation_stream_ends_with_its_details() -> None:
    token = {"index": 1, "token": {"id": 5, "text": "Hi", "special": False}, "generated_text": None, "details": None}
    details = {"finish_reason": "eos_token", "generated_tokens": 2, "input_length": 11}
    last = {**token, "generated_text": "Hi!", "details": details}
    at_once = play(TGI + "_stream", as_events({**token, "details": {}}, {"index": 2}, last), EVENTS)
    match = matched(TGI + "_stream")
    assert match is not None
    reader = open_reader(match, 200, EVENTS)
    assert reader.feed(as_events(token)) is False
    assert reader.first_completion
    assert reader.feed(as_events(last)) is True
    answer = reader.finish()
    assert answer == at_once
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.finish_reason) == (11, 2, "eos_token")


def test_a_text_generation_stream_that_fails_or_breaks_off_says_so() -> None:
    error = as_events({"error": "overloaded", "error_type": "overloaded"})
    assert open_reader(Match("huggingface.generate", "huggingface", "huggingface"), 200, EVENTS).feed(error) is True
    answer = play(TGI + "_stream", error, EVENTS)
    assert (answer.error_code, answer.error_message) == ("overloaded", "overloaded")
    assert play(TGI + "_stream", as_events({"token": {"text": "a"}}), EVENTS).notes == {
        MISSING: "stream ended before usage"
    }
