"""The threads that talk to the sink: daemons, started when there is more to do than those that are there can do.

They begin in an empty context, or they would carry the request that started them for ever.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, detach

from payi_middleware.exceptions import IngestError
from payi_middleware.log import warn
from payi_middleware.results import XproxyResult

from .sinks import Outcome, Sink
from .work import Done, Job, Pending, refused_for_good, with_warnings

__all__ = ["Senders", "start_thread", "work_unseen"]

_WORKER_CONTEXT = Context({_SUPPRESS_INSTRUMENTATION_KEY: True, "suppress_instrumentation": True})
"""Empty but for the keys by which OpenTelemetry's own instrumentations leave our deliveries untraced."""

Task = Callable[[], None]


def start_thread(work: Callable[[], None], name: str) -> bool:
    """Start a daemon in an empty context; False at the end of the interpreter, when no thread starts any more."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    token = attach(Context())
    try:
        thread.start()
    except RuntimeError:
        return False
    finally:
        detach(token)
    return True


def work_unseen() -> None:
    """Have OpenTelemetry's instrumentations overlook what this thread does."""
    attach(_WORKER_CONTEXT)


class Senders:
    """Do jobs, a bounded number at a time.

    Args:
        sink: returns the sink, which it makes at the first call.
        report: is told what became of a job, on the sender's thread.
        most: threads at most.
    """

    def __init__(self, sink: Callable[[], Sink], report: Callable[[Done], None], most: int) -> None:
        self._sink = sink
        self._report = report
        self._most = most
        self._threads = 0
        self._idle = 0
        self._unclaimed = 0
        self._counting = threading.Lock()
        self._jobs: queue.SimpleQueue[Job | Task | None] = queue.SimpleQueue()

    def do(self, job: Job | Task) -> None:
        """Have a job done; called by one thread."""
        with self._counting:
            idle = self._idle > 0
            self._idle -= idle
        if not idle and not self._start_thread():
            if not self._threads:
                self._do(job)
                return
            with self._counting:
                self._unclaimed += 1
        self._jobs.put(job)

    def _start_thread(self) -> bool:
        started = self._threads < self._most and start_thread(self._work, f"payi-sender-{self._threads}")
        self._threads += started
        return started

    def stop(self) -> None:
        """Let the threads end when they have done what there is."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        work_unseen()
        while (job := self._jobs.get()) is not None:
            try:
                self._do(job)
            except Exception as error:  # noqa: BLE001 - there are only so many threads
                warn("delivery", "Delivering reports went wrong: %s", type(error).__name__)
            del job
            with self._counting:
                claimed = self._unclaimed > 0
                self._unclaimed -= claimed
                self._idle += not claimed

    def _do(self, job: Job | Task) -> None:
        if not isinstance(job, Job):
            job()
            return
        outcomes = self._outcomes(job)
        try:
            for pending, outcome in zip(job.pending, outcomes, strict=False):
                self._tell(pending, outcome)
        finally:
            self._report(Done(job, outcomes))

    def _tell(self, pending: Pending, outcome: Outcome) -> None:
        try:
            if isinstance(outcome, XproxyResult):
                pending.settle(outcome)
            elif outcome is None and pending.exchange.is_watched:
                self._ask_later(pending)
        except Exception as error:  # noqa: BLE001 - the others are told all the same
            warn("delivery", "Delivering reports went wrong: %s", type(error).__name__)

    def _outcomes(self, job: Job) -> list[Outcome]:
        try:
            return self._send(job)
        except IngestError as error:
            return [error] * len(job)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the next report must not suffer from it
            if len(job) == 1:
                return [refused_for_good(type(error).__name__)]
        alone = [Job(pending=[one]) for one in job.pending] or [Job(rows=[row]) for row in job.rows]
        return [outcome for one in alone for outcome in self._outcomes(one)]

    def _send(self, job: Job) -> list[Outcome]:
        sink = self._sink()
        if job.single:
            return [sink.send(job.report())]
        outcomes = sink.send_many(job.items(plain=sink.takes_items), results=job.results)
        if len(outcomes) != len(job):
            raise ValueError("not one outcome for each report")
        return outcomes

    def _ask_later(self, pending: Pending) -> None:
        """Have a result fetched if somebody asks for it, as the bulk answer does not tell it."""
        report, warnings = pending.report, pending.warnings
        pending.exchange.call.settle_without_result(
            lambda: with_warnings(self._sink().result(report.category, report.provider_response_id), warnings)
        )
