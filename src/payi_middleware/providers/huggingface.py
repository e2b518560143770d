"""Hugging Face's text generation servers (TGI), by their own API; their chat is OpenAI's.

Answers: https://huggingface.co/docs/text-generation-inference/reference/api_reference
At the root of a server is what its other two paths have, and a plain answer is the only one of a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .answer import Answer
from .family import without_usage
from .match import Match
from .rows import Row
from .usage import Usage
from .values import count, error_of, loads, mapping, text
from .wire import each_event, shorten
from .wiring import Format, Found, Target, Wire

__all__ = ["AT_ROOT", "WIRE", "TextGeneration"]

AT_ROOT = ".endpoints.huggingface.cloud"
"""The end of the hosts that answer at their root, which only a host tells from any other root."""

_EVENT_LIMIT = 65_536
_COUNTS = ("x-prompt-tokens", "x-generated-tokens")


class TextGeneration:
    """Read generations; a stream's last event has the details, and the headers of a whole answer count its tokens."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._asked, self._answered = (_number(headers.get(name)) for name in _COUNTS)
        self._last: bytes | None = None
        self._ended = False

    def see(self, block: bytes) -> bool:
        """Keep the event with the details; True at it or at an error."""
        self.first_token = self.first_completion = True
        if b'"details":{' not in block and b'"error' not in block and b'"details": {' not in block:
            return False
        for event in each_event(block):
            if b'"details"' in event or b'"error' in event:
                self._last = shorten(event, _EVENT_LIMIT)
                self._ended = any((loads(event) or {}).get(name) for name in ("details", "error"))
        return self._ended

    def streamed(self) -> Answer:
        """Return the facts of the event kept."""
        last = {} if self._last is None else loads(self._last) or {}
        return self._answer(last, "provider sent no usage" if self._ended else "stream ended before usage")

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        return self._answer(body, "provider sent no usage")

    def _answer(self, told: dict[str, Any], reason: str) -> Answer:
        details = mapping(told.get("details"))
        asked = count(details.get("input_length"), self._asked)
        answered = count(details.get("generated_tokens"), self._answered)
        counted = not (asked is None and answered is None)
        code, message = error_of(told) if told.get("error") else (None, None)
        return Answer(
            usage=Usage(input_tokens=asked, output_tokens=answered) if counted else None,
            finish_reason=text(details.get("finish_reason")),
            error_code=text(told.get("error_type")) or code,
            error_message=message,
            notes={} if counted else without_usage(reason),
        )


def _number(header: str | None) -> int | None:
    return count(int(header)) if header and header.isascii() and header.isdigit() and len(header) < 17 else None


def _recognise(target: Target) -> Found | None:
    if not target.at("huggingface") or not (target.word or target.host.endswith(AT_ROOT)):
        return None  # at any other root, such as a Space's, may be anything
    return Found("huggingface.generate")


WIRE = Wire(
    name="huggingface",
    category="huggingface",
    words=frozenset({"generate", "generate_stream", ""}),
    recognise=_recognise,
    formats={"huggingface.generate": Format(TextGeneration, framing="objects", headers=_COUNTS)},
    rows=(
        Row(
            "huggingface",
            "huggingface",
            ("*.endpoints.huggingface.cloud", "*.hf.space"),
            "https://huggingface.co/docs/inference-endpoints/index",
        ),
    ),
)
