"""What a call is: which API of which provider, and whether its stream has to be asked for its usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

from payi_middleware.providers import Match, recognise, tells_usage_if_asked

from .families import FAMILIES, Family
from .targets import Target

__all__ = ["asks_for_usage", "recognised"]

_TOLD_SINCE = "2024-09-01"
"""The first version of Azure's API that has `stream_options`: https://learn.microsoft.com/azure/ai-services/openai/api-version-deprecation"""


class _Everywhere(dict[str, tuple[str, str | None]]):
    """What is spoken at any host that is not a known provider's."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self._spoken = family.wire, family.category

    def get(self, _host: str, _default: Any = None) -> Any:
        """Return the wire format and the category."""
        return self._spoken


_EVERYWHERE = {family: _Everywhere(family) for family in FAMILIES}
"""Made once: `recognise` remembers what it found with the same object."""


def recognised(family: Family, target: Target, method: str, headers: Mapping[str, str]) -> Match | None:
    """Return what a request asks of a provider, or None where it is not an inference.

    Args:
        headers: the request's headers by lower-case name.
    """
    match = _recognised(family, target, method, target.path, headers)
    if match is None and (plain := unquote(target.path).lower()) != target.path:
        # Some providers read `/chat/Completion%73` like the path that it stands for: it must not go unseen.
        match = _recognised(family, target, method, plain, headers)
    return match


def _recognised(family: Family, target: Target, method: str, path: str, headers: Mapping[str, str]) -> Match | None:
    if target.known:
        return recognise(method, target.host, target.port, path, headers)
    match = recognise(method, target.host, target.port, path, headers, _EVERYWHERE[family])
    if match is not None and family.answered_model:
        return replace(match, resource_from="response")
    return match


def asks_for_usage(family: Family, target: Target, match: Match) -> bool | None:
    """Return whether a stream has to be asked for its usage; None if it is not sure that the provider understands."""
    if match.api not in ("openai.chat", "openai.completions"):
        return False
    if tells_usage_if_asked(match):
        return True
    if match.provider == "azure" or family.answered_model:
        version = parse_qs(target.query).get("api-version", [""])[0]
        return None if "/openai/v1/" in target.path or version >= _TOLD_SINCE else False
    return None if match.provider == "custom" and family.wire == "openai" else False
