"""The one thread that owns the reports of a process: it reads exchanges, and decides what is sent when and how.

Everything reaches it through one queue, so nothing of its state needs a lock. It does not wait for the network, which
the senders do, so that reports are journalled whatever the service does.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import monotonic, process_time

from payi_middleware.courtesy import Courtesy
from payi_middleware.exceptions import IngestError, IngestRefusedError
from payi_middleware.journal import DeadLetter, Row
from payi_middleware.log import logger, warn
from payi_middleware.recorder import Exchange
from payi_middleware.report import Report
from payi_middleware.results import XproxyResult

from .gathering import Gathering
from .inbox import Inbox, Item
from .pacing import Pacing
from .senders import Senders, work_unseen
from .sinks import Outcome, Sink, error_name, is_for_what_was_sent, worth_retrying
from .stats import Stats
from .stock import Stock, clear
from .verdicts import dead_letter, verdict
from .work import Barrier, Done, Job, Nudge, Pending, Stop, row_report

__all__ = ["Dispatcher"]

_ROUND = 64
"""Exchanges read before the next ones are sent."""
_CHORES, _ADOPTION = 1.0, 60.0
"""Seconds between two turns of writing the spool to the disk, and of looking for what ended processes have left."""
_LINGER, _COMPANY = 0.1, 200
"""Seconds that a report nobody waits for waits for others to be sent with, and how many of them are enough."""
_BULK_BYTES, _PARALLEL_BULKS = 1024 * 1024, 2
_QUICK = 0.01
"""Seconds: while they take no longer, they go one after the other, which takes less of the interpreter's time."""
_TOLD = 100
"""Reports sent together where each is answered with its result: reading that takes hold of the interpreter at once."""


class Dispatcher:
    """Deliver what comes through the inbox.

    Args:
        inbox: exchanges, and what is asked of the dispatcher.
        stock: where reports are until they are delivered.
        build: turns an exchange into a report, or into None if it was no inference.
        forget: is told of each exchange that was taken out of the inbox.
        open_sink: returns the sink, which is made at the first report.
        stats: counted up here.
        most_senders: deliveries under way at once.
    """

    def __init__(
        self,
        inbox: Inbox,
        stock: Stock,
        *,
        build: Callable[[Exchange], Report | None],
        forget: Callable[[Exchange], None],
        open_sink: Callable[[], Sink],
        stats: Stats,
        most_senders: int,
    ) -> None:
        self.stock = stock
        self.pacing = Pacing()
        self._inbox = inbox
        inbox.looked_after = stock.home is not None
        self._build, self._forget = build, forget
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._stats = stats
        self._most_senders = most_senders
        self._senders = Senders(self._sink_in_use, inbox.put, most_senders + 1)  # one of them has time for the disk
        self._courtesy = Courtesy()
        self._syncing, self._taken = False, 0
        self._under_way: dict[int, Job] = {}
        self._bulks, self._bulk_seconds = 0, 1.0
        self._reading_backlog = self._accepted_since = self._backlog_first = False
        self._asked_for = self._outage_told = False
        self._gathering = Gathering()
        self._next_chores = monotonic() + _CHORES
        self._next_adoption = monotonic()
        self._stop: Stop | None = None

    def _sink_in_use(self) -> Sink:
        self._sink = sink = self._open_sink()
        return sink

    # --- the round --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until told to stop."""
        work_unseen()
        while self._stop is None:
            for step in (self._take, self._gather_now_and_then, self._send, self._do_chores, self.stock.pass_barriers):
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - neither the other steps nor the next round suffer from it
                    self._stats.last_error = type(error).__name__
                    warn("delivery", "Delivering reports went wrong: %s", type(error).__name__)
        self._end(self._stop)

    def _take(self) -> None:
        with suppress(queue.Empty):
            try:
                item = self._inbox.get(timeout=self._patience())
            finally:
                self._courtesy.rested()
            for _ in range(_ROUND):
                self._handle(item)
                del item
                self._courtesy.rest_now_and_then()
                item = self._inbox.get_nowait()
            self._handle(item)

    def _patience(self) -> float:
        """Return the seconds until there is something to do without being told."""
        now = monotonic()
        until = [self._next_adoption]
        if self._gathering.due is not None:
            until.append(self._gathering.due)
        if self.stock.home is not None:
            until.append(self._next_chores)
        if self.stock.waiting or self.stock.in_backlog:
            pause = self.pacing.pause(now)
            if pause:
                until.append(now + pause)
            elif pause == 0 and not self._bulks:
                until.append(now + _LINGER)
        return max(0.0, min(until) - now)

    def _handle(self, item: Item) -> None:
        if isinstance(item, Exchange):
            if self._inbox.gathered:
                self._gather()
            self._take_exchange(item)
        elif isinstance(item, Nudge):
            self._inbox.heard()
            self._gathering.nudge(monotonic(), wanted=item.wanted, at_once=item.at_once)
            self._asked_for = self._asked_for or item.at_once
        elif isinstance(item, Done):
            self._finish(item)
        elif isinstance(item, Barrier):
            self._gather(self._inbox.qsize())  # and none that come meanwhile, or a busy app would never be flushed
            self._do_chores()  # what is to be taken over first is waited for, too
            self.stock.mark(item, self._taken)
            self.pacing.hurry(monotonic())
        elif isinstance(item, Stop):
            self._stop = item
        else:
            self._senders.do(self._open)

    def _gather_now_and_then(self) -> None:
        if self._gathering.is_due(monotonic()):
            wanted = self._gather()
            if company := len(wanted) > 1:
                self._inbox.hush(wanted=any(wanted))
            more = self._inbox.gathered
            self._gathering.gathered(monotonic(), process_time(), more=more, company=company, wanted=any(wanted))

    def _gather(self, most: int = _ROUND) -> list[bool]:
        """Read what lies beside the queue, as it came before what is in it; return who of them may be waited for."""
        wanted = []
        for exchange in self._inbox.gather(most):
            wanted.append(exchange.wanted)
            self._take_exchange(exchange)
            self._courtesy.rest_now_and_then()
        return wanted

    def _open(self) -> None:
        with suppress(Exception):  # the first report meets the same error, and tells it
            self._sink_in_use().open()

    def _take_exchange(self, exchange: Exchange) -> None:
        self._forget(exchange)
        if not exchange.identified and exchange.scope is not None:
            exchange.queued_bytes = 0
            exchange.scope.when_identified(partial(self._inbox.put, exchange))
            return
        if not self.stock.look_at(exchange):
            return
        sink, wanted = self._sink, exchange.wanted
        try:
            report = self._build(exchange)
            if report and not (sink and (sink.takes_items or (wanted and sink.tells_results is False))):
                report.pack()  # unless it is looked into
        except BaseException as error:  # noqa: BLE001 - the app's own `redact` may raise anything
            self.stock.leave_out()
            self.stock.drop(exchange, error)
            return
        if report is None:
            self.stock.leave_out()
            clear(self.stock.home, exchange)
            if not exchange.booked:
                exchange.withdraw()
            return
        self._taken += 1
        exchange.let_go()
        self.stock.add(Pending(self._taken, exchange, report, wanted, report.size, exchange.recorded))

    # --- what is sent next ------------------------------------------------------------------------------------------

    def _send(self) -> None:
        self.stock.keep_bounds(failing=self.pacing.failing)
        while len(self._under_way) < self._most_senders and self.pacing.may_send(monotonic()):
            job = self._next()
            if job is None:
                return
            job.begun, job.sent = self.pacing.begin(), monotonic()
            self._under_way[id(job)] = job
            self._bulks += not job.single
            self._senders.do(job)

    def _next(self) -> Job | None:
        """Return what is next: of what is in memory, unless that has just failed and there is something else to try."""
        backlog_first, self._backlog_first = self._backlog_first, False
        return (self._from_backlog() if backlog_first else None) or self._from_memory() or self._from_backlog()

    def _from_memory(self) -> Job | None:
        """Return what is next: singly what somebody waits for, as long as there are threads for it, else in bulk."""
        waiting = self.stock.waiting
        if not waiting:
            self._asked_for = False
            return None
        sink = self._sink
        if sink is None or self.pacing.failing or self.pacing.batch == 1:
            return Job([self.stock.pop()], single=True)
        if self._bulks >= (1 if self._bulk_seconds < _QUICK else _PARALLEL_BULKS):
            return None
        wanted = waiting[0].wanted or self._asked_for
        if wanted and sink.tells_results is False and len(waiting) <= 2 * self._most_senders:
            return Job([self.stock.pop()], single=True)
        due = wanted or self.stock.awaited or len(waiting) >= _COMPANY or any(one.wanted for one in waiting)
        return self._bulk() if due or waiting[0].has_waited(_LINGER) else None

    def _bulk(self) -> Job:
        pending: list[Pending] = []
        size = 0
        most = self.pacing.batch if not (self._sink and self._sink.tells_results) else min(_TOLD, self.pacing.batch)
        while self.stock.waiting and len(pending) < most and size < _BULK_BYTES:
            pending.append(self.stock.pop())
            size += pending[-1].size
        return Job(pending, results=any(one.exchange.is_watched for one in pending))

    def _from_backlog(self) -> Job | None:
        if not self.stock.in_backlog or self._reading_backlog:
            return None
        rows = self.stock.rows(self.pacing.batch)
        if damaged := [row for row in rows if row_report(row) is None]:
            self._bury_damaged(damaged)
            rows = [row for row in rows if row not in damaged]
        self._reading_backlog = bool(rows)
        return Job(rows=rows, results=self.stock.awaits_any(rows)) if rows else None

    def _bury_damaged(self, rows: Sequence[Row]) -> None:
        error = IngestError("what was stored of it is damaged")
        for row in rows:
            self.stock.settle_row(row, error)
        self.stock.rows_done(rows, [self._refuse(row, error) for row in rows], ())

    # --- what became of it ------------------------------------------------------------------------------------------

    def _finish(self, done: Done) -> None:
        job = done.job
        self._under_way.pop(id(job), None)
        if not job.single:
            self._bulks, self._bulk_seconds = self._bulks - 1, monotonic() - job.sent
        alone = len(job) == 1
        suspect = alone and self._accepted_since
        self._pace(job, done.outcomes, suspect=suspect)
        if job.rows:
            self._reading_backlog = False
            self._finish_rows(job.rows, done.outcomes, alone=alone, suspect=suspect)
        else:
            self._finish_pending(job.pending, done.outcomes, alone=alone, suspect=suspect)

    def _pace(self, job: Job, outcomes: Sequence[Outcome], *, suspect: bool) -> None:
        failed = [outcome for outcome in outcomes if isinstance(outcome, IngestError) and worth_retrying(outcome)]
        if len(failed) < len(outcomes):
            self.pacing.succeed(monotonic(), len(job))
            self._accepted_since = True
            self.stock.skip(None)
            if self._outage_told and not self.pacing.failing:
                self._outage_told = False
                logger.info("Reports are delivered again")
        if not failed:
            return
        newest = failed[-1]
        after = newest.retry_after if isinstance(newest, IngestRefusedError) else None
        poison = is_for_what_was_sent(newest)
        self.pacing.fail(monotonic(), begun=job.begun, count=len(job), retry_after=after, poison=poison)
        if poison and len(job) == 1:
            self._accepted_since = False
            self._backlog_first = bool(job.pending)
            self.stock.skip(job)
        self._stats.retried += len(failed)
        self._stats.last_error = error_name(newest)
        if not self._outage_told:
            self._outage_told = warn("undelivered", "Reports cannot be delivered at present: %s", error_name(newest))

    def _finish_pending(
        self, pending: Sequence[Pending], outcomes: Sequence[Outcome], *, alone: bool, suspect: bool
    ) -> None:
        again: list[Pending] = []
        for one, outcome in zip(pending, outcomes, strict=True):
            if not isinstance(outcome, IngestError):
                self._stats.delivered += 1
                self.stock.done(one)
            elif retry := verdict(one.report, one.attempts, outcome, alone=alone, suspect=suspect):
                one.report, one.attempts = retry.report, retry.attempts
                one.warnings += (retry.warning,) if retry.warning else ()
                one.exchange.call.postpone()
                again.append(one)
            else:
                self.stock.bury([self._refuse(one.row(), outcome)])
                self.stock.done(one)
                one.settle(None, outcome)
        self.stock.put_back(again)

    def _finish_rows(self, rows: Sequence[Row], outcomes: Sequence[Outcome], *, alone: bool, suspect: bool) -> None:
        gone: list[Row] = []
        letters: list[DeadLetter] = []
        again: list[Row] = []
        for row, outcome in zip(rows, outcomes, strict=True):
            if not isinstance(outcome, IngestError):
                self._stats.delivered += 1
            elif (report := row_report(row)) and (
                retry := verdict(report, row.attempts, outcome, alone=alone, suspect=suspect)
            ):
                if retry.report is not report or retry.attempts > row.attempts:
                    self.stock.warn_row(row, retry.warning)
                    again.append(replace(row, item=retry.report.encoded(), attempts=retry.attempts))
                    gone.append(row)
                continue
            else:
                letters.append(self._refuse(row, outcome))
            self.stock.settle_row(row, outcome, partial(self._result_of, row))
            gone.append(row)
        self.stock.rows_done(gone, letters, again)

    def _result_of(self, row: Row) -> XproxyResult:
        report = row_report(row)
        if report is None:
            raise IngestError("what was stored of it is damaged")
        return self._open_sink().result(report.category, report.provider_response_id)

    def _refuse(self, row: Row, error: IngestError) -> DeadLetter:
        self._stats.refused += 1
        self._stats.last_error = error_name(error)
        warn("refused", "Pay-i refused a report: %s", error_name(error))
        return dead_letter(row, error)

    # --- chores, and the end ----------------------------------------------------------------------------------------

    def _do_chores(self) -> None:
        now = monotonic()
        if now >= self._next_chores and self.stock.home is not None:
            self._next_chores = now + _CHORES
            if self._inbox.gathered:
                self._gathering.nudge(now, wanted=True)
            if not self._syncing:  # a disk that takes its time is asked once
                self._syncing = True
                self._senders.do(self._sync)
        if now >= self._next_adoption:
            self._next_adoption = now + _ADOPTION
            self.stock.adopt(max((job.rows[-1].id for job in self._under_way.values() if job.rows), default=0))

    def _sync(self) -> None:
        try:
            if self.stock.home is not None:
                self.stock.home.spool.sync()
        except OSError as error:
            warn("sync", "The journal cannot be written to the disk at present (%s)", error.strerror)
        finally:
            self._syncing = False

    def _end(self, stop: Stop) -> None:
        try:
            with suppress(queue.Empty):
                while True:
                    item = self._inbox.pull()
                    if isinstance(item, Barrier):
                        item.reached.set()
                    elif isinstance(item, Exchange | Done):
                        self._handle(item)
            self._senders.stop()
            self.stock.close([pending for job in self._under_way.values() for pending in job.pending])
        except Exception as error:  # noqa: BLE001 - what is on record stays there
            warn("delivery", "Ending the delivery of reports went wrong: %s", type(error).__name__)
        finally:
            stop.done.set()
