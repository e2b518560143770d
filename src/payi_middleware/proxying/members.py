"""Taking members out of JSON that somebody added to it, of which every other character stays as it is."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["ERROR", "RESULT", "Member", "last", "members_of", "without"]

RESULT, ERROR = "xproxy_result", "xproxy_error"
_DECODER = json.JSONDecoder(strict=False)
_BLANKS = " \t\r\n\ufeff"


class Member(NamedTuple):
    """A member of an object: its name begins at `start`, its value at `value_at` and ends before `end`."""

    name: str
    start: int
    value_at: int
    end: int
    value: Any


def members_of(text: str, at: int = 0) -> list[Member] | None:
    """Return the members of the object that begins at a place, in their order; None if there is none.

    Args:
        text: JSON, with anything behind it.
    """
    try:
        return _members(text, _after_blanks(text, at))
    except (ValueError, IndexError, RecursionError):
        return None


def _members(text: str, at: int) -> list[Member] | None:
    found: list[Member] = []
    if text[at] != "{":
        return None
    at = _after_blanks(text, at + 1)
    while text[at] != "}":
        name, colon = _DECODER.raw_decode(text, at)
        colon = _after_blanks(text, colon)
        value_at = _after_blanks(text, colon + 1)
        value, end = _DECODER.raw_decode(text, value_at)
        if text[colon] != ":" or not isinstance(name, str):
            return None
        found.append(Member(name, at, value_at, end, value))
        at = _after_blanks(text, end)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)
        elif text[at] != "}":
            return None
    return found


def _after_blanks(text: str, at: int) -> int:
    while text[at] in _BLANKS:
        at += 1
    return at


def last(members: list[Member], name: str) -> Member | None:
    """Return the last member of a name: what was added comes behind what was there."""
    return next((member for member in reversed(members) if member.name == name), None)


def without(text: str, members: list[Member], gone: list[Member]) -> str:
    """Return a text without some of the members of an object in it.

    Args:
        members: all of the object's.
        gone: those to take out.
    """
    for member in sorted(gone, key=lambda one: one.start, reverse=True):
        place = members.index(member)
        if place:
            start, end = members[place - 1].end, member.end
        elif len(members) > 1:
            start, end = member.start, text.index(",", member.end) + 1
        else:
            start, end = member.start, member.end
        text = text[:start] + text[end:]
    return text
