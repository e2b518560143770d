"""Deepgram: speech to text, billed by the second, and text to speech, billed by the character.

Answers: https://developers.deepgram.com/reference/speech-to-text/listen-pre-recorded
Headers: https://developers.deepgram.com/docs/text-to-speech
"""

from __future__ import annotations

import math
from typing import Any

from .answer import Answer
from .family import without_usage
from .one_body import OneBody
from .rows import Row
from .usage import Usage
from .values import count, mapping, text
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE", "Listen", "Speak"]

_TOLD = ("dg-char-count", "dg-request-id", "dg-model-name")


class Listen(OneBody):
    """Read a transcript's metadata, which tell how long the audio is."""

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of a transcript."""
        metadata = mapping(body.get("metadata"))
        seconds = _whole_seconds(metadata.get("duration"))
        models = [mapping(model) for model in mapping(metadata.get("model_info")).values()]
        return Answer(
            usage=None if seconds is None else Usage(counts={"audio_seconds": {"input": seconds}}),
            response_id=text(metadata.get("request_id")),
            model=next((name for model in models if (name := text(model.get("name")))), None),
            notes={} if seconds is not None else without_usage("provider sent no usage"),
        )


class Speak(OneBody):
    """Read the headers of synthesised speech: its body is the audio."""

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts in the headers."""
        told = self.headers.get("dg-char-count") or ""
        characters = count(int(told)) if told.isascii() and told.isdigit() else None
        return Answer(
            usage=None if characters is None else Usage(counts={"character": {"input": characters}}),
            response_id=text(self.headers.get("dg-request-id")),
            model=text(self.headers.get("dg-model-name")),
            notes={} if characters is not None else without_usage("provider sent no usage"),
        )


def _whole_seconds(duration: object) -> int | None:
    if isinstance(duration, bool) or not isinstance(duration, (int, float)) or not 0 <= duration < 2**53:
        return None
    return math.ceil(duration)


def _recognise(target: Target) -> Found | None:
    return Found(f"deepgram.{target.word}") if target.at("deepgram") and target.before == "v1" else None


WIRE = Wire(
    name="deepgram",
    category="deepgram",
    words=frozenset({"listen", "speak"}),
    recognise=_recognise,
    formats={"deepgram.listen": Format(Listen), "deepgram.speak": Format(Speak, headers=_TOLD)},
    rows=(
        Row(
            "deepgram",
            "deepgram",
            ("api.deepgram.com", "api.*.deepgram.com"),
            "https://developers.deepgram.com/reference/deepgram-api-overview",
            resource_from="response",  # the query names the model
        ),
    ),
)
