"""The small fields of a form that is sent with files (RFC 7578)."""

from __future__ import annotations

import re

__all__ = ["fields_of"]

_SEARCHED = 65_536
_FIELD = re.compile(rb'\bname="(\w{1,64})"[^\r\n;]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]{1,512})\r?\n?')


def fields_of(body: bytes) -> dict[str, object]:
    """Return the fields of a form by name, as far as they are short; empty where `body` is no form.

    A field that has a file name is left out, and only the first and the last 64 KiB are searched: SDKs put the fields
    before or after the files. The texts `true` and `false` become what they say.
    """
    if not body.startswith(b"--"):
        return {}
    ends = body if len(body) <= 2 * _SEARCHED else body[:_SEARCHED] + b"\0" + body[-_SEARCHED:]
    found: dict[str, object] = {}
    for name, value in _FIELD.findall(ends):
        told = value.decode("utf-8", "replace")
        found.setdefault(name.decode(), {"true": True, "false": False}.get(told.lower(), told))
    return found
