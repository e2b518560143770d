"""Small parts that the tests of the lower rooms share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payi_middleware.annotations import NOTHING, Annotations, ReportMode
from payi_middleware.beginning import begin
from payi_middleware.context import RequestScope, current_frame
from payi_middleware.recorder import Exchange
from payi_middleware.urls import target_at

CHAT = target_at("https", "api.openai.com", None, "/v1/chat/completions")


class Owner:
    """Keeps the exchanges that it is given."""

    providers: Mapping[str, tuple[str, str | None]] = {}
    report: ReportMode = "background"
    inline_timeout = 0.0
    proxying: Any = None
    available = True
    tells_results = False

    def __init__(self) -> None:
        self.delivered: list[Exchange] = []

    def admit(self, exchange: Exchange) -> None:
        """Nothing is limited."""

    def expect(self, annotations: Annotations) -> bool:
        """Nothing needs to be made ready; nothing is limited or routed."""
        return False

    def deliver(self, exchange: Exchange, *, finalising: bool) -> None:
        """Keep it."""
        self.delivered.append(exchange)


class Known:
    """An identity that becomes known when it is asked for."""

    def __init__(self, annotations: Annotations, *, asked: bool = True) -> None:
        self._annotations = annotations
        self.pending = not asked

    @property
    def annotations(self) -> Annotations:
        """What is known by now."""
        return NOTHING if self.pending else self._annotations

    def settle(self) -> None:
        """Ask."""
        self.pending = False

    def settle_at_once(self) -> bool:
        """Ask only where nobody has to be waited for."""
        return not self.pending

    async def asettle(self) -> None:
        """Ask."""
        self.pending = False


def request(defaults: Annotations = NOTHING, *identities: Annotations, owner: Owner | None = None) -> RequestScope:
    """Return the scope of a web request."""
    scope = RequestScope(defaults, owner=owner or Owner())
    scope.identifications += [Known(annotations) for annotations in identities]
    return scope


def provider_call(on_call: Annotations = NOTHING) -> Exchange:
    """Make a provider call as a transport does."""
    frame, body = current_frame(), b'{"model":"gpt-5"}'
    exchange = begin("POST", CHAT, {}, body, frame, on_call)
    assert exchange is not None
    return exchange
