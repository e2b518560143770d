"""Images, transcriptions, translations and speech."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payi_middleware.providers import Answer, Match, Usage, open_reader, units
from tests.providers.wires import as_events, play

Read = Callable[..., Answer]
IMAGES = "openai.images"
HEARD = "openai.audio.transcriptions"
SPOKEN = "openai.audio.speech"
URL = "https://api.openai.com/v1"
MISSING = {"system.usage.missing": "provider sent no usage"}

IMAGE_TOKENS = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 272,
    "total_tokens": 322,
}
SPEECH_TOKENS = {"type": "tokens", "input_tokens": 37, "output_tokens": 12, "total_tokens": 49}
HEARD_TOKENS = SPEECH_TOKENS | {"input_token_details": {"text_tokens": 2, "audio_tokens": 35}}


def test_an_images_tokens_are_told_by_modality(body: Read) -> None:
    details = {"output_tokens_details": {"image_tokens": 260, "text_tokens": 12}}
    answer = body(IMAGES, {"created": 1, "data": [{"b64_json": "eA=="}], "usage": IMAGE_TOKENS | details})
    assert answer.usage == Usage(input_tokens=50, output_tokens=272, image_input=40, image_output=260)
    assert units(answer.usage)[0] == {
        "text": {"input": 10, "output": 12},
        "vision": {"input": 40},
        "image": {"output": 260},
    }
    assert answer.notes == {}


def test_images_without_usage_are_noted_by_their_number_and_not_priced(body: Read) -> None:
    answer = body(IMAGES, {"created": 1, "data": [{"url": "u"}, {"url": "v"}]})
    assert answer == Answer(notes=MISSING | {"system.images": "2"})


def test_a_price_without_tokens_is_no_usage(body: Read) -> None:
    assert body(IMAGES, {"data": [{"url": "u"}], "usage": {"cost_in_usd_ticks": 700}}).usage is None


def test_a_streamed_images_usage_is_in_its_completed_event() -> None:
    partial = {"type": "image_generation.partial_image", "b64_json": "x" * 200_000, "partial_image_index": 0}
    done = {"type": "image_generation.completed", "b64_json": "x" * 200_000, "usage": IMAGE_TOKENS}
    answer = play(f"{URL}/images/generations", as_events(partial, done, named=True))
    assert answer == Answer(usage=Usage(input_tokens=50, output_tokens=272, image_input=40, image_output=272))


def test_audio_that_was_heard_is_told_apart_from_text(body: Read) -> None:
    answer = body(HEARD, {"text": "Hello", "usage": HEARD_TOKENS})
    assert answer.usage == Usage(input_tokens=37, output_tokens=12, audio_input=35)
    assert units(answer.usage)[0] == {"text": {"input": 2, "output": 12}, "audio": {"input": 35}}


@pytest.mark.parametrize(("told", "seconds"), [(6, 6), (5.2, 6), (0, 0)])
def test_audio_that_is_billed_by_its_length_is_told_in_seconds(body: Read, told: float, seconds: int) -> None:
    answer = body(HEARD, {"text": "Hello", "usage": {"type": "duration", "seconds": told}})
    assert answer.usage == Usage(counts={"audio_seconds": {"input": seconds}})
    assert units(answer.usage) == ({"audio_seconds": {"input": seconds}}, {})


@pytest.mark.parametrize("told", [-1, True, "6", 10**12, float("nan"), None, {}])
def test_impossible_seconds_are_no_usage(body: Read, told: Any) -> None:
    assert body(HEARD, {"text": "Hello", "usage": {"seconds": told}}).usage is None


def test_a_duration_that_is_not_said_to_be_billed_is_no_usage(body: Read) -> None:
    assert body(HEARD, {"text": "Hello", "duration": 5.2}) == Answer(notes=MISSING)


def test_a_streamed_transcription_ends_with_its_usage() -> None:
    deltas = [{"type": "transcript.text.delta", "delta": word} for word in ("Hello", " you")]
    done = {"type": "transcript.text.done", "text": "Hello you", "usage": HEARD_TOKENS}
    reader = open_reader(Match(HEARD, "system.openai", "openai"), 200, {"content-type": "text/event-stream"})
    assert not reader.feed(as_events(deltas[0]))
    assert reader.first_completion
    assert not reader.feed(as_events(deltas[1]))
    assert reader.feed(as_events(done))
    assert not reader.feed(as_events("[DONE]"))
    assert reader.finish() == Answer(usage=Usage(input_tokens=37, output_tokens=12, audio_input=35))


def test_a_stream_without_usage_says_why() -> None:
    delta = {"type": "transcript.text.delta", "delta": "Hello"}
    url = f"{URL}/audio/transcriptions"
    assert play(url, as_events(delta)).notes == {"system.usage.missing": "stream ended before usage"}
    assert play(url, as_events(delta, "[DONE]")).notes == MISSING
    failed = play(url, as_events(delta, {"type": "error", "error": {"code": "server_error", "message": "Oops"}}))
    assert failed == Answer(
        error_code="server_error",
        error_message="Oops",
        notes={"system.usage.missing": "error inside the stream"},
    )


@pytest.mark.parametrize("text", [b"Hello you\n", b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n", b"1\n00:00:00,000\n"])
def test_a_transcription_as_text_tells_no_usage(text: bytes) -> None:
    answer = play(f"{URL}/audio/transcriptions", text, {"content-type": "text/plain; charset=utf-8"})
    assert answer == Answer(notes=MISSING)


@pytest.mark.parametrize("content_type", ["audio/mpeg", "audio/pcm"])
def test_speech_tells_nothing_and_is_not_kept(content_type: str) -> None:
    reader = open_reader(Match(SPOKEN, "system.openai", "openai"), 200, {"content-type": content_type})
    for start in (b"ID3\x04", b"\0\0\0\0", b"data: {}\n\n", b"{", b"\xff\xfb"):
        assert not reader.feed(start * 1000)
    assert reader.finish() == Answer(notes=MISSING)


def test_streamed_speech_tells_its_tokens() -> None:
    delta = {"type": "speech.audio.delta", "audio": "eHh4"}
    done = {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}}
    answer = play(f"{URL}/audio/speech", as_events(delta, done))
    assert answer == Answer(usage=Usage(input_tokens=14, output_tokens=101, audio_output=101))


def test_a_rerank_that_a_gateway_passes_on_from_cohere_tells_its_searches(body: Read) -> None:
    told = {"id": "r-1", "results": [], "meta": {"billed_units": {"search_units": 2}}}
    assert body("openai.rerank", told).usage == Usage(counts={"search_unit": {"output": 2}})


def test_a_rerank_tells_its_input(body: Read) -> None:
    answer = body("openai.rerank", {"id": "gen-1", "model": "m", "results": [], "usage": {"total_tokens": 17}})
    assert answer == Answer(usage=Usage(input_tokens=17), response_id="gen-1", model="m")


def test_output_that_is_not_told_apart_is_of_what_was_made(body: Read) -> None:
    pictured = body(IMAGES, {"created": 1, "data": [{"b64_json": "eA=="}], "usage": IMAGE_TOKENS}).usage
    assert pictured is not None
    assert {unit: sides.get("output") for unit, sides in units(pictured)[0].items() if sides.get("output")} == {
        "image": 272
    }
    heard = body(HEARD, {"text": "Hello", "usage": SPEECH_TOKENS}).usage
    assert heard == Usage(input_tokens=37, output_tokens=12)


def test_mistrals_seconds_are_counted_beside_its_tokens(body: Read) -> None:
    told = {"prompt_audio_seconds": 203, "prompt_tokens": 4, "total_tokens": 3264, "completion_tokens": 635}
    usage = body(HEARD, {"model": "voxtral-mini", "text": "Hello", "usage": told}).usage
    assert usage is not None
    assert units(usage)[0] == {"text": {"input": 4, "output": 635}, "audio_seconds": {"input": 203}}
    unset = body(HEARD, {"text": "Hello", "usage": {**told, "prompt_audio_seconds": {}}}).usage
    assert unset == Usage(input_tokens=4, output_tokens=635)
