"""The streams that are still coming in: they end with the process, since nobody will read on.

An answer that is no stream is of no use to the app before it is complete, which then ends its exchange.
"""

from __future__ import annotations

from typing import Protocol
from weakref import ref

__all__ = ["Stream", "end_all", "forget", "remember"]


class Stream(Protocol):
    """What can be ended before it has come in."""

    def finish(self) -> None:
        """End it; only the first call does anything."""


_streams: set[ref[Stream]] = set()
"""Finalisers come here, too: each use is one operation that none interrupts."""
_gone = _streams.discard


def remember(stream: Stream) -> ref[Stream]:
    """Have a stream ended with the process; return what it is forgotten by."""
    reference = ref(stream, _gone)
    _streams.add(reference)
    return reference


def forget(reference: ref[Stream]) -> None:
    """Leave a stream alone: it has ended."""
    _streams.discard(reference)


def end_all() -> None:
    """End the streams that have not ended."""
    for reference in list(_streams):
        if (stream := reference()) is not None:
            stream.finish()
