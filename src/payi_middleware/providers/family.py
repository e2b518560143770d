"""What a wire family has to offer the reader, and what the families share."""

from __future__ import annotations

import json
from typing import Any, Protocol

from .answer import MISSING, Answer, FunctionCall
from .values import error_of, text

__all__ = ["Family", "Kept", "calls", "failed", "without_usage"]

_ARGUMENTS_LIMIT = 32_768
_MOST_CALLS = 128


class Family(Protocol):
    """Read the answers of one wire format; one object per exchange."""

    first_token: bool
    first_completion: bool

    def see(self, block: bytes) -> bool:
        """Look at a block of complete events (see `wire.Events`); return whether the terminal event was in it."""

    def streamed(self) -> Answer:
        """Return what the events seen so far say."""

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return what an answer in one JSON body says."""


class Kept:
    """Keep raw events, in order, up to a number of bytes; what no longer fits is counted as lost."""

    __slots__ = ("events", "lost", "room")

    def __init__(self, room: int) -> None:
        self.events: list[bytes] = []
        self.room = room
        self.lost = False

    def add(self, event: bytes) -> None:
        """Keep `event` if there is room."""
        cost = len(event) + 64  # the object's own weight: tiny events must not add up either
        if cost > self.room:
            self.lost = True
            return
        self.room -= cost
        self.events.append(event)


def calls(found: list[tuple[str, object]]) -> tuple[FunctionCall, ...]:
    """Return function calls from (name, arguments) pairs; arguments that are not text become JSON text."""
    return tuple(FunctionCall(name[:256], _arguments(given)) for name, given in found[:_MOST_CALLS])


def _arguments(given: object) -> str | None:
    if given is None:
        return None
    try:
        told = given if isinstance(given, str) else json.dumps(given, separators=(",", ":"))
    except (RecursionError, ValueError):
        return None
    return told if len(told) <= _ARGUMENTS_LIMIT else None


def failed(body: dict[str, Any], kind: str = "") -> Answer:
    """Return the answer that an error status came with; `kind` is Amazon's `x-amzn-errortype`, a name and a page."""
    code, message = error_of(body)
    code = code or text(kind.partition(":")[0], 128)
    return Answer(  # an `id` beside an error, as Cohere gives, is the error's
        model=text(body.get("model")),
        error_code=code,
        error_message=message,
    )


def without_usage(reason: str) -> dict[str, str]:
    """Return the note that says why there is no usage."""
    return {MISSING: reason}
