"""What provider calls have in common that one SDK makes to one place: found out with the first of them."""

from __future__ import annotations

from .providers import Match, comes_plain

__all__ = ["Kind"]


class Kind:
    """One kind of provider calls.

    Args:
        match: which provider and API it is.
        provider_uri: scheme, host and path.
        module: the SDK that makes the call, if it says.

    `plain` says that an answer which is one JSON object may be kept as it comes, and read later. In `openings` the
    records of calls keep what is the same in all of them, by the model that they ask for.
    """

    __slots__ = ("match", "module", "openings", "plain", "provider_uri")

    def __init__(self, match: Match, provider_uri: str, module: str | None) -> None:
        self.match = match
        self.provider_uri = provider_uri
        self.module = module
        self.plain = comes_plain(match)
        self.openings: dict[str | None, bytes] = {}
