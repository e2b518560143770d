"""The reports that are not delivered yet: those in memory, and the journal that takes what memory should not hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from heapq import merge
from operator import attrgetter
from weakref import WeakKeyDictionary, WeakValueDictionary

from payi_middleware.calls import Call
from payi_middleware.courtesy import considerately
from payi_middleware.exceptions import IngestError
from payi_middleware.journal import BacklogError, BacklogFullError, DeadLetter, Home, Row, Ticket
from payi_middleware.log import warn
from payi_middleware.providers import Answer
from payi_middleware.recorder import Exchange
from payi_middleware.report import Report
from payi_middleware.results import XproxyResult

from .records import answer_in
from .sinks import Outcome, error_name
from .stats import Stats
from .work import Barrier, Job, Pending, with_warnings

__all__ = ["Stock", "clear"]

_SPILL, _SPILL_FAILING = 2000, 200
"""Reports that wait in memory at most, and while the sink fails; a journal takes the others."""
_SPILL_BYTES = 4 * 1024 * 1024
_CROWDED = 0.5


class Stock:
    """Keep reports until they are delivered. Everything is done by the dispatching thread, but for reading counts.

    Args:
        home: where the journal is; None keeps everything in memory.
        read_record: makes a report of a record that another process left behind, and says when its call ended.
        stats: counted up here.
        queue_size, queue_bytes: what may wait in memory.

    `told` is what other threads may know at any moment: exchanges taken out of the inbox, and how many of their reports
    are here. `reading` is when the exchange was recorded that is just being read.
    """

    def __init__(
        self,
        home: Home | None,
        read_record: Callable[[bytes], tuple[Report, float] | None],
        stats: Stats,
        *,
        queue_size: int,
        queue_bytes: int,
    ) -> None:
        self.home = home
        self.waiting: deque[Pending] = deque()
        self.outstanding: dict[int, float] = {}
        self.in_backlog = 0
        self.oldest_in_backlog: float | None = None
        self.reading: float | None = None
        self.told = (0, 0)
        self._taken = 0
        self._read_record = read_record
        self._stats = stats
        self._queue_size = queue_size
        self._queue_bytes = queue_bytes
        self._bytes = 0
        self._skipped = self._skipped_row = 0
        self._barriers: list[Barrier] = []
        self._spilled: WeakValueDictionary[int, Call] = WeakValueDictionary()
        self._warnings: WeakKeyDictionary[Call, tuple[str, ...]] = WeakKeyDictionary()

    # --- in memory --------------------------------------------------------------------------------------------------

    def add(self, pending: Pending) -> None:
        """Take a new report."""
        self.outstanding[pending.number] = pending.recorded
        self.waiting.append(pending)
        self._bytes += pending.size
        self.leave_out()

    def look_at(self, exchange: Exchange) -> bool:
        """Begin with an exchange, whose answer may have been left to its record; return whether it is to be had."""
        self.reading = exchange.recorded
        if not exchange.is_left_to_record:
            return True
        try:
            exchange.answer = self._answer_of(exchange)
        except LookupError:  # on record in a journal that was closed meanwhile
            self.leave_out()
            exchange.call.settle(None, IngestError("kept for the next process to deliver"))
        except Exception as error:  # noqa: BLE001 - it costs this one report
            self.leave_out()
            self.drop(exchange, error)
        return exchange.answer is not None

    def _answer_of(self, exchange: Exchange) -> Answer:
        if self.home is None or not isinstance(exchange.ticket, int):
            raise LookupError("there is no journal")
        return answer_in(self.home.spool.read(exchange.ticket), exchange.match, exchange.fallback_id)

    def leave_out(self) -> None:
        """An exchange has been read; unless its report was added it is none, or is given up."""
        self._taken += 1
        self._tell()
        self.reading = None

    def _tell(self) -> None:
        self.told = (self._taken, len(self.outstanding) + self.in_backlog)

    def pop(self) -> Pending:
        """Hand out the oldest report in memory for delivery; it stays outstanding.

        Behind one that was skipped it is the next one, if there are more.

        Raises:
            IndexError: there is none.
        """
        waiting = self.waiting
        place = 0
        if self._skipped:
            place = next((place for place, pending in enumerate(waiting) if pending.number > self._skipped), 0)
        pending = waiting[place]
        del waiting[place]
        self._bytes -= pending.size
        return pending

    def put_back(self, again: Sequence[Pending]) -> None:
        """Take reports back that could not be delivered, to where they were."""
        if not again:
            return
        self.waiting = deque(merge(again, self.waiting, key=attrgetter("number")))
        self._bytes += sum(pending.size for pending in again)

    def done(self, pending: Pending) -> None:
        """Forget a report that was delivered or refused."""
        self.outstanding.pop(pending.number, None)
        self._tell()
        clear(self.home, pending.exchange)

    def drop(self, exchange: Exchange, error: BaseException) -> None:
        """Give a report up, and count that."""
        self._stats.dropped += 1
        self._stats.last_error = error_name(error)
        warn("dropped", "A report was given up (%s); %d so far", type(error).__name__, self._stats.dropped)
        clear(self.home, exchange)
        exchange.call.settle(None, error)

    def keep_bounds(self, *, failing: bool) -> None:
        """Move what is too much for memory to the journal; without one, give up the oldest."""
        most = min(self._queue_size, _SPILL_FAILING if failing else _SPILL)
        crowded = self.home is not None and self.home.spool.used > _CROWDED
        if len(self.waiting) > most or self._bytes > min(_SPILL_BYTES, self._queue_bytes) or crowded:
            self.spill()
        while self.waiting and (len(self.waiting) > self._queue_size or self._bytes > self._queue_bytes):
            oldest = self.waiting.popleft()
            self._bytes -= oldest.size
            self.outstanding.pop(oldest.number, None)
            self._tell()
            self.drop(oldest.exchange, IngestError("the queue of reports is full"))

    # --- in the journal ---------------------------------------------------------------------------------------------

    def spill(self) -> bool:
        """Move what waits in memory to the journal; False if that is not to be had."""
        spilled = list(self.waiting)
        if self.home is None or not spilled:
            return False
        try:
            last = self.home.backlog.append(pending.row() for pending in considerately(spilled))
        except BacklogError as error:
            self._failed(error)
            return False
        self.waiting.clear()
        self._bytes = 0
        self._count_on(len(spilled), moved=spilled)
        for row, pending in enumerate(spilled, last - len(spilled) + 1):
            call = pending.exchange.call
            self._spilled[row] = call
            if pending.warnings:
                self._warnings[call] = pending.warnings
            clear(self.home, pending.exchange)
            call.postpone()
            for barrier in self._barriers:
                if pending.number <= barrier.number:
                    barrier.row = max(barrier.row, row)
        return True

    def rows(self, most: int) -> list[Row]:
        """Return the oldest reports of the journal, which stay in it until they are done.

        Behind one that was skipped come those after it, until there are no more.
        """
        rows = self._read(most, after=self._skipped_row) if self._skipped_row else []
        if not rows and not (rows := self._read(most)):
            self.count()
        return rows

    def _read(self, most: int, *, after: int = 0) -> list[Row]:
        if self.home is None:
            return []
        try:
            return self.home.backlog.take(most, after)
        except BacklogError as error:
            self._failed(error)
            return []

    def awaits_any(self, rows: Sequence[Row]) -> bool:
        """Return whether somebody still has the call of one of these."""
        return any(row.id in self._spilled for row in rows)

    def skip(self, job: Job | None) -> None:
        """Have those behind this job's report tried before it is again; None begins with the oldest again."""
        if job is None:
            self._skipped = self._skipped_row = 0
        elif job.rows:
            self._skipped_row = job.rows[0].id
        else:
            self._skipped = job.pending[0].number

    def rows_done(self, gone: Sequence[Row], letters: Iterable[DeadLetter], again: Sequence[Row]) -> None:
        """Take reports out of the journal, bury those refused, and put those at its end that are tried again later.

        Args:
            gone: all of them, those that come again, too.
            again: these, as they are stored now; their ids are those that they had.
        """
        assert self.home is not None
        try:
            last = self.home.backlog.acknowledge([row.id for row in gone], letters, again)
        except BacklogError as error:
            self._failed(error)
            return
        for new, row in enumerate(again, last - len(again) + 1):
            call = self._spilled.pop(row.id, None)
            if call is not None:
                self._spilled[new] = call
            for barrier in self._barriers:
                if row.id <= barrier.row:
                    barrier.row = max(barrier.row, new)
        self._count_on(len(again) - len(gone))

    def settle_row(self, row: Row, outcome: Outcome, fetch: Callable[[], XproxyResult] | None = None) -> None:
        """Tell the call, if somebody still has it, what became of its report.

        Args:
            fetch: asks for the result where the outcome does not tell it.
        """
        call = self._spilled.pop(row.id, None)
        if call is None:
            return
        warnings = self._warnings.pop(call, ())
        if isinstance(outcome, IngestError):
            call.settle(None, outcome)
        elif outcome is not None:
            call.settle(with_warnings(outcome, warnings))
        elif fetch is not None:
            call.settle_without_result(lambda: with_warnings(fetch(), warnings))

    def warn_row(self, row: Row, warning: str | None) -> None:
        """Have the result say something, if somebody still has the call."""
        call = self._spilled.get(row.id)
        if call is not None and warning is not None:
            self._warnings[call] = (*self._warnings.get(call, ()), warning)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep reports that were refused for people to look at."""
        if letters and self.home is not None:
            try:
                self.home.backlog.append((), letters)
            except BacklogError as error:
                self._failed(error)

    def _count_on(self, more: int, *, moved: Sequence[Pending] = ()) -> None:
        """Count what has come or gone, as counting all would take longer the more there is.

        Args:
            moved: what has come from memory.
        """
        oldest = self._read(1)
        self.in_backlog = max(1, self.in_backlog + more) if oldest else 0
        self.oldest_in_backlog = oldest[0].recorded if oldest else None
        for pending in moved:
            self.outstanding.pop(pending.number, None)
        self._tell()

    def count(self) -> None:
        """Count what is in the journal."""
        if self.home is None or not self.home.has_backlog:
            return
        try:
            counts = self.home.backlog.counts()
        except BacklogError as error:
            self._failed(error)
            return
        self.in_backlog, self.oldest_in_backlog = counts.pending, counts.oldest
        self._tell()

    def _failed(self, error: BacklogError) -> None:
        self._stats.last_error = type(error).__name__
        warn(
            "journal",
            "The journal cannot be used (%s) and reports wait in memory: make room, or set PAYI_JOURNAL",
            error,
        )
        if isinstance(error, BacklogFullError):  # what is in it can be delivered all the same
            return
        self.in_backlog, self.oldest_in_backlog = 0, None
        self._tell()
        if self.home is not None:
            self.home.give_up_backlog()

    def adopt(self, spared: int = 0) -> None:
        """Take over what ended processes have left, notice what people had put back, and keep the journal's bound.

        Args:
            spared: the id of the newest row that is being delivered, which is not to be given up, nor any before it.
        """
        home = self.home
        if home is None:
            return
        try:
            self._stats.adopted += home.adopt(self._row_of)
            if home.has_backlog:
                letters, reports = home.backlog.shrink(spared)
                self._stats.dropped += reports
                if letters or reports:
                    warn("full", "The journal is full: %d refused and %d other reports had to go", letters, reports)
        except BacklogError as error:
            self._failed(error)
        self.count()

    def _row_of(self, record: bytes) -> Row | None:
        read = self._read_record(record)
        if read is None:
            return None
        report, recorded = read
        return Row(report.encoded(), report.module, report.log_content, recorded)

    # --- who waits --------------------------------------------------------------------------------------------------

    def mark(self, barrier: Barrier, number: int) -> None:
        """Put a mark behind everything that is here; `number` is the newest report's."""
        barrier.number = number
        with suppress(BacklogError):
            barrier.row = self.home.backlog.last_id if self.home is not None and self.in_backlog else 0
        self._barriers.append(barrier)

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for all to be delivered."""
        return bool(self._barriers)

    def pass_barriers(self) -> None:
        """Tell those who wait for what is delivered by now."""
        for barrier in list(self._barriers):
            if barrier.left or self._is_reached(barrier):
                self._barriers.remove(barrier)
                barrier.reached.set()

    def _is_reached(self, barrier: Barrier) -> bool:
        return not any(number <= barrier.number for number in self.outstanding) and not self._is_left(barrier.row)

    def _is_left(self, row: int) -> bool:
        if not row or not self.in_backlog:
            return False
        oldest = self._read(1)
        return bool(oldest) and oldest[0].id <= row

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, under_way: Iterable[Pending]) -> None:
        """Keep what is left for the next process, or give it up where there is no journal."""
        self.spill()
        for pending in (*self.waiting, *under_way):
            if self.home is None:
                self.drop(pending.exchange, IngestError("the process ended before it was delivered"))
            else:
                pending.settle(None, IngestError("kept for the next process to deliver"))
        for call in list(self._spilled.values()):
            call.settle(None, IngestError("kept for the next process to deliver"))
        for barrier in self._barriers:
            barrier.reached.set()
        if self.home is not None:
            self.home.close(keep=bool(self.outstanding))


def clear(home: Home | None, exchange: Exchange) -> None:
    """Take an exchange off the record: its report is safe, or there is none."""
    ticket, exchange.ticket = exchange.ticket, None
    if home is not None and isinstance(ticket, int | Ticket):
        home.spool.clear(ticket)
