"""A finished exchange as bytes, written by the app's thread, and read again if its process has ended before reporting.

A record holds what a report is made of and nothing of the prompt. The answer of a plain call is in it as it came, since
reading it would take the app's thread longer than writing it does; it is cleared as soon as the report was delivered.
Errors and the answers of APIs that repeat what was asked are read at once, as their texts are no part of the report.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from payi_middleware.annotations import FIELDS, NOTHING, Annotations
from payi_middleware.observing import answer_of, content_of
from payi_middleware.providers import Answer, Asked, FunctionCall, Match, Usage, asked_of, open_reader
from payi_middleware.recorder import Exchange
from payi_middleware.report import Content, Observed, Timing

__all__ = ["read_record", "record_of"]

_VERSION = 1
_MATCH = ("api", "category", "provider", "resource_from", "model_from_path", "publisher", "notes")
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_PIECE = 32_768
_NULL = "null"
_FAILED = 400
_ANSWER = tuple(spec.name for spec in fields(Answer) if spec.name not in ("usage", "function_calls"))
_USAGE = tuple(spec.name for spec in fields(Usage))
_MOST_OPENINGS = 1024
_openings: dict[tuple[int, str | None, str, str | None], tuple[Match, str]] = {}
_NO_USAGE, _NO_ANSWER = Usage(), Answer()


def record_of(exchange: Exchange, hash_user: Callable[[str], str] | None) -> bytes:
    """Write down an exchange that has ended.

    Args:
        hash_user: what user ids are replaced by, as they are in the report.
    """
    reader, match = exchange.reader, exchange.match
    # One that is put on record anew, as its journal was closed, may have been relieved of its request.
    asked = exchange.asked = exchange.asked or asked_of(match, exchange.request)
    kept = None if reader is None or (exchange.status or 0) >= _FAILED else reader.kept()
    content = content_of(exchange) if exchange.content is not None else None
    failure, annotations = exchange.failure, exchange.annotations
    end, token, completion = exchange.durations
    head = (
        f"{_opening(match, asked, exchange.provider_uri, exchange.module)},"
        f"{_NULL if exchange.status is None else exchange.status},"
        f"{_NULL if failure is None else _ENCODE(failure)},"
        f"{'true' if failure is None and not exchange.terminated else 'false'},{_seconds(exchange.begun)},"
        f"[{_NULL if end is None else end},{_NULL if token is None else token},"
        f"{_NULL if completion is None else completion}],"
        f"{'{}' if annotations is NOTHING else _ENCODE(_annotations(annotations, hash_user))},"
        f'"{exchange.fallback_id}",'
        f"{_NULL if content is None else _ENCODE((content.request, content.response))}"
    )
    if kept is None:
        return f"{head},null,{_ENCODE(_told(answer_of(exchange), with_content=content is not None))}]".encode()
    return f"{head},{_headers(tuple(kept[0].items()))},null]\n".encode() + kept[1]


# What comes again and again is looked up: the encoder takes longer to begin than that takes in all.


def _opening(match: Match, asked: Asked, provider_uri: str, module: str | None) -> str:
    key = (id(match), asked.model, provider_uri, module)  # a match is looked up, too: its hash would take longer
    known = _openings.get(key)
    if known is not None and known[0] is match and not asked.notes:
        return known[1]
    named = (match.api, match.category, match.provider, match.resource_from, match.model_from_path, match.publisher)
    told = (named, {**dict(match.notes), **asked.notes}, asked.model, provider_uri, module)  # reported as one
    opening = f"[{_VERSION},{','.join(map(_ENCODE, told))}"
    if not asked.notes:
        if len(_openings) >= _MOST_OPENINGS:
            _openings.clear()
        _openings[key] = (match, opening)
    return opening


def _seconds(begun: float) -> str:
    whole, micros = divmod(round(begun * 1e6), 1_000_000)
    return f"{whole}.{micros:06d}"  # the digits of a whole number of microseconds: those of any float take long to find


@lru_cache(maxsize=1024)
def _headers(items: tuple[tuple[str, str], ...]) -> str:
    return _ENCODE(dict(items))


def read_record(record: bytes) -> tuple[Observed, Annotations, str | None]:
    """Return what a record says: the exchange, its annotations with the user hashed already, and the fallback id.

    Raises:
        ValueError, KeyError, TypeError: it cannot be understood; a newer version may have written it.
    """
    head, _, body = record.partition(b"\n")
    version, *told = json.loads(head)
    if version != _VERSION:
        raise ValueError("written by another version")
    named, notes, model, uri, module, status, failure, early, started, times, about, own_id, content, headers, said = (
        told
    )
    match = Match(**dict(zip(_MATCH, [*named, tuple(notes.items())], strict=True)))
    observed = Observed(
        match=match,
        asked=Asked(model),
        answer=_read(match, status, headers, body) if said is None else _answer(said),
        status=status,
        timing=Timing(datetime.fromtimestamp(started, UTC), *times),
        failure=failure,
        ended_early=early,
        provider_uri=uri,
        module=module,
        content=None if content is None else Content(*content),
    )
    return observed, Annotations(**about), own_id


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


def _read(match: Match, status: int, headers: dict[str, str], body: bytes) -> Answer:
    reader = open_reader(match, status, headers)
    for start in range(0, len(body), _PIECE):
        reader.feed(body[start : start + _PIECE])
    return reader.finish()
