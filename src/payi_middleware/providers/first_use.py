"""Readers of answers that are imported with the first answer they read, as an app calls few of all providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from payi_middleware.forks import uncut

from .family import Family
from .match import Match

__all__ = ["AtFirstUse", "Making"]

Making = Callable[[Match, Mapping[str, str]], Family]
"""Makes who reads an answer, of its match and the response's headers."""


class AtFirstUse:
    """Make readers of a kind. For use as a decorator.

    Args:
        load: imports what makes them, and returns it.
    """

    __slots__ = ("_load", "_make")

    def __init__(self, load: Callable[[], Making]) -> None:
        self._load = load
        self._make: Making | None = None

    def __call__(self, match: Match, headers: Mapping[str, str]) -> Family:
        """Return the reader of an answer."""
        make = self._make
        if make is None:
            with uncut:  # the child of a fork would wait for ever for a module that another thread is importing
                make = self._make = self._load()
        return make(match, headers)
