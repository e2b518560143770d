"""Which provider, which wire format: decided by method, host, path and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote

from .match import Match
from .registry import ALL_ROWS, BY_START, BY_WORD, CUSTOM
from .rows import ROWS, Row
from .wiring import Found, Target, Wire

__all__ = ["maybe_inference", "recognise"]

_PAYI_PATHS = (["api", "v1", "ingest"], ["api", "v1", "proxy"])
_PORTS = MappingProxyType({11434: "ollama"})  # https://docs.ollama.com/faq
_WORDS = frozenset(word.encode() for word in BY_WORD)
_STARTS = tuple(start.encode() for start, _ in BY_START)


def _pattern(host: str) -> re.Pattern[str]:
    return re.compile(r"[a-z0-9.-]+".join(re.escape(part) for part in host.split("*")))


_EXACT = MappingProxyType({host: row for row in ALL_ROWS for host in row.hosts if "*" not in host})
_WILD = tuple((_pattern(host), row) for row in ALL_ROWS for host in row.hosts if "*" in host)


def maybe_inference(raw_path: bytes) -> bool:
    """Return whether `recognise` is worth calling for a request target: False for nearly every other request."""
    path = raw_path.partition(b"?")[0]
    if path.endswith(b"/"):
        path = path.rstrip(b"/")
    last = path[path.rfind(b"/") + 1 :]
    return last[last.rfind(b":") + 1 :] in _WORDS or last.startswith(_STARTS)


def recognise(
    method: str,
    host: str,
    port: int | None,
    path: str,
    headers: Mapping[str, str],
    custom: Mapping[str, tuple[str, str | None]] = MappingProxyType({}),
) -> Match | None:
    """Return what an HTTP request asks of a GenAI provider, or None where it is not an inference.

    `path` may be percent-encoded or not. `headers` is read by lower-case name. `custom` maps "host" or "host:port" to
    (a wire family of `registry.CUSTOM`, category or None) and wins over the known hosts; a host that is neither is
    judged by the shape of its path alone.
    """
    method = method.upper()
    if method not in ("POST", "GET"):
        return None
    segments = [segment for segment in path.partition("?")[0].split("/") if segment]
    if not segments or segments[:3] in _PAYI_PATHS:
        return None
    host = host.lower().rstrip(".")
    named = custom.get(f"{host}:{port}") or custom.get(host)
    row = _row(host) if named is None else Row(named[0], named[1] or "", (), "")
    word = segments[-1].rpartition(":")[2]
    target = Target(method, host, port, segments, word, headers, row, custom=named is not None)
    for wire in _asked(target) if named is None else CUSTOM[named[0]]:
        found = _found(wire, target)
        if found is not None:
            return _match(found, wire, target) if named is None else _custom_match(found, *named)
    return None


def _asked(target: Target) -> Iterable[Wire]:
    wires = BY_WORD.get(target.word)
    return wires if wires is not None else [wire for start, wire in BY_START if target.segments[-1].startswith(start)]


def _found(wire: Wire, target: Target) -> Found | None:
    if target.word not in wire.words and not target.segments[-1].startswith(wire.starts):
        return None
    if target.method == "GET":
        return None if wire.fetched is None else wire.fetched(target)
    return wire.recognise(target)


def _match(found: Found, wire: Wire, target: Target) -> Match | None:
    row, model = target.row, _plain(found.model)
    if row is None:
        if not found.form and "json" not in target.headers.get("content-type", "json").lower():
            return None  # a survey's form answers are POSTed to .../responses, too
        known = _PORTS.get(target.port or 0, "unknown")
        return Match(found.api, wire.category, known, "request", model, found.publisher, found.notes)
    category = row.category
    if wire.name == "anthropic" and row.anthropic_category:
        category = row.anthropic_category
    publisher = found.publisher or row.publisher
    return Match(found.api, category, row.name, row.resource_from, model, publisher, found.notes)


def _custom_match(found: Found, family: str, category: str | None) -> Match:
    publisher = found.publisher if category is None else None  # the names in a category of the app's own are its own
    category, model = category or CUSTOM[family][0].category, _plain(found.model)
    return Match(found.api, category, "custom", "request", model, publisher, found.notes)


def _plain(model: str | None) -> str | None:
    return None if model is None else unquote(model)


@lru_cache(maxsize=1024)
def _row(host: str) -> Row | None:
    found = _EXACT.get(host)
    if found is None:
        found = next((row for pattern, row in _WILD if pattern.fullmatch(host)), None)
    return found


_STREAM_USAGE = frozenset(row.name for row in ROWS if row.stream_usage)


def tells_usage_if_asked(match: Match) -> bool:
    """Return whether a stream of this provider tells its usage only if, and surely if, it is asked for it."""
    return match.provider in _STREAM_USAGE and match.api in ("openai.chat", "openai.completions")
