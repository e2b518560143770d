"""The way from a finished exchange to its result: a bounded queue, and threads that work it off.

Threads start when there is work, are daemons, and begin in an empty context, or they would carry the request that
started them for ever. The queue is a `SimpleQueue` because its `put` may be called by a finaliser, on any thread,
even one that is inside `put` already.
"""

from __future__ import annotations

import os
import queue
import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Protocol

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, detach

from .exceptions import IngestConnectionError, IngestError, IngestRefusedError, IngestTimeoutError
from .log import logger, warn
from .recorder import Exchange
from .report import Report
from .results import XproxyResult

_WORKER_CONTEXT = Context({_SUPPRESS_INSTRUMENTATION_KEY: True, "suppress_instrumentation": True})
"""Empty but for the keys by which OpenTelemetry's own instrumentations leave our deliveries untraced."""
_LONGEST_PAUSE = 30.0
_RETRIED_STATUS = frozenset({408, 429})


_inherited: list[object] = []
"""Sinks of the parent process: closing its connections and files here, were they collected, would close them there."""


class Sink(Protocol):
    """Where reports go. One sink serves several threads."""

    def open(self) -> None:
        """Load and connect what the first report would have to wait for.

        Raises:
            IngestError: it is not to be had at present; the first report will try again.
        """

    def send(self, report: Report) -> XproxyResult:
        """Deliver one report.

        Raises:
            IngestError: it was not accepted.
        """

    def close(self) -> None:
        """Let go of connections and files; the sink is used again after that if more reports come."""


@dataclass(slots=True)
class Stats:
    """Counters since the process began.

    Args:
        queued: reports waiting or under way.
        delivered: accepted by the sink.
        retried: attempts that will be repeated.
        refused: refused for good by the sink.
        dropped: given up because the queue was full, the process ended or a report could not be built.
        last_error: the type and code of the newest failure, never its content.
    """

    queued: int = 0
    delivered: int = 0
    retried: int = 0
    refused: int = 0
    dropped: int = 0
    last_error: str | None = None


class _Opening:
    """A request in the queue to get the sink ready."""


class _Barrier:
    """A mark in the queue: everything put before it has been handed over when it is reached."""

    def __init__(self) -> None:
        self.reached = threading.Event()


class Delivery:
    """Delivers exchanges to a sink.

    Args:
        build: turns an exchange into a report, or into None if it was no inference; runs on a delivering thread.
        open_sink: makes the sink, at the first report.
        threads: deliveries under way at once.
        queue_size, queue_bytes: bounds of what may wait; beyond them the oldest is dropped.
    """

    def __init__(
        self,
        build: Callable[[Exchange], Report | None],
        open_sink: Callable[[], Sink],
        *,
        threads: int,
        queue_size: int,
        queue_bytes: int,
    ) -> None:
        self._build = build
        self._open_sink = open_sink
        self._threads = threads
        self._queue_size = queue_size
        self._queue_bytes = queue_bytes
        self.stats = Stats()
        self.available = True
        self._sink: Sink | None = None
        self._pid = os.getpid()
        self._reset()

    def _reset(self) -> None:
        """Begin anew, as a process does after a fork: its parent's threads and connections are not its own."""
        if self._sink is not None and self._pid != os.getpid():
            _inherited.append(self._sink)
        self._pid = os.getpid()
        self._inbox: queue.SimpleQueue[Exchange | _Barrier | _Opening | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._taking = threading.Lock()
        self._idle = threading.Condition()
        self._under_way: set[int] = set()
        self._taken = 0
        self._bytes = 0
        self._unweighed: deque[int] = deque()
        self._workers: list[threading.Thread] = []
        self._closing = threading.Event()
        self._sink = None

    def expect(self) -> None:
        """Make sure that a thread runs, since a finaliser that hands over an exchange must not start one."""
        if self._pid != os.getpid():
            self._reset()
        if not self._workers:
            self._start_worker()
        if self._unweighed:
            self._keep_bounds()

    def open(self) -> None:
        """Get the sink ready on a delivering thread, so that the first result does not wait for it."""
        self.expect()
        self._inbox.put(_Opening())

    def send(self, report: Report) -> XproxyResult:
        """Deliver one report at once, on the calling thread.

        Raises:
            IngestError: it was not accepted.
        """
        if self._pid != os.getpid():
            self._reset()
        return self._sink_in_use().send(report)

    def put(self, exchange: Exchange, *, finalising: bool = False) -> None:
        """Queue an exchange; when `finalising`, without touching any lock: the bounds are then kept a call later."""
        exchange.queued_bytes = exchange.size
        self._unweighed.append(exchange.queued_bytes)
        self._inbox.put(exchange)
        if not finalising:
            self._keep_bounds()

    def _keep_bounds(self) -> None:
        with self._lock:
            while self._unweighed:
                self._bytes += self._unweighed.popleft()
        while self._inbox.qsize() > self._queue_size or self._bytes > self._queue_bytes:
            if not self._drop_oldest():
                break
        if self._inbox.qsize() > 1 and len(self._workers) < self._threads:
            self._start_worker()

    def _drop_oldest(self) -> bool:
        try:
            oldest = self._inbox.get_nowait()
        except queue.Empty:
            return False
        if isinstance(oldest, _Barrier):
            oldest.reached.set()
        elif isinstance(oldest, Exchange):
            self._forget(oldest)
            self._drop(oldest, IngestError("the queue of reports is full"))
        return True

    def _forget(self, exchange: Exchange) -> None:
        with self._lock:
            self._bytes -= exchange.queued_bytes

    def _drop(self, exchange: Exchange, error: BaseException) -> None:
        self.stats.dropped += 1
        self.stats.last_error = type(error).__name__
        warn("dropped", "A report was given up (%s); %d so far", type(error).__name__, self.stats.dropped)
        exchange.call.settle(None, error)

    def _start_worker(self) -> None:
        with self._lock:
            if len(self._workers) >= self._threads or self._closing.is_set():
                return
            worker = threading.Thread(target=self._work, name=f"payi-delivery-{len(self._workers)}", daemon=True)
            self._workers.append(worker)
        token = attach(Context())
        try:
            worker.start()
        except RuntimeError:  # the interpreter is shutting down: no thread starts any more
            with self._lock:
                self._workers.remove(worker)
        finally:
            detach(token)

    # --- on the delivering threads ---------------------------------------------------------------------------------

    def _work(self) -> None:
        attach(_WORKER_CONTEXT)
        closing = self._closing  # a thread that outlives a `close()` belongs to what was closed
        while not closing.is_set() or self._closing is closing:
            with self._taking:  # taking and noting it is one step, so that a barrier sees all that is under way
                item = self._inbox.get()
                if isinstance(item, Exchange):
                    self._taken += 1
                    number = self._taken
                    with self._idle:
                        self._under_way.add(number)
                elif isinstance(item, _Barrier):
                    number = self._taken
            if item is None:
                return
            if isinstance(item, _Barrier):
                self._pass(item, number)
                continue
            if isinstance(item, _Opening):
                with suppress(Exception):  # the first report meets the same error, and tells it
                    self._sink_in_use().open()
                continue
            try:
                self._forget(item)
                self._deliver(item, closing)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the next report must not suffer from it
                self._drop(item, error)
            finally:
                del item
                if self._closing is closing:
                    with self._idle:
                        self._under_way.discard(number)
                        self._idle.notify_all()

    def _pass(self, barrier: _Barrier, number: int) -> None:
        with self._idle:
            self._idle.wait_for(lambda: not any(earlier <= number for earlier in self._under_way))
        barrier.reached.set()

    def _deliver(self, exchange: Exchange, closing: threading.Event) -> None:
        if not exchange.identified and exchange.scope is not None:
            exchange.queued_bytes = 0
            exchange.scope.when_identified(partial(self._inbox.put, exchange))
            return
        report = self._build(exchange)
        if report is None:
            exchange.withdraw()
            return
        attempt = 0
        while True:
            try:
                result = self._sink_in_use().send(report)
            except IngestError as error:
                if not _worth_retrying(error):
                    self._refuse(exchange, error)
                    return
                self._postpone(exchange, error)
                if closing.wait(random.uniform(0, min(_LONGEST_PAUSE, 0.5 * 2**attempt))):
                    self._drop(exchange, error)
                    return
                attempt += 1
            else:
                self._accept(exchange, result)
                return

    def _sink_in_use(self) -> Sink:
        with self._opening:  # not the queue's lock: opening loads libraries and files, and the app's thread takes that
            if self._sink is None:
                self._sink = self._open_sink()
            return self._sink

    def _accept(self, exchange: Exchange, result: XproxyResult) -> None:
        if not self.available:
            logger.info("Reports are delivered again")
        self.available = True
        self.stats.delivered += 1
        if exchange.scope is not None:
            exchange.scope.last_result = result
        exchange.call.settle(result)

    def _refuse(self, exchange: Exchange, error: IngestError) -> None:
        self.available = True  # it answers
        self.stats.refused += 1
        self.stats.last_error = _error_name(error)
        warn("refused", "Pay-i refused a report: %s", _error_name(error))
        exchange.call.settle(None, error)

    def _postpone(self, exchange: Exchange, error: IngestError) -> None:
        self.available = False
        self.stats.retried += 1
        self.stats.last_error = _error_name(error)
        warn("undelivered", "Reports cannot be delivered at present: %s", _error_name(error))
        exchange.call.postpone()

    # --- waiting for the end ----------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Reports waiting or under way."""
        return self._inbox.qsize() + len(self._under_way)

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over up to now is delivered or given up.

        Args:
            timeout: seconds.

        Returns:
            False if the time ran out first.
        """
        if self._pid != os.getpid() or (not self._workers and not self._inbox.qsize()):
            return True
        barrier = _Barrier()
        self.expect()
        self._inbox.put(barrier)
        return barrier.reached.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Flush, then stop the threads and let go of the sink; a later exchange starts them again.

        Returns:
            False if the time ran out and reports were given up.
        """
        if self._pid != os.getpid():
            return True
        deadline = monotonic() + timeout
        flushed = self.flush(timeout)
        with self._lock:
            workers, sink = list(self._workers), self._sink
            self._closing.set()
        for _ in workers:
            self._inbox.put(None)
        for worker in workers:
            worker.join(max(0.1, deadline - monotonic()))
        if not flushed:
            while self._drop_oldest():
                pass
        if sink is not None:
            with suppress(Exception):
                sink.close()
        self._reset()
        return flushed


def _worth_retrying(error: IngestError) -> bool:
    if isinstance(error, IngestRefusedError):
        return error.status >= 500 or error.status in _RETRIED_STATUS
    return isinstance(error, IngestConnectionError | IngestTimeoutError)


def _error_name(error: IngestError) -> str:
    if isinstance(error, IngestRefusedError):
        return f"HTTP {error.status} {error.code[:64]}"
    return type(error).__name__
