"""Careful readings of untrusted JSON: nothing here raises, and nothing returns more than a bounded text."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

__all__ = ["carve", "count", "error_of", "loads", "loads_first", "mapping", "rows", "text"]

_ERRORS = (ValueError, RecursionError)
_MOST = 2**53  # above it JSON numbers are no longer exact, and no provider counts that far
_DIGITS = 16
_STRING = rb'"%s"\s*:\s*"((?:[^"\\]|\\.){1,512})"'
_NAMES = ("id", "model", "status", "service_tier", "responseId", "modelVersion")  # the last two are Gemini's
_USAGE = re.compile(rb'"(usage|usageMetadata)"\s*:\s*(?=\{)')
# Providers echo a key that they refuse, some in the clear.
_SECRET = re.compile(r"(?i)(\bkey(?: provided)?[:=]\s*)\S+|\b(?:sk|pk|gsk|xai|pplx|hf|nvapi)[-_][\w*-]{8,}")
_CARVED = 16_384
_DECODER = json.JSONDecoder()


def loads(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `data`, or None where it is anything else."""
    try:
        found = from_json(data, cache_strings="keys")  # faster, and what it does not read, `json` may
    except ValueError:
        try:
            found = json.loads(data)
        except _ERRORS:
            return None
    return found if isinstance(found, dict) else None


def loads_first(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `data`, or the first one of an array, which is how Google wraps an error."""
    found = loads(data)
    if found is None and data.lstrip()[:1] == b"[":
        found = next(iter(rows((loads(b'{"told":%s}' % data) or {}).get("told"))), None)
    return found


def carve(data: bytes) -> dict[str, Any]:
    """Return id, model, status, service tier and usage of a JSON object that was cut, by searching for their names.

    Quotes inside JSON strings are escaped, so that no generated text can pose as one of these members. The first `id`
    and `model` count, and the last `usage` (Gemini: `usageMetadata`): that is where every known provider puts them.
    """
    found: dict[str, Any] = {}
    for name in _NAMES:
        if match := re.search(_STRING % name.encode(), data):
            found[name] = match[1].decode("utf-8", "replace")
    last = None
    for match in _USAGE.finditer(data):
        last = match
    if last is not None:
        told = data[last.end() : last.end() + _CARVED].decode("utf-8", "replace")
        with suppress(*_ERRORS):
            found[last[1].decode()], _ = _DECODER.raw_decode(told)
    return found


def mapping(value: object) -> dict[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON array."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def count(first: object, *others: object) -> int | None:
    """Return the first of these that is a number of tokens: a whole number from 0 to 2**53, maybe as a text."""
    if type(first) is int and 0 <= first <= _MOST:  # as nearly all that are there
        return first
    if first is None and not others:  # as nearly all that are looked for
        return None
    for value in (first, *others):
        if type(value) is int and 0 <= value <= _MOST:
            return value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
            return count(int(value))
        if isinstance(value, float) and value.is_integer():
            return count(int(value))
    return None


def text(value: object, limit: int = 256) -> str | None:
    """Return `value` if it is a text that is not empty, cut to `limit` characters."""
    return value[:limit] if isinstance(value, str) and value else None


def error_of(body: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return (code, message) of an error body in any of the shapes that providers use."""
    error = body.get("error") or next(iter(rows(body.get("errors"))), None)
    inner = mapping(error) or (body if not error else {"message": error, "code": body.get("code")})
    message = text(inner.get("message"), 1000) or text(inner.get("detail"), 1000)
    if message:
        message = _SECRET.sub(r"\g<1>[redacted]", message)[:500]
    code = inner.get("code") or inner.get("type") or inner.get("error_type")
    known = str(code)[:128] if isinstance(code, (str, int)) and not isinstance(code, bool) else None
    return known, message
