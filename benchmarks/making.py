"""What answers are made of: words, events, and one body of 1.5 KB."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = [
    "BODY",
    "EVENTS",
    "LINES",
    "Answers",
    "cut_anywhere",
    "dumped",
    "line",
    "padded",
    "sentences",
    "sse",
    "words",
]

EVENTS = {"content-type": "text/event-stream"}
LINES = {"content-type": "application/x-ndjson"}
BODY = {"content-type": "application/json"}
_WORDS = (
    "the",
    " quick",
    " brown",
    " fox",
    " jumps",
    " over",
    " some",
    " very",
    " lazy",
    " dogs",
    ",",
    " then",
    " rests",
)
_CHUNKS, _SENTENCES = 500, 100
_SIZE = 1_500


@dataclass(frozen=True)
class Answers:
    """Hold a family's answers: a stream's opening, its deltas and its end, and one body (empty where it has none)."""

    api: str
    opening: bytes
    deltas: list[bytes]
    ending: bytes
    body: bytes
    stream_headers: Mapping[str, str]


def words() -> list[tuple[str, str]]:
    """Return words, and padding of changing length as some providers send with them."""
    return [(_WORDS[number % len(_WORDS)], "x" * (number * 7 % 16 + 1)) for number in range(_CHUNKS)]


def sentences() -> list[str]:
    """Return texts of some 110 characters each, as Google sends them."""
    return ["".join(_WORDS[(start + at) % len(_WORDS)] for at in range(22)) for start in range(_SENTENCES)]


def dumped(told: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(told, separators=(",", ":")).encode()


def sse(told: Any, name: str = "", end: bytes = b"\n\n") -> bytes:
    """Return a server-sent event."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + dumped(told) + end


def line(told: Any) -> bytes:
    """Return an object on a line of its own."""
    return dumped(told) + b"\n"


def padded(make: Callable[[str], Any]) -> bytes:
    """Return what `make` makes of a text that is as long as the body lacks."""
    return dumped(make("word " * ((_SIZE - len(dumped(make("")))) // 5)))


def cut_anywhere(answers: Answers) -> Answers:
    """Return the same stream, and no body, in as many chunks that begin and end wherever a proxy cuts them."""
    told = b"".join(answers.deltas)
    mean = len(told) // len(answers.deltas)
    deltas, at, turn = [], 0, 0
    while at < len(told):
        size = mean // 2 + turn * 7_919 % (mean + 1)  # from half an event to one and a half
        deltas.append(told[at : at + size])
        at, turn = at + size, turn + 1
    return replace(answers, deltas=deltas, body=b"")
