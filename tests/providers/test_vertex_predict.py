"""Embeddings, and the other predictions of Google's models."""

from __future__ import annotations

from typing import Any

from payi_middleware.providers import Usage, units
from payi_middleware.providers.answer import MISSING
from tests.providers.wires import EVENTS, play

STUDIO = "https://generativelanguage.googleapis.com/v1beta/models"
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers"
EMBED = f"{STUDIO}/gemini-embedding-2:batchEmbedContents"
PREDICT = f"{VERTEX}/google/models/text-embedding-005:predict"
NOTHING = {MISSING: "provider sent no usage"}


def embedded(tokens: float | None) -> dict[str, Any]:
    statistics = {} if tokens is None else {"statistics": {"truncated": False, "token_count": tokens}}
    return {"embeddings": {"values": [0.1, 0.2], **statistics}}


def test_an_embedding_counts_its_prompt() -> None:
    usage = {"promptTokenCount": 8, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": 8}]}
    answer = play(EMBED, {"embeddings": [{"values": [0.1]}], "usageMetadata": usage})
    assert answer.usage == Usage(8)
    assert units(answer.usage)[0] == {"text": {"input": 8}}


def test_an_older_embedding_counts_nothing_and_nothing_is_made_up() -> None:
    answer = play(f"{STUDIO}/text-embedding-004:embedContent", {"embedding": {"values": [0.1]}})
    assert (answer.usage, answer.notes) == (None, NOTHING)


def test_an_embedding_larger_than_what_is_kept_still_counts() -> None:
    rows = [{"values": [0.123456789] * 3000}] * 150
    answer = play(EMBED, {"embeddings": rows, "usageMetadata": {"promptTokenCount": 900}})
    assert answer.usage == Usage(900)


def test_a_prediction_adds_up_the_tokens_of_its_texts() -> None:
    body = {"predictions": [embedded(10), embedded(3.0), embedded(None)], "metadata": {"billableCharacterCount": 40}}
    assert play(PREDICT, body).usage == Usage(13)


def test_a_prediction_without_tokens_counts_characters() -> None:
    body = {"predictions": [embedded(None)], "metadata": {"billableCharacterCount": 40}}
    answer = play(PREDICT, body)
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"character": {"input": 40}}


def test_images_are_counted_as_they_came() -> None:
    made = {"mimeType": "image/png", "bytesBase64Encoded": "AAAA"}
    stored = {"mimeType": "image/png", "gcsUri": "gs://b/o"}
    answer = play(
        f"{STUDIO}/imagen-4.0-generate-001:predict", {"predictions": [made, stored, {"raiFilteredReason": "x"}]}
    )
    assert answer.usage is not None
    assert units(answer.usage)[0] == {"image": {"output": 2}}
    assert (
        play(f"{STUDIO}/imagen-4.0-generate-001:predict", {"predictions": [{"raiFilteredReason": "x"}]}).usage is None
    )


def test_a_video_is_a_job_that_counts_nothing_yet() -> None:
    answer = play(f"{STUDIO}/veo-3:predictLongRunning", {"name": "models/veo-3/operations/1"})
    assert (answer.usage, answer.notes) == (None, {MISSING: "a job was started"})


def test_errors_are_told() -> None:
    error = {"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}
    for url in (EMBED, PREDICT):
        for status in (403, 200):
            answer = play(url, error, status=status)
            assert (answer.error_code, answer.error_message, answer.usage) == ("403", "no", None)


def test_events_are_nothing_that_these_answers_come_in() -> None:
    for url in (EMBED, PREDICT):
        assert play(url, b"data: {}\n\n", EVENTS).usage is None


CLAUDE = f"{VERTEX}/anthropic/models/claude-sonnet-4-5@20250929"
MESSAGE = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5-20250929", "content": []}


def test_claude_on_vertex_is_read_as_anthropics() -> None:
    counts = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 7, "inference_geo": "us"}
    answer = play(f"{CLAUDE}:rawPredict", {**MESSAGE, "usage": counts})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.scope) == (15, 7, None)
    events = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"claude",'
        b'"usage":{"input_tokens":10,"output_tokens":1}}}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"output_tokens":7}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    streamed = play(f"{CLAUDE}:streamRawPredict", events, EVENTS)
    assert streamed.usage is not None
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens, streamed.finish_reason) == (10, 7, "end_turn")
