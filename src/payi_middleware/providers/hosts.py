"""Which provider, which wire format: decided by method, host, path and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from .huggingface import AT_ROOT
from .match import Match
from .registry import ALL_ROWS, BY_PARENT, BY_START, BY_WORD, CUSTOM
from .rows import ROWS, Row
from .wiring import Found, Target, Wire

__all__ = ["Recognition", "maybe_inference", "recognise", "recognised", "tells_usage_if_asked"]

_PAYI_PATHS = (["api", "v1", "ingest"], ["api", "v1", "proxy"])
_PORTS = MappingProxyType({11434: "ollama"})  # https://docs.ollama.com/faq
_WORDS = frozenset(word.encode() for word in BY_WORD)
_STARTS = tuple(start.encode() for start, _ in BY_START)
_PARENT = re.compile(rb"/(?:%s)/" % b"|".join(sorted({parent.encode() for parent, _ in BY_PARENT})))
_AT_ROOT = AT_ROOT.encode()


@cache
def _pattern(host: str) -> re.Pattern[str]:
    return re.compile(r"[a-z0-9.-]+".join(re.escape(part) for part in host.split("*")))


_EXACT = MappingProxyType({host: row for row in ALL_ROWS for host in row.hosts if "*" not in host})
_WILD = tuple((host, row) for row in ALL_ROWS for host in row.hosts if "*" in host)


def maybe_inference(raw_path: bytes) -> bool:
    """Return whether `recognise` is worth calling for a request target: False for nearly every other request.

    `raw_path` may be a whole URL. At a root only the host can tell: give `host/` in the path's place, as `/` is True.
    """
    path = raw_path.partition(b"?")[0]
    return _remembered(path) if len(path) <= _SHORT else _worth_it(path)


def _worth_it(path: bytes) -> bool:
    if path.endswith(b"/"):
        path = path.rstrip(b"/")
        if not path or path.endswith(_AT_ROOT):
            return True
    last = path[path.rfind(b"/") + 1 :]
    return last[last.rfind(b":") + 1 :] in _WORDS or last.startswith(_STARTS) or _PARENT.search(path) is not None


_SHORT = 200
_remembered = lru_cache(maxsize=1024)(_worth_it)
"""An app asks for few paths, and asks again and again."""


Custom = Mapping[str, tuple[str, str | None]]
_NONE: Custom = MappingProxyType({})


class _Noting(Mapping[str, str]):
    """Headers that note what was looked up in them."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self.noted: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        value = self.noted[name] = self._headers.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        raise TypeError("headers are looked up by name only")

    def __len__(self) -> int:
        return len(self._headers)


class Recognition(NamedTuple):
    """What a request was recognised as, by which headers and with which custom hosts.

    None of the headers are told where a key is among them: it is kept nowhere, and a signature never comes again.
    """

    custom: Custom
    noted: tuple[tuple[str, str | None], ...] | None
    match: Match | None

    def holds(self, headers: Mapping[str, str], custom: Custom) -> bool:
        """Return whether a request with these headers, and the same in all else, would be recognised as the same."""
        if self.custom is not custom or self.noted is None:
            return False
        return all(headers.get(name) == value for name, value in self.noted)


_MOST_KNOWN = 512
_known: dict[tuple[str, str, int | None, str], Recognition] = {}


def recognise(
    method: str, host: str, port: int | None, path: str, headers: Mapping[str, str], custom: Custom = _NONE
) -> Match | None:
    """Return what an HTTP request asks of a GenAI provider, or None where it is not an inference.

    `path` may be percent-encoded or not. `headers` is read by lower-case name. `custom` maps "host" or "host:port" to
    (a wire family of `registry.CUSTOM`, category or None) and wins over the known hosts; a host that is neither is
    judged by the shape of its path alone.
    """
    return recognised(method, host, port, path, headers, custom).match


def recognised(
    method: str, host: str, port: int | None, path: str, headers: Mapping[str, str], custom: Custom = _NONE
) -> Recognition:
    """Do what `recognise` does, and say by what; a request like one before, as most are, is looked up."""
    key = (method, host, port, path)
    known = _known.get(key)
    if known is not None and known.holds(headers, custom):
        return known
    noting = _Noting(headers)
    match = _recognise(method, host, port, path, noting, custom)
    if "authorization" in noting.noted:
        return Recognition(custom, None, match)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[key] = known = Recognition(custom, tuple(noting.noted.items()), match)
    return known


def _recognise(
    method: str, host: str, port: int | None, path: str, headers: Mapping[str, str], custom: Custom
) -> Match | None:
    method = method.upper()
    if method not in ("POST", "GET"):
        return None
    segments = [segment for segment in path.partition("?")[0].split("/") if segment] or [""]
    if segments[:3] in _PAYI_PATHS:
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
    if wires is not None:
        return wires
    begun = [wire for start, wire in BY_START if target.segments[-1].startswith(start)]
    return begun or [wire for parent, wire in BY_PARENT if parent == target.before]


def _found(wire: Wire, target: Target) -> Found | None:
    named = target.word in wire.words or target.segments[-1].startswith(wire.starts)
    if target.method == "GET":
        known = wire.fetched is not None and (named or target.before in wire.parents)
        return wire.fetched(target) if known and wire.fetched is not None else None
    return wire.recognise(target) if named else None


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
        found = next((row for wild, row in _WILD if _pattern(wild).fullmatch(host)), None)
    return found


_STREAM_USAGE = MappingProxyType({row.name: row for row in ROWS if row.stream_usage})
_VERSION = re.compile(r"(?:^|[?&])api-version=([\w.-]*)")


def tells_usage_if_asked(match: Match, path: str = "", query: str = "") -> bool:
    """Return whether a stream of this provider tells its usage only if, and surely if, it is asked for it.

    Args:
        match: what the request was recognised as.
        path, query: the request's own. Where the host has versions (Azure), they tell whether this one knows the
            question: a version, or a path to the API that has none any more.
    """
    row = _STREAM_USAGE.get(match.provider)
    if row is None or match.api not in row.stream_usage:
        return False
    if row.stream_usage_since is None:
        return True
    found = _VERSION.search(query)
    dated = found is not None and found[1] >= row.stream_usage_since  # `preview` and `latest` come after any date
    return "/openai/v1/" in path or (dated and "/openai/" in path)
