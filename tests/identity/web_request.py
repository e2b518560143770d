"""A web request as a door shows it, and what an app's identity makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from payi_middleware.annotations import Annotations
from payi_middleware.identity import Identity, Source
from payi_middleware.settings import Settings

LOOPBACK = "127.0.0.1"
STRANGER = "203.0.113.9"

Sources = Sequence[Source | Callable[[Any], object]]


@dataclass
class WebRequest:
    headers: Mapping[str, str] = field(default_factory=dict)
    peer: str | None = LOOPBACK
    user: object | None = None
    session: Mapping[str, Any] | None = None
    route: str | None = None
    original: Any = None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)

    def mentions(self, prefix: str) -> bool:
        return any(key.lower().startswith(prefix) for key in self.headers)


def who(request: WebRequest, sources: Sources | None = None, **settings: Any) -> Annotations:
    """What the sources say of a request, asked once and without an event loop."""
    identity = Identity(sources, Settings(**settings)).of(request)
    identity.settle()
    return identity.annotations
