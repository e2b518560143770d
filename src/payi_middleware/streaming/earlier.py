"""What earlier requests of this process cost, for those who made them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from secrets import token_urlsafe
from time import monotonic

from payi_middleware.calls import Call
from payi_middleware.context import RequestScope
from payi_middleware.forks import ForkSafeLock
from payi_middleware.results import Summary
from payi_middleware.tally import Tally

__all__ = ["Earlier", "Entry"]

_MOST, _LONGEST = 10_000, 900.0
"""Requests that are remembered, and seconds after their end."""
_ID_BYTES = 18

_lock = ForkSafeLock()


class Entry:
    """One request.

    `id` is what it can be asked for by; nobody else can guess it.
    """

    __slots__ = ("_asker", "_summary", "_tally", "ended", "id", "other_ids", "scope")

    def __init__(self, scope: RequestScope) -> None:
        self.id = token_urlsafe(_ID_BYTES)
        self.other_ids: list[str] = []
        self.scope: RequestScope | None = scope
        self.ended: float | None = None
        self._tally: Tally | None = scope.tally
        self._asker: tuple[str | None, str | None] = (None, None)
        self._summary: Summary | None = None

    @property
    def asker(self) -> tuple[str | None, str | None]:
        """Who made the request."""
        scope = self.scope
        return self._asker if scope is None else scope.asker

    def end(self, now: float) -> list[Call]:
        """Let go of everything but its calls, and return them."""
        if self.scope is not None:
            self._asker = self.scope.asker
            self.scope = None
        self.ended = now
        return [] if self._tally is None else self._tally.calls

    @property
    def has_calls(self) -> bool:
        """Whether the request made provider calls."""
        return (
            self._tally.count > 0 if self._tally is not None else self._summary is not None and self._summary.calls > 0
        )

    def summary(self) -> Summary:
        """Return what is known; it is kept alone as soon as that is all."""
        if self._tally is not None:
            self._summary = self._tally.summary(streaming=self.ended is None)
            if self._summary.status == "final":
                self._tally = None
        assert self._summary is not None
        return self._summary


class Earlier:
    """The requests of one app, as long as there is room for them.

    Those without provider calls go first, then the oldest.

    Args:
        most: how many there are at most.
        longest: seconds that one is remembered after its end.
        clock: returns seconds.
    """

    def __init__(self, most: int = _MOST, longest: float = _LONGEST, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._longest = longest
        self._clock = clock
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._by_other_id: dict[str, Entry] = {}
        self._news: deque[tuple[Entry, Call]] = deque()

    def begin(self, scope: RequestScope) -> Entry:
        """Remember a request that is being answered."""
        entry = Entry(scope)
        with _lock:
            self._catch_up()
            self._entries[entry.id] = entry
            self._make_room()
        self._listen(entry, scope.tally.calls)
        return entry

    def end(self, entry: Entry) -> None:
        """Note that a request is over."""
        now = self._clock()
        calls = entry.end(now)
        with _lock:
            self._catch_up()
            if entry.id in self._entries:
                self._entries.move_to_end(entry.id, last=entry.has_calls)
                if not entry.has_calls:
                    entry.summary()
            while self._entries and self._is_over(next(iter(self._entries.values())), now):
                self._drop(next(iter(self._entries.values())))
        self._listen(entry, calls)

    def find(self, request_id: str, asker: tuple[str | None, str | None]) -> Summary | None:
        """Return what a request cost, if this is who made it.

        Args:
            request_id: the request's own id, or Pay-i's id of one of its calls. That may have been shown to others: it
                is of use to a known user only.
            asker: user id and account name.
        """
        with _lock:
            self._catch_up()
            entry = self._entries.get(request_id)
            if entry is None and asker[0] is not None:
                entry = self._by_other_id.get(request_id)
            if entry is None or self._is_over(entry, self._clock()) or entry.asker != asker:
                return None
            return entry.summary()

    def _listen(self, entry: Entry, calls: list[Call]) -> None:
        for call in calls:
            call.on_settled(partial(self._news.append, (entry, call)))  # a finaliser may do so: no lock is taken

    def _catch_up(self) -> None:
        touched: dict[str, Entry] = {}
        while self._news:
            entry, call = self._news.popleft()
            if entry.id not in self._entries:
                continue
            touched[entry.id] = entry
            if call.result is not None and (other := call.result.request_id) and self._by_other_id.get(other) != entry:
                self._by_other_id[other] = entry
                entry.other_ids.append(other)
        for entry in touched.values():
            if entry.ended is not None:
                entry.summary()

    def _is_over(self, entry: Entry, now: float) -> bool:
        return entry.ended is not None and now - entry.ended > self._longest

    def _make_room(self) -> None:
        while len(self._entries) > self._most:
            self._drop(next(iter(self._entries.values())))

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.id]
        for other in entry.other_ids:
            if self._by_other_id.get(other) is entry:
                del self._by_other_id[other]
