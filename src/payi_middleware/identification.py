"""Who asked, as a web request's scope and its frames know it, while the request is served and when it is over."""

from __future__ import annotations

from typing import Protocol
from weakref import ref

from .annotations import Annotations

__all__ = ["Identification", "OfThePast"]


class Identification(Protocol):
    """Who asked, as far as it is known by now."""

    @property
    def annotations(self) -> Annotations:
        """What the identity sources have said up to now; the same object as long as nothing changed."""

    @property
    def pending(self) -> bool:
        """Whether a source is left that could not be asked yet."""

    def settle(self) -> None:
        """Ask the sources that can be asked from here without waiting on an event loop."""

    def settle_at_once(self) -> bool:
        """Ask all sources, if none has to be waited for; return whether that was done."""

    async def asettle(self) -> None:
        """Ask all sources."""


class OfThePast:
    """An identification of a request that is over, which is kept alive by those frames only that it was made in.

    What identifies a request refers to the server's own object for it, and that refers to the request's scope. The
    garbage collector would have to find such a circle out, with all that a request leaves behind in it, for each one.

    Args:
        identification: what it is of.
    """

    __slots__ = ("_annotations", "_identification")

    def __init__(self, identification: Identification) -> None:
        self._identification = ref(identification)
        self._annotations = identification.annotations

    @property
    def annotations(self) -> Annotations:
        """What is known by now."""
        if (identification := self._identification()) is not None:
            self._annotations = identification.annotations
        return self._annotations

    @property
    def pending(self) -> bool:
        """Whether there is still somebody to be asked."""
        return (identification := self._identification()) is not None and identification.pending

    def settle(self) -> None:
        """Ask whoever is still there, for a call that the request has left behind."""
        if (identification := self._identification()) is not None:
            identification.settle()
            self._annotations = identification.annotations

    def settle_at_once(self) -> bool:
        """See `settle`."""
        return self._identification() is None

    async def asettle(self) -> None:
        """See `settle`."""
        if (identification := self._identification()) is not None:
            await identification.asettle()
            self._annotations = identification.annotations
