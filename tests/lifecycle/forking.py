"""Plays in which a process has children. It ends as programs do, and those of `os.fork` by `os._exit`."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import openai

import payi_middleware as payi
from payi_middleware.service.accounts import booking as ledger_booking
from tests.lifecycle import sdks
from tests.lifecycle.stage import Tell
from tests.transport.calling import KEY, STREAMED

Settings = dict[str, Any]


def _fork(child: Callable[[], object]) -> None:
    """Have a child do something and end by `os._exit`, and wait for it."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            child()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def child_flushes(tell: Tell, settings: Settings) -> None:
    """The child reports what it did, and so does the parent before and after that."""

    def child() -> None:
        tell(sdks.streamed(sdks.sync))
        tell(sdks.plain(sdks.sync))
        assert payi.flush(30)

    payi.instrument(sdks.settings_of(settings))
    tell(sdks.plain(sdks.sync))
    _fork(child)
    tell(sdks.plain(sdks.sync))


def children_just_end(tell: Tell, settings: Settings) -> None:
    """A worker that does each job in a child of its own, which ends at once, as RQ's do."""
    payi.instrument(sdks.settings_of(settings))
    for _ in range(4):
        _fork(lambda: tell(sdks.plain(sdks.sync)))


def parent_has_reports_pending(tell: Tell, settings: Settings) -> None:
    """The parent's reports wait while the child is made, and are delivered when that has ended."""
    gate = threading.Event()

    def held(item: dict[str, Any]) -> dict[str, Any]:
        assert gate.wait(60)
        return item

    def child() -> None:
        gate.set()  # which is the child's own now
        tell(sdks.plain(sdks.sync))
        assert payi.flush(30)

    meter = payi.instrument(payi.Settings(**settings, redact=held))
    for _ in range(3):
        tell(sdks.plain(sdks.sync))
    _fork(child)
    assert meter.stats()["delivered"] == 0
    gate.set()


def fork_in_a_stream(tell: Tell, settings: Settings) -> None:
    """The child lets go of a stream that the parent reads to its end."""
    payi.instrument(sdks.settings_of(settings))
    stream = iter(sdks.sync.chat.completions.create(**STREAMED, extra_headers=sdks.LONG))
    first = next(stream).id

    def child() -> None:
        nonlocal stream
        sdks.sync = openai.OpenAI(base_url=sdks.sync.base_url, api_key=KEY)
        tell(sdks.plain(sdks.sync))
        del stream
        gc.collect()
        assert payi.flush(30)

    _fork(child)
    assert len(list(stream)) > 1
    tell(first)


def _ask(url: str, settings: Settings) -> str:
    """Make a call in a child."""
    payi.instrument(sdks.settings_of(settings))
    with openai.OpenAI(base_url=url, api_key=KEY) as client:
        return sdks.plain(client)


def _ask_in_process(answer: Any, *arguments: Any) -> None:
    answer.send(_ask(*arguments))


def processes(tell: Tell, settings: Settings, method: str, number: int) -> None:
    """Processes of `multiprocessing`, beside what the parent asks."""
    context: Any = multiprocessing.get_context(method)
    arguments = (str(sdks.sync.base_url), settings)
    tell(_ask(*arguments))
    children = []
    for _ in range(number):
        receiving, sending = context.Pipe(duplex=False)
        children.append((context.Process(target=_ask_in_process, args=(sending, *arguments)), receiving))
        children[-1][0].start()
    for child, receiving in children:
        tell(receiving.recv())
        child.join()
        assert child.exitcode == 0


def executor(tell: Tell, settings: Settings) -> None:
    """The processes of an executor."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        asked = [pool.submit(_ask, str(sdks.sync.base_url), settings) for _ in range(4)]
        for answer in asked:
            tell(answer.result())


def pool(tell: Tell, settings: Settings, *, terminate: bool) -> None:
    """A pool whose processes are replaced after two jobs; in the end they are joined, or terminated."""
    workers = multiprocessing.get_context("fork").Pool(2, maxtasksperchild=2)
    asked = [workers.apply_async(_ask, (str(sdks.sync.base_url), settings)) for _ in range(6)]
    for answer in asked:
        tell(answer.get(60))
    if terminate:
        workers.terminate()
    else:
        workers.close()
    workers.join()


def parent_closes_first(tell: Tell, settings: Settings) -> None:
    """The parent has used its ledger before the fork, and closes it while the child goes on; the child is killed."""

    def child() -> None:
        for _ in range(2):
            tell(sdks.plain(sdks.sync))
            assert payi.flush(30)
            os.write(told, b".")
            os.read(go_on, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    (heard, told), (go_on, may_go_on) = os.pipe(), os.pipe()
    meter = payi.instrument(payi.Settings(**settings))
    tell(sdks.plain(sdks.sync))
    assert meter.flush(30)
    pid = os.fork()
    if not pid:
        child()
    os.read(heard, 1)
    assert meter.close()
    os.write(may_go_on, b".")
    os.read(heard, 1)
    os.write(may_go_on, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def fork_in_a_transaction(tell: Tell, settings: Settings) -> None:
    """The parent is just booking a report in its ledger when the child is made."""
    booking, forking = threading.Event(), threading.Event()
    book = ledger_booking.book

    def book_late(*arguments: Any) -> Any:  # a transaction cannot be made to last otherwise
        if not booking.is_set():
            booking.set()
            assert forking.wait(30)
        return book(*arguments)

    def child() -> None:
        tell(sdks.plain(sdks.sync))
        assert payi.flush(15)

    ledger_booking.book = book_late  # type: ignore[assignment]
    os.register_at_fork(before=forking.set)  # called before ours is, as the one that was registered last
    payi.instrument(payi.Settings(**settings))
    tell(sdks.plain(sdks.sync))
    assert booking.wait(30)
    _fork(child)
