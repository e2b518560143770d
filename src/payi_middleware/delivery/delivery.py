"""The app's side of the delivery: it takes finished exchanges, on any thread, and makes nobody wait.

The queue is a `SimpleQueue` because its `put` may be called by a finaliser, on any thread, even one that is inside
`put` already.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, time
from uuid import uuid4

from payi_middleware.exceptions import IngestError
from payi_middleware.forks import uncut
from payi_middleware.journal import Home
from payi_middleware.log import warn
from payi_middleware.recorder import Exchange
from payi_middleware.report import Report
from payi_middleware.results import XproxyResult

from .dispatcher import Dispatcher
from .inbox import Inbox
from .presence import Presence
from .records import record_of
from .senders import start_thread
from .sinks import Sink, error_name
from .stats import Stats
from .stock import Stock, clear
from .work import Barrier, Opening, Stop

__all__ = ["Delivery"]

_inherited: list[object] = []
"""What a forked child has of its parent: closing its connections and files here would close them there."""


class Delivery:
    """Delivers exchanges to a sink.

    Args:
        build: turns an exchange into a report, or into None if it was no inference; runs on the dispatching thread.
        read_record: makes a report of a record that an ended process has left, and says when its call ended.
        hash_user: replaces user ids before they are written anywhere.
        open_sink: makes the sink, at the first report.
        open_home: makes this process's journal; None keeps everything in memory. Raises OSError.
        senders: deliveries under way at once.
        queue_size, queue_bytes: bounds of what may wait in memory; beyond them the oldest is dropped.
        started: is called when a process begins to deliver.
    """

    def __init__(
        self,
        *,
        build: Callable[[Exchange], Report | None],
        read_record: Callable[[bytes], tuple[Report, float] | None],
        hash_user: Callable[[str], str] | None,
        open_sink: Callable[[], Sink],
        open_home: Callable[[], Home] | None,
        senders: int,
        queue_size: int,
        queue_bytes: int,
        started: Callable[[], None],
    ) -> None:
        self._build = build
        self._read_record = read_record
        self._hash_user = hash_user
        self._open_sink = open_sink
        self._open_home = open_home
        self._senders = senders
        self._queue_size, self._most = queue_size, queue_size // 2
        self._queue_bytes = queue_bytes
        self._started = started
        self._stats = Stats()
        self._sink: Sink | None = None
        self._home: Home | None = None
        self._dispatcher: Dispatcher | None = None
        self._pid = os.getpid()
        self._reset()

    def _reset(self) -> None:
        """Begin anew, as a process does after a fork: its parent's threads, files and connections are not its own."""
        if self._pid != os.getpid():
            _inherited.append((self._sink, self._home, self._dispatcher))
            self._stats = Stats()
        self._pid = os.getpid()
        self._home = None  # before the inbox: what comes meanwhile would be put on record where nobody looks for it
        self._inbox = Inbox()
        self._presence = Presence(self._inbox.hurry)
        self._starting = threading.Lock()
        self._weighing = threading.Lock()
        self._sinking = threading.Lock()
        self._bytes = 0
        self._unweighed: deque[int] = deque()
        self._ids = f"payi_{str(uuid4())[:24]}"
        self._numbers = iter(range(1 << 48))
        self._sink = None
        self._dispatcher = None

    # --- on the app's threads ---------------------------------------------------------------------------------------

    @property
    def presence(self) -> Presence:
        """The web requests that are served."""
        if self._pid != os.getpid():
            self._reset()
        return self._presence

    def expect(self) -> None:
        """Make sure that a thread runs, since a finaliser that hands over an exchange must not start one."""
        if self._pid != os.getpid():
            self._reset()
        if self._dispatcher is None:
            self._start()
        if self._unweighed:
            self._keep_bounds()

    def _start(self) -> None:
        with self._starting:
            if self._dispatcher is not None:
                return
            if self._home is None:  # it may be there without a thread, which the end of the interpreter refuses
                self._home = self._opened_home()
            stock = Stock(
                self._home,
                self._read_record,
                self._stats,
                queue_size=self._queue_size,
                queue_bytes=self._queue_bytes,
            )
            dispatcher = Dispatcher(
                self._inbox,
                stock,
                build=self._build,
                forget=self._forget,
                open_sink=self._sink_in_use,
                stats=self._stats,
                most_senders=self._senders,
            )
            if start_thread(dispatcher.run, "payi-delivery"):
                self._dispatcher = dispatcher
                self._started()

    def _opened_home(self) -> Home | None:
        if self._open_home is None:
            return None
        try:
            return self._open_home()
        except OSError as error:
            reason = error.strerror or str(error)
            warn(
                "journal",
                "Reports are kept in memory only, as the journal cannot be made (%s): make room, or set PAYI_JOURNAL "
                "to a directory that can be written, or to off",
                reason,
            )
            return None

    def open(self) -> None:
        """Get the sink ready on a thread of ours, so that the first result does not wait for it."""
        self.expect()
        self._inbox.put(Opening())

    def send(self, report: Report) -> XproxyResult:
        """Deliver one report at once, on the calling thread.

        Raises:
            IngestError: it was not accepted.
        """
        if self._pid != os.getpid():
            self._reset()
        return self._sink_in_use().send(report)

    def sink(self) -> Sink:
        """Return where reports go, opened if need be."""
        if self._pid != os.getpid():
            self._reset()
        return self._sink_in_use()

    def put(self, exchange: Exchange, *, finalising: bool = False) -> None:
        """Put an exchange on record and queue it.

        Args:
            finalising: the garbage collector calls: no lock is touched, and the bounds are kept a call later.
        """
        if exchange.fallback_id is None:
            exchange.fallback_id = f"{self._ids}{next(self._numbers):012x}"
        if self._dispatcher is None and not finalising:  # closed while this was under way
            self.expect()
        inbox, home, on_record = self._inbox, self._home, False
        if home is not None and (exchange.passage is None or not exchange.booked):
            spool = home.spool
            try:
                exchange.ticket = ticket = spool.put(record_of(exchange, self._hash_user))
                on_record = type(ticket) is int and not spool.closed  # whose file may be gone then
            except Exception as error:  # noqa: BLE001 - it is delivered from memory then
                self._stats.last_error = type(error).__name__
                if not finalising and not spool.closed:  # which means that it is taken along to the next one
                    warn("spool", "A report could not be put on record (%s) and waits in memory", type(error).__name__)
        if exchange.wait_lightly(on_record=on_record) and not finalising:
            exchange.queued_bytes = 0
            queued = inbox.bring(exchange, wanted=exchange.wanted, pressed=False, most=self._most)
            full = queued > self._queue_size
        else:
            self._weigh(exchange, finalising=finalising)
            pressed = 2 * self._bytes > self._queue_bytes
            queued = inbox.bring(exchange, wanted=exchange.wanted, pressed=pressed, most=self._most)
            full = not finalising and (queued > self._queue_size or self._bytes > self._queue_bytes)
        if inbox is not self._inbox:
            self._take_along(inbox, finalising=finalising)
        if full:
            self._keep_bounds()

    def _weigh(self, exchange: Exchange, *, finalising: bool) -> None:
        exchange.queued_bytes = size = exchange.size
        if finalising:
            self._unweighed.append(size)
        else:
            with self._weighing:
                self._bytes += size

    def _take_along(self, inbox: Inbox, *, finalising: bool = False) -> None:
        """Put again what came into an inbox that was being closed."""
        with suppress(queue.Empty):
            while True:
                item = inbox.pull()
                if isinstance(item, Stop):  # for a dispatcher that has yet to come to it, and to all that came before
                    inbox.put(item)
                    return
                if isinstance(item, Exchange):
                    if item.is_left_to_record:  # which whoever comes next takes over: the next dispatcher, or process
                        self._inbox.bring(item, wanted=True, pressed=True, most=0)
                        if not finalising:
                            self.expect()
                    else:
                        self.put(item, finalising=finalising)
                elif isinstance(item, Barrier):
                    item.reached.set()

    def _keep_bounds(self) -> None:
        with self._weighing:
            while self._unweighed:
                self._bytes += self._unweighed.popleft()
        while self._inbox.qsize() > self._queue_size or self._bytes > self._queue_bytes:
            if not self._drop_oldest():
                break

    def _drop_oldest(self) -> bool:
        with suppress(queue.Empty):
            for _ in range(self._inbox.qsize()):
                oldest = self._inbox.pull()
                if isinstance(oldest, Exchange):
                    self._inbox.give_up()
                    self._give_up(oldest)
                    return True
                self._inbox.put(oldest)
        return False

    def _give_up(self, exchange: Exchange) -> None:
        self._forget(exchange)
        self._stats.dropped += 1
        error = IngestError("the queue of reports is full")
        warn("dropped", "A report was given up (%s); %d so far", error_name(error), self._stats.dropped)
        clear(self._home, exchange)
        exchange.call.settle(None, error)

    def _forget(self, exchange: Exchange) -> None:
        if exchange.queued_bytes:
            with self._weighing:
                self._bytes -= exchange.queued_bytes

    def _sink_in_use(self) -> Sink:
        with self._sinking:  # no other lock of ours: opening loads libraries and files
            if self._sink is None:
                with uncut:
                    self._sink = self._open_sink()
            return self._sink

    # --- what there is to know --------------------------------------------------------------------------------------

    @property
    def available(self) -> bool:
        """Whether waiting for results makes sense: the last delivery did not fail."""
        return self._dispatcher is None or not self._dispatcher.pacing.failing

    @property
    def counters(self) -> Stats:
        """What was counted since the process began; a fork's child begins with nothing."""
        return self._stats if self._pid == os.getpid() else Stats()

    @property
    def queued(self) -> int:
        """Reports waiting or under way."""
        if self._pid != os.getpid():
            return 0
        dispatcher, inbox = self._dispatcher, self._inbox
        taken, here = (0, 0) if dispatcher is None else dispatcher.stock.told
        return max(0, inbox.brought - taken + here)

    @property
    def oldest_age(self) -> float | None:
        """Seconds since the oldest report that is not delivered was recorded."""
        if self._dispatcher is None or self._pid != os.getpid():
            return None
        stock = self._dispatcher.stock
        beside = self._inbox.oldest  # first, as it goes from here to there
        recorded = [beside, *list(stock.outstanding.values()), stock.oldest_in_backlog, stock.reading]
        oldest = min((moment for moment in recorded if moment is not None), default=None)
        if oldest is None:
            return 0.0 if self.queued else None  # it has just come
        return max(0.0, time() - oldest)

    def ask(self) -> None:
        """Deliver soon what nobody seemed to wait for: somebody does."""
        if self._pid == os.getpid() and self._dispatcher is not None:
            self._inbox.ask()

    # --- waiting for the end ----------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over up to now is delivered or refused.

        Args:
            timeout: seconds.

        Returns:
            False if the time ran out first.
        """
        if self._pid != os.getpid() or (self._dispatcher is None and not self._inbox.qsize()):
            return True
        barrier = Barrier()
        self.expect()
        self._inbox.put(barrier)
        try:
            return barrier.reached.wait(timeout)
        finally:
            barrier.left = True

    def close(self, timeout: float) -> bool:
        """Flush, then end the threads and let go of the sink; a later exchange starts them again.

        Returns:
            False if the time ran out: what was not delivered is left to the next process, or lost without a journal.
        """
        if self._pid != os.getpid():
            return True
        deadline = monotonic() + timeout
        flushed, ended = self.flush(timeout), True
        if self._dispatcher is not None:
            stop = Stop()
            self._inbox.put(stop)
            ended = stop.done.wait(max(0.5, deadline - monotonic()))
        sink, inbox = self._sink, self._inbox
        self._reset()
        if ended:  # one that takes its time comes to what is in its inbox, and ends then
            self._take_along(inbox)
        if sink is not None:
            with suppress(Exception):
                sink.close()
        return flushed
