"""A finished exchange as bytes, written by the app's thread, and read again if its process has ended before reporting.

A record holds what a report is made of and nothing of the prompt. The answer of a plain call is in it as it came, since
reading it would take the app's thread longer than writing it does; it is cleared as soon as the report was delivered.
Errors and the answers of APIs that repeat what was asked are read at once, as their texts are no part of the report.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

from payi_middleware.annotations import FIELDS, NOTHING, Annotations
from payi_middleware.kinds import Kind
from payi_middleware.observing import answer_of, content_of
from payi_middleware.providers import Answer, Asked, FunctionCall, Match, Usage, asked_of, read_answer
from payi_middleware.recorder import Exchange
from payi_middleware.report import Content, Observed, Timing

__all__ = ["answer_in", "read_record", "record_of"]

_VERSION = 2
_HEAD = struct.Struct("<BBidddddHIII")
"""Version; whether the app stopped listening; status, or -1; when it began, in seconds since 1970, and on another clock
when it began and ended and when the first token and that of the answer came; and how many bytes each has of the id it
is reported with, the opening, what few calls have, and the headers. The answer's body is what comes after them."""
_MATCH = ("api", "category", "provider", "resource_from", "model_from_path", "publisher", "notes")
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_FAILED = 400
_ANSWER = tuple(spec.name for spec in fields(Answer) if spec.name not in ("usage", "function_calls"))
_USAGE = tuple(spec.name for spec in fields(Usage))
_MOST_OPENINGS = 64
_NO_USAGE, _NO_ANSWER = Usage(), Answer()


def record_of(exchange: Exchange, hash_user: Callable[[str], str] | None) -> bytes:
    """Write down an exchange that has ended.

    Args:
        hash_user: what user ids are replaced by, as they are in the report.
    """
    kind, status, told = exchange.kind, exchange.status, exchange.told
    asked = exchange.asked
    # One that is put on record anew, as its journal was closed, may have been relieved of its request.
    if asked is None:
        exchange.asked = asked = asked_of(kind.match, exchange.request)
    more = headers = body = b""
    said = True
    if status is not None and status < _FAILED:
        if told is not None:
            headers, body, said = _headers(tuple(told.items())), exchange.first or b"", False
        elif (reader := exchange.reader) is not None and (kept := reader.kept()) is not None:
            headers, body, said = _headers(tuple(kept[0].items())), kept[1], False
    annotations, failed = exchange.known or exchange.annotations, exchange.failure is not None
    if said or failed or annotations is not NOTHING or exchange.content is not None:
        more = _more(exchange, annotations, hash_user, said=said)
    own_id = (exchange.fallback_id or "").encode()
    opening = None if asked.notes else kind.openings.get(asked.model)
    if opening is None:
        opening = _opening(kind, asked)
    head = _HEAD.pack(
        _VERSION,
        not failed and not exchange.terminated,
        -1 if status is None else status,
        exchange.begun,
        exchange.started,
        exchange.ended,
        exchange.first_token,
        exchange.first_completion,
        len(own_id),
        len(opening),
        len(more),
        len(headers),
    )
    return b"".join((head, own_id, opening, more, headers, body))


def _more(exchange: Exchange, annotations: Annotations, hash_user: Callable[[str], str] | None, *, said: bool) -> bytes:
    """Write down what few calls have."""
    told: dict[str, Any] = {}
    if exchange.failure is not None:
        told["failure"] = exchange.failure
    if annotations is not NOTHING:
        told["annotations"] = _annotations(annotations, hash_user)
    content = None if exchange.content is None else content_of(exchange)
    if content is not None:
        told["content"] = (content.request, content.response)
    if said:
        told["said"] = _told(answer_of(exchange), with_content=content is not None)
    return _ENCODE(told).encode()


# What comes again and again is looked up: the encoder takes longer to begin than that takes in all.


def _opening(kind: Kind, asked: Asked) -> bytes:
    match = kind.match
    named = (match.api, match.category, match.provider, match.resource_from, match.model_from_path, match.publisher)
    notes = {**dict(match.notes), **asked.notes}  # reported as one
    opening = _ENCODE((named, notes, asked.model, kind.provider_uri, kind.module)).encode()
    if not asked.notes:
        if len(kind.openings) >= _MOST_OPENINGS:
            kind.openings.clear()
        kind.openings[asked.model] = opening
    return opening


@lru_cache(maxsize=1024)
def _headers(items: tuple[tuple[str, str], ...]) -> bytes:
    return _ENCODE(dict(items)).encode()


def read_record(record: bytes) -> tuple[Observed, Annotations, str | None]:
    """Return what a record says: the exchange, its annotations with the user hashed already, and the fallback id.

    Raises:
        ValueError, KeyError, TypeError: it cannot be understood; another version may have written it.
    """
    if record[:1] != bytes((_VERSION,)) or len(record) < _HEAD.size:
        raise ValueError("written by another version")
    _, early, status, *moments, id_size, opening_size, more_size, headers_size = _HEAD.unpack_from(record)
    rest = memoryview(record)[_HEAD.size :]
    parts = []
    for size in (id_size, opening_size, more_size, headers_size):
        parts.append(bytes(rest[:size]))
        rest = rest[size:]
    own_id, opening, rare, headers = parts
    named, notes, model, uri, module = json.loads(opening)
    more = json.loads(rare) if rare else {}
    match = Match(**dict(zip(_MATCH, [*named, tuple(notes.items())], strict=True)))
    said, content = more.get("said"), more.get("content")
    observed = Observed(
        match=match,
        asked=Asked(model),
        answer=read_answer(match, status, _named(headers), bytes(rest)) if said is None else _answer(said),
        status=None if status < 0 else status,
        timing=Timing.of(*moments),
        failure=more.get("failure"),
        ended_early=bool(early),
        provider_uri=uri,
        module=module,
        content=None if content is None else Content(*content),
    )
    return observed, Annotations(**more.get("annotations", {})), own_id.decode() or None


def answer_in(record: bytes, match: Match, own_id: str | None) -> Answer:
    """Read the answer that a record of this process has as it came.

    Args:
        match: what the record's exchange was recognised as.
        own_id: the id that the exchange is reported with where the provider gives none.

    Raises:
        LookupError: it is the record of another exchange.
    """
    _, _, status, *_, id_size, opening_size, more_size, headers_size = _HEAD.unpack_from(record)
    start = _HEAD.size + id_size
    if record[_HEAD.size : start] != (own_id or "").encode():
        raise LookupError("another exchange is on record there")
    start += opening_size + more_size
    end = start + headers_size
    return read_answer(match, status, _named(record[start:end]), record[end:])


@lru_cache(maxsize=1024)
def _named(headers: bytes) -> Mapping[str, str]:
    named: Mapping[str, str] = json.loads(headers)
    return named


def _annotations(annotations: Annotations, hash_user: Callable[[str], str] | None) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name in FIELDS:
        value = getattr(annotations, name)
        if value is not None:
            named[name] = dict(value) if name.endswith("_properties") else value
    if hash_user is not None and annotations.user_id is not None:
        named["user_id"] = hash_user(annotations.user_id)
    return named


def _told(answer: Answer, *, with_content: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        name: value for name in _ANSWER if (value := getattr(answer, name)) != getattr(_NO_ANSWER, name)
    }
    if not with_content:
        told.pop("error_message", None)  # providers quote prompts and keys in their errors
    if "notes" in told:
        told["notes"] = dict(told["notes"])
    if answer.function_calls:
        told["function_calls"] = [
            [call.name, call.arguments if with_content else None] for call in answer.function_calls
        ]
    if answer.usage is not None:
        usage = {name: value for name in _USAGE if (value := getattr(answer.usage, name)) != getattr(_NO_USAGE, name)}
        if "counts" in usage:
            usage["counts"] = {unit: dict(sides) for unit, sides in usage["counts"].items()}
        told["usage"] = usage
    return told


def _answer(told: dict[str, Any]) -> Answer:
    usage = told.pop("usage", None)
    calls = told.pop("function_calls", ())
    answer = Answer(**told, function_calls=tuple(FunctionCall(*call) for call in calls))
    return answer if usage is None else replace(answer, usage=Usage(**usage))
