"""What a door keeps of its requests for when they are over: `on_summary` and the results route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_middleware.context import RequestScope
from payi_middleware.meter import Meter
from payi_middleware.responding import HeaderList
from payi_middleware.results import Summary
from payi_middleware.settings import Settings

from .earlier import Earlier, Entry
from .results_route import HEADER, asked_id, path_of

if TYPE_CHECKING:
    from .telling import Teller

__all__ = ["Late", "is_wanted"]


def is_wanted(settings: Settings) -> bool:
    """Return whether anything is to be kept."""
    return settings.on_summary is not None or settings.results_path is not None


class Late:
    """One door's memory. Two doors have none in common: a user id means somebody else in another app.

    Args:
        meter: the door's.
        awaits: whether the door has an event loop.

    Raises:
        ConfigurationError: `on_summary` cannot be called.
    """

    def __init__(self, meter: Meter, *, awaits: bool) -> None:
        settings = meter.settings
        self._path = settings.results_path
        self._drain_seconds = settings.shutdown_timeout
        self._earlier = Earlier()
        self._teller: Teller | None = None
        if settings.on_summary is not None:
            from .telling import Teller

            self._teller = Teller(settings.on_summary, settings, lambda: meter.available, awaits=awaits)

    def asked_id(self, method: str, root: str, path: str) -> str | None:
        """Return which earlier request is asked for, or None if this request is another one."""
        return None if self._path is None or method != "GET" else asked_id(self._path, root, path)

    def find(self, request_id: str, scope: RequestScope) -> Summary | None:
        """Return what an earlier request cost, if it is one of who asks now."""
        return self._earlier.find(request_id, scope.asker)

    @property
    def answers(self) -> bool:
        """Whether earlier requests can be asked for."""
        return self._path is not None

    def begin(self, scope: RequestScope) -> Entry:
        """Remember a request whose response begins. Who makes it is to be settled before."""
        return self._earlier.begin(scope)

    def headers(self, entry: Entry | None, root: str) -> HeaderList:
        """Return the header that says where the request's result can be asked for."""
        return [] if entry is None or self._path is None else [(HEADER, path_of(self._path, root, entry.id))]

    def end(self, scope: RequestScope, entry: Entry | None, original: Any) -> None:
        """Note that a request is over.

        Args:
            original: the ASGI scope or WSGI environ.
        """
        if entry is not None:
            self._earlier.end(entry)
        if self._teller is not None and not self._teller.awaited:
            self._teller.tell(scope.tally, original)

    async def aend(self, scope: RequestScope, entry: Entry | None, original: Any) -> None:
        """The same where an `async def` can be awaited."""
        self.end(scope, entry, original)
        if self._teller is not None and self._teller.awaited:
            await self._teller.atell(scope.tally, original)

    def refuse(self, told: Summary, original: Any) -> None:
        """Note that a request was answered in the app's place."""
        if self._teller is not None and not self._teller.awaited:
            self._teller.tell(told, original)

    async def arefuse(self, told: Summary, original: Any) -> None:
        """The same where an `async def` can be awaited."""
        self.refuse(told, original)
        if self._teller is not None and self._teller.awaited:
            await self._teller.atell(told, original)

    def drain(self) -> None:
        """Wait until what is known by now is told."""
        if self._teller is not None:
            self._teller.drain(self._drain_seconds)
