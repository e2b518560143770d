"""What a request body asks for."""

from __future__ import annotations

import json
import re

from .answer import Asked
from .hosts import Match
from .values import carve, text

__all__ = ["read_request"]

_BODY_LIMIT = 32 * 2**20
_ENDS = 65_536
_STREAM = re.compile(rb'"stream"\s*:\s*true')


def read_request(match: Match, body: bytes | None) -> Asked:
    """Return the model and the stream flag of a request body; never raises, whatever the bytes are.

    A model that the path names (Azure's deployments) stands in for one that the body lacks. Of a body above 32 MiB only
    the first and the last 64 KiB are searched: SDKs put the prompt between the small members.
    """
    if not body:
        return Asked(match.model_from_path)
    if len(body) > _BODY_LIMIT:
        ends = body[:_ENDS] + b"\0" + body[-_ENDS:]
        return Asked(text(carve(ends).get("model")) or match.model_from_path, bool(_STREAM.search(ends)))
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        return Asked(match.model_from_path)
    return Asked(text(asked.get("model")) or match.model_from_path, asked.get("stream") is True)
