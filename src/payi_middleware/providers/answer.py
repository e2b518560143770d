"""What one exchange with a provider told: the answer, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from .usage import Usage

__all__ = ["MISSING", "PARTIAL", "Answer", "Asked", "FunctionCall"]

MISSING = "system.usage.missing"
PARTIAL = "system.usage.partial"
_NO_NOTES: Mapping[str, str] = MappingProxyType({})


class FunctionCall(NamedTuple):
    """Name one tool of the app that the model calls; `arguments` is JSON text, None where it was too long to keep."""

    name: str
    arguments: str | None = None


@dataclass(slots=True)
class Answer:
    """Hold the facts of one provider answer; nobody changes it (see `Usage`).

    `model` is the one that answered. `error_code` and `error_message` (at most 500 characters) come from an error
    status's body or from an error event inside a stream of status 200. `notes` are Pay-i request properties that say
    why something is missing. `unique_id` is False where the provider may give `response_id` to other answers, too.
    `inference` is False where the request turns out to be none of its own: the poll of a job that is still running, or
    the look at an answer that was counted when it was generated.
    """

    usage: Usage | None = None
    response_id: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    function_calls: tuple[FunctionCall, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    service_tier: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    unique_id: bool = True
    inference: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what a request body says: the model that it asks for, and whether it asks for a stream.

    `notes` are Pay-i request properties.
    """

    model: str | None = None
    stream: bool = False
    notes: Mapping[str, str] = field(default_factory=lambda: _NO_NOTES)
