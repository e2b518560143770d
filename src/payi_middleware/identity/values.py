"""Which values are fit to be an identity.

The same rules hold for every source: an id from a token or from the app's own database can hold a line feed, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from payi_middleware.annotations import FIELDS, NOTHING, Annotations
from payi_middleware.log import warn

TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The name of a header or of a baggage member: a token of RFC 9110, section 5.6.2."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters (C0, DEL, C1) and lone surrogates, which have no UTF-8."""

_SHAPES = {
    "use_case_name": (re.compile(r"[A-Za-z0-9._-]{1,64}"), "is not made of 1 to 64 of A-Z a-z 0-9 . _ -"),
    "request_tags": (re.compile(r"[A-Za-z0-9_-]+"), "is not made of A-Z a-z 0-9 _ -"),
}
_AS_THEY_ARE = frozenset({"use_case_version", "log_prompt_and_response", "proxy", "report"})
_NO_TEXT = (bool, bytes, bytearray, Mapping, list, tuple, set, frozenset)


def is_name(value: object) -> bool:
    """Whether a configured value is a str with something in it."""
    return isinstance(value, str) and value != ""


def text(value: object) -> str | None:
    """Write an id as text: a number, a UUID or the like by `str`; None for what can be no id (a list, a bool)."""
    if isinstance(value, str):
        return value
    return None if value is None or isinstance(value, _NO_TEXT) else str(value)


def fit(annotations: Annotations, source: str, max_length: int) -> dict[str, Any]:
    """Keep the fields whose values are fit to be an identity.

    Args:
        annotations: what a source said.
        source: its name, for the warning about each field that is dropped.
        max_length: characters that a value may have.

    Returns:
        What is named, by field; an empty value counts as not named.
    """
    if annotations is NOTHING:
        return {}
    check = _Check(source, max_length)
    kept = {name: check.field(name, value) for name in FIELDS if (value := getattr(annotations, name)) is not None}
    if "use_case_name" in check.refused:
        # An instance or a version belongs to the use case it was sent with; under another name it would be a lie.
        kept.update(use_case_id=None, use_case_version=None)
    return {name: value for name, value in kept.items() if value is not None}


class _Check:
    def __init__(self, source: str, max_length: int) -> None:
        self.source = source
        self.max_length = max_length
        self.refused: set[str] = set()

    def field(self, name: str, value: Any) -> Any:
        if name in _AS_THEY_ARE:
            return value
        if isinstance(value, str):
            return self.value(name, value)
        if isinstance(value, Mapping):
            return self.properties(name, value) or None
        return self.items(name, value) or None

    def items(self, name: str, items: Iterable[str]) -> tuple[str, ...]:
        return tuple(item for given in items if (item := self.value(name, given)) is not None)

    def properties(self, name: str, given: Mapping[str, str | None]) -> dict[str, str]:
        kept = {}
        for key, item in given.items():
            if item is None or (clean_key := self.value(name, key)) is None:
                continue
            if (clean := self.value(name, item)) is not None:
                kept[clean_key] = clean
        return kept

    def value(self, name: str, given: str) -> str | None:
        value = given.strip(" \t")  # not strip(): a line feed at the end is an attack, not a blank
        if why := self.flaw(name, value):
            self.refused.add(name)
            warn(f"identity {self.source} {name}", "%s from the identity source %s %s: dropped", name, self.source, why)
            return None
        return None if not value or value.isspace() else value

    def flaw(self, name: str, value: str) -> str | None:
        if len(value) > self.max_length:
            return f"is longer than {self.max_length} characters (identity_max_length)"
        if _UNFIT.search(value):
            return "holds control characters or lone surrogates"
        shape, what = _SHAPES.get(name, (None, ""))
        return what if value and shape is not None and not shape.fullmatch(value) else None
