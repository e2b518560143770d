"""What the file of a wire format tells the registry: how its calls are recognised, and who reads their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .first_use import Making
from .rows import Row

__all__ = ["Format", "Found", "Framing", "Target", "Wire"]

Framing = Literal["events", "objects", "lines"]
"""How an answer may be framed besides one JSON body: in server-sent events only ("events"), or also as lines or an
array of JSON objects ("objects"). A file of JSON lines, whatever its content type, is "lines": any other file is not
kept. Amazon's event streams are told by their first byte and audio by its content type, whatever the format."""


class Target(NamedTuple):
    """One request, as far as it matters for what it is.

    `segments` are the parts of its path that are not empty (at least one), `word` is the last of them, of which only
    what follows the last colon (Google's `models/x:generateContent`). `row` is the provider that the host is known to
    be, None for an unknown host; of a `custom` host, one that the settings name, it has the wire's name. `headers` are
    looked up by lower-case name.
    """

    method: str
    host: str
    port: int | None
    segments: list[str]
    word: str
    headers: Mapping[str, str]
    row: Row | None
    custom: bool = False

    @property
    def before(self) -> str:
        """The segment before the last, empty where there is none."""
        return self.segments[-2] if len(self.segments) > 1 else ""

    def at(self, *providers: str) -> bool:
        """Return whether the host is one of these providers, known or named in the settings."""
        return self.row is not None and self.row.name in providers


class Found(NamedTuple):
    """Name what a request is: the `api`, the model that its path names, and whether its body may be other than JSON.

    `publisher` is whose model it is, where Pay-i's resource is to say that (see `Match.resource`). `notes` are Pay-i
    request properties that the headers tell.
    """

    api: str
    model: str | None = None
    form: bool = False
    publisher: str | None = None
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """Say who reads the answers of an api, made per exchange of its match and the response's headers.

    `fetched` says that the request only picks up what another one began, so that its failure is no failed inference.
    `headers` are the response headers that the family reads, in lower case. `repeats` says that an answer has in it
    what was asked, so that nothing may be kept of it but what it tells.
    """

    family: Making
    framing: Framing = "events"
    fetched: bool = False
    headers: tuple[str, ...] = ()
    repeats: bool = False


class Wire(NamedTuple):
    """Describe a group of wire formats.

    Args:
        name: what `Settings.providers` calls it.
        category: Pay-i's category for it on hosts that no row knows.
        words: what the last segment of its paths may be, or the part of it after the last colon: `recognise` is asked
            for these paths only.
        recognise: returns which of its apis a POST is, or None. Pure; it must be sure, as any host is asked about.
        formats: its apis by name.
        rows: the hosts that speak it first of all.
        starts: beginnings of last segments that it is asked for as well, such as `run_`.
        fetched: returns which of its apis a GET is, for answers that are picked up later.
        parents: last segments but one that it is asked for as well where a GET's last is the id of what is picked up.
    """

    name: str
    category: str
    words: frozenset[str]
    recognise: Callable[[Target], Found | None]
    formats: Mapping[str, Format]
    rows: tuple[Row, ...] = ()
    starts: tuple[str, ...] = ()
    fetched: Callable[[Target], Found | None] | None = None
    parents: frozenset[str] = frozenset()
