"""What the sources say of one web request: asked when it matters, each no more often than it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

from opentelemetry.context import attach, create_key, detach, get_current, set_value

from payi_middleware.annotations import NOTHING, Annotations
from payi_middleware.log import warn

from .entry import Entries, Entry
from .incoming import Incoming, Trust

PATIENCE = 5.0
"""Seconds that a thread waits for another thread of the same request that is asking: a handler may block its event
loop on a thread, while a resolver that the thread waits for needs that loop."""

_POLL = 0.002
"""Seconds between two looks of a task or a thread whose turn it is not yet."""

_MERGED = frozenset({"request_properties", "use_case_properties"})
"""Fields of which each source may name a part."""

_ASKING = create_key("payi-identity-asking")


class Explained(NamedTuple):
    """What became of one source; names only, no values."""

    source: str
    trust: Trust
    won: tuple[str, ...]
    """The fields it decided."""
    lost: tuple[str, ...]
    """The fields it named that a more trusted source had named, too."""
    note: str
    """Why it named nothing, where that is known."""


class RequestIdentity:
    """Who asked, as far as it is known by now.

    One settles at a time. No event loop ever blocks on its turn: what is being asked may need it.

    Args:
        entries: the sources, most trusted first.
        original: the request as an `Incoming`; nothing is read from it before the first `settle`.
        view: makes an `Incoming` of it, if it is none.
    """

    __slots__ = (
        "__weakref__", "_answers", "_entries", "_left", "_news", "_original", "_turn", "_view", "annotations"
    )  # fmt: skip

    def __init__(self, entries: Entries, original: Any, view: Callable[[Any], Incoming] | None = None) -> None:
        self._entries = self._left = entries
        self._original = original
        self._view = view
        self._answers: dict[Entry, dict[str, Any]] | None = None
        self.annotations = NOTHING
        """What is known by now; the same object as long as nothing was added."""
        self._news = False
        self._turn = bytearray(1)  # who takes the byte has the turn; a lock would be one more object to be collected

    @property
    def pending(self) -> bool:
        """Whether an async resolver still has to answer: `asettle` asks it, `settle` only where no event loop runs."""
        return bool(self._left.awaited)

    def settle(self) -> None:
        """Ask the sources that can be asked from here.

        Sources that inner layers of the app fill in are asked again until they say something, any other once. Async
        resolvers are run to their end where no event loop runs in this thread, on the app's own loop if this thread
        was started from it, and are left pending where one runs.
        """
        left = self._left
        if not left.each or (left.own and get_current().get(_ASKING) is self):  # a resolver's own calls ask nobody
            return
        if not self._takes_turn() and (loop_runs_here() or not self._wait()):
            return
        try:
            self._ask_all()
            for entry in self._left.awaited:
                if not loop_runs_here():
                    self._await_from_here(entry)
        finally:
            self._end_turn()

    def settle_at_once(self) -> bool:
        """Do what `asettle` does if that takes no waiting, as it does not for most; return whether it was done."""
        left = self._left
        if not left.each:
            return True
        if left.own or left.awaited or not self._takes_turn():
            return False
        try:
            self._ask_all()
        finally:
            self._end_turn()
        return True

    async def asettle(self) -> None:
        """Ask the sources, on asyncio and on trio; who comes second waits for the answers of who came first.

        Sync resolvers are called directly, as in `settle`, and must not block: in a worker thread they would lose
        what is bound to the request's thread and cost every request a hop. One that must wait is written async.
        """
        left = self._left
        if not left.each or (left.own and get_current().get(_ASKING) is self):
            return
        while not self._takes_turn():
            import anyio

            # The turn may be a thread's or another loop's: no event of anyio's wakes across all of them.
            await anyio.sleep(_POLL)
        try:
            self._ask_all()
            for entry in self._left.awaited:
                await self._aask(entry)
        finally:
            self._end_turn()

    def _takes_turn(self) -> bool:
        try:
            self._turn.pop()
        except IndexError:
            return False
        return True

    def _wait(self) -> bool:
        """Block this thread until it is its turn."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            time.sleep(_POLL)  # looked up now: gevent may have put its own in place since this was imported
            if self._takes_turn():
                return True
        warn("identity turn", "A thread waited %s s for an identity resolver: it goes on without it", PATIENCE)
        return False

    def _end_turn(self) -> None:
        if self._news:
            self._publish()
        self._turn.append(0)

    def _publish(self) -> None:
        answers = self._answers
        if self._news and answers is not None:
            self._news = False
            merged = _merge([answers[entry] for entry in self._entries.each if entry in answers])
            if merged != self.annotations:
                self.annotations = merged

    @property
    def _incoming(self) -> Incoming:
        view = self._view
        incoming: Incoming = self._original if view is None else view(self._original)
        return incoming

    def explain(self) -> list[Explained]:
        """Say which source decided which field, most trusted first. Asks nobody; `settle` before."""
        decided: set[str] = set()
        lines = []
        answers = self._answers or {}
        for entry in self._entries.each:
            named = tuple(answers.get(entry, ()))
            won = tuple(field for field in named if field not in decided or field in _MERGED)
            decided.update(won)
            lost = tuple(field for field in named if field not in won)
            lines.append(Explained(entry.name, entry.trust, won, lost, "" if named else self._silence(entry)))
        return lines

    def _silence(self, entry: Entry) -> str:
        if not entry.admits(self._incoming):
            return "not asked: the peer is not in trusted_proxies"
        if entry in self._left.each and not entry.late:
            return "not asked yet"
        return "named nothing"

    def _ask_all(self) -> None:
        """Ask what need not be awaited, and let it be seen at once: an async resolver may take its time."""
        incoming = self._incoming
        for entry in self._left.each:
            if entry.awaits:
                continue
            try:
                if entry.vouched and not entry.trusts(incoming.peer):
                    answer = None
                elif entry.own:
                    answer = self._call(entry, incoming)
                else:
                    answer = entry.ask(incoming)
                if answer is not None or not entry.late:
                    self._hear(entry, answer)
            except Exception as error:  # noqa: BLE001 - the app's request goes on, whatever happens in a source
                self._drop(entry, error)
        if self._news:
            self._publish()

    def _call(self, entry: Entry, incoming: Incoming) -> object:
        token = attach(set_value(_ASKING, self))
        try:
            return entry.ask(incoming)
        finally:
            detach(token)

    async def _aask(self, entry: Entry) -> None:
        try:
            incoming = self._incoming
            answer = await self._acall(entry, incoming) if entry.admits(incoming) else None
            self._hear(entry, answer)
        except Exception as error:  # noqa: BLE001 - as above; a cancellation is no Exception, and asks again later
            self._drop(entry, error)

    async def _acall(self, entry: Entry, incoming: Incoming) -> object:
        token = attach(set_value(_ASKING, self))
        try:
            return await cast("Awaitable[object]", entry.ask(incoming))
        finally:
            detach(token)

    def _await_from_here(self, entry: Entry) -> None:
        try:
            run_from_thread(lambda: self._aask(entry))
        except Exception as error:  # noqa: BLE001 - as above, where the event loop itself is the trouble
            self._drop(entry, error)

    def _drop(self, entry: Entry, error: Exception) -> None:
        entry.failed(error)
        self._hear(entry, None)

    def _hear(self, entry: Entry, answer: object) -> None:
        named = None if answer is None or answer is NOTHING else entry.understand(answer)
        if not named and entry.late:
            return
        self._left = self._left.without(entry)
        if named:
            if self._answers is None:
                self._answers = {}
            self._answers[entry] = named
            self._news = True


def _merge(answers: list[dict[str, Any]]) -> Annotations:
    merged: dict[str, Any] = {}
    for named in answers:
        for field, value in named.items():
            if field in _MERGED:
                merged[field] = {**value, **merged.get(field, {})}
            else:
                merged.setdefault(field, value)
    if (session_id := merged.get("session_id")) is not None:
        merged["request_properties"] = {**merged.get("request_properties", {}), "session_id": session_id}
    return Annotations(**merged)


def loop_runs_here() -> bool:
    """Whether an event loop runs in this thread, asyncio's or trio's."""
    # Who has a loop has imported it. Another thread may be importing it just now.
    running = getattr(sys.modules.get("asyncio"), "get_running_loop", None)
    if running is not None:
        try:
            running()
        except RuntimeError:
            pass
        else:
            return True
    if "trio" not in sys.modules:
        return False
    from anyio.lowlevel import current_token

    try:
        current_token()
    except RuntimeError:
        return False
    return True


def run_from_thread(function: Callable[[], Awaitable[None]]) -> None:
    """Run an async function to its end from a thread in which no event loop runs.

    A worker thread of anyio (a `def` endpoint) runs it on the loop that started the thread, where the app's
    connection pools live; asgiref finds the loop of its own threads, and makes one where there is none (WSGI).
    """
    from anyio.from_thread import run  # imported here, as asgiref is: 30 ms that only apps with async resolvers pay
    from asgiref.sync import async_to_sync

    started = False

    async def start() -> None:
        nonlocal started
        started = True
        await function()

    try:
        run(start)
    except RuntimeError:
        if started:
            raise
        async_to_sync(start)()
