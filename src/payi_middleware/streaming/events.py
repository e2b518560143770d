"""The last event of a server-sent event stream: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

from collections.abc import Iterable

from payi_middleware.results import Summary

__all__ = ["EVENT", "EventTail", "tail_of"]

EVENT = "payi"
"""Its name: an EventSource dispatches it to nobody who does not listen for it."""
_KEPT = 4
"""Bytes that show whether a stream ends between two events: a line's end and an empty line, of two bytes each."""


class EventTail:
    """Follows an event stream, to tell whether it has ended between two events.

    A stream that ends within an event leaves it undone, and readers throw it away; an empty line of ours would have
    them take it.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\n\n"

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the stream."""
        if chunk:
            self._last = (self._last + chunk[-_KEPT:])[-_KEPT:]

    @property
    def between_events(self) -> bool:
        """Whether an event may begin here. Lines end in LF, CR or CRLF, in any mixture."""
        return self._last.replace(b"\r\n", b"\n").replace(b"\r", b"\n").endswith(b"\n\n")

    def event(self, summary: Summary) -> bytes:
        """Write a summary as the event that may come next, with the line ends of those before it."""
        end = b"\r\n" if self._last.endswith(b"\r\n") else b"\n"
        return b"event: %b%bdata: %b%b%b" % (EVENT.encode(), end, summary.model_dump_json().encode(), end, end)


def tail_of(method: str, status: int, headers: Iterable[tuple[str, str]]) -> EventTail | None:
    """Follow a response, if it is an event stream that an event can be added to.

    That is none whose length is told, and none that is compressed.
    """
    if method == "HEAD" or status != 200:
        return None
    given = {name.lower(): value for name, value in headers}
    if given.get("content-type", "").partition(";")[0].strip().lower() != "text/event-stream":
        return None
    if "content-length" in given or given.get("content-encoding", "identity").strip().lower() != "identity":
        return None
    return EventTail()
