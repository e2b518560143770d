"""A call settles once, and whoever waits for it is woken once, on any thread and any event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio

from payi_middleware import XproxyResult
from payi_middleware.calls import Call, await_settled, wait

RESULT = XproxyResult(request_id="r1")
FOREVER = 30.0
"""Seconds until a test that hangs fails."""


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


# --- settling --------------------------------------------------------------------------------------------------------


def test_a_new_call_is_pending() -> None:
    call = Call()

    assert (call.settled, call.postponed, call.due, call.result, call.error) == (False, False, False, None, None)


def test_a_call_settles_once_and_the_first_outcome_stays() -> None:
    call, error = Call(), RuntimeError("no")

    call.settle(None, error)
    call.settle(RESULT)

    assert (call.settled, call.result, call.error) == (True, None, error)


def test_waiters_and_listeners_are_run_when_the_call_settles_and_see_its_outcome() -> None:
    call, seen = Call(), list[tuple[bool, XproxyResult | None]]()
    call.on_wait_over(lambda: seen.append((call.settled, call.result)))
    call.on_settled(lambda: seen.append((call.settled, call.result)))
    assert seen == []

    call.settle(RESULT)
    call.settle(None)

    assert seen == [(True, RESULT), (True, RESULT)]


def test_who_comes_late_is_run_at_once() -> None:
    call, seen = Call(), list[str]()
    call.settle(RESULT)

    call.on_wait_over(lambda: seen.append("waiter"))
    call.on_settled(lambda: seen.append("listener"))

    assert seen == ["waiter", "listener"]


def test_postponing_wakes_who_waits_and_keeps_who_listens_for_the_outcome() -> None:
    call, seen = Call(), list[str]()
    call.on_wait_over(lambda: seen.append("waiter"))
    call.on_settled(lambda: seen.append("listener"))

    call.postpone()
    assert (seen, call.settled) == (["waiter"], False)

    call.on_wait_over(lambda: seen.append("late waiter"))
    call.on_settled(lambda: seen.append("late listener"))
    assert seen == ["waiter", "late waiter"]

    call.settle(RESULT)
    assert sorted(seen) == ["late listener", "late waiter", "listener", "waiter"]


def test_a_waiter_that_registers_another_one_does_not_lose_it() -> None:
    call, seen = Call(), list[str]()
    call.on_wait_over(lambda: call.on_wait_over(lambda: seen.append("second")))

    call.settle(RESULT)

    assert seen == ["second"]


@pytest.mark.parametrize("register", [Call.on_wait_over, Call.on_settled])
def test_each_waiter_is_run_exactly_once_however_threads_race(
    register: Callable[[Call, Callable[[], None]], None],
) -> None:
    for _ in range(200):
        call, runs, start = Call(), list[int](), threading.Barrier(5)

        def registering(
            first: int, call: Call = call, runs: list[int] = runs, start: threading.Barrier = start
        ) -> None:
            start.wait(FOREVER)
            for number in range(first, first + 20):
                register(call, lambda number=number: runs.append(number))  # type: ignore[misc]

        def settling(call: Call = call, start: threading.Barrier = start) -> None:
            start.wait(FOREVER)
            call.settle(RESULT)

        threads = [in_thread(lambda first=first: registering(first)) for first in (0, 100, 200)]  # type: ignore[misc]
        threads += [in_thread(settling), in_thread(settling)]
        for thread in threads:
            thread.join(FOREVER)

        assert sorted(runs) == [first + number for first in (0, 100, 200) for number in range(20)]


# --- waiting on a thread ---------------------------------------------------------------------------------------------


def test_waiting_for_what_is_over_returns_at_once() -> None:
    settled, postponed = Call(), Call()
    settled.settle(RESULT)
    postponed.postpone()

    wait((settled, postponed), timeout=0)

    assert settled.settled


def test_waiting_ends_when_the_last_call_is_over() -> None:
    calls = [Call() for _ in range(5)]
    waiting = in_thread(lambda: wait(calls, FOREVER))

    for call in reversed(calls[1:]):
        call.settle(RESULT)
    assert waiting.is_alive()
    calls[0].postpone()
    waiting.join(FOREVER)

    assert not waiting.is_alive()


def test_waiting_is_over_at_the_deadline_for_all_calls_together() -> None:
    calls = [Call() for _ in range(3)]

    wait(calls, timeout=0.001)

    assert not any(call.settled for call in calls)
    assert [len(call._waiters) for call in calls] == [1, 0, 0]


def test_a_negative_timeout_does_not_wait() -> None:
    call = Call()

    wait((call,), timeout=-1)

    assert not call.settled


# --- waiting on an event loop ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_awaiting_ends_when_another_thread_settles_the_last_call() -> None:
    calls = [Call() for _ in range(5)]
    over = False

    async def waiting() -> None:
        nonlocal over
        await await_settled(calls, FOREVER)
        over = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiting)
        for call in calls[1:]:
            await anyio.to_thread.run_sync(call.settle, RESULT)
        assert not over
        await anyio.to_thread.run_sync(calls[0].postpone)

    assert over


def test_a_task_of_trios_that_is_a_guest_on_asyncios_loop_waits_as_trio_does() -> None:
    outcomes: list[Any] = []

    async def guest() -> bool:
        call = Call()
        await await_settled((call,), timeout=0.001)
        return call.settled

    async def host() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def done(outcome: Any) -> None:
            outcomes.append(outcome)
            over.set()

        trio.lowlevel.start_guest_run(guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done)
        await over.wait()

    asyncio.run(host())
    assert outcomes[0].unwrap() is False


@pytest.mark.anyio
async def test_awaiting_what_is_over_returns_at_once() -> None:
    settled, postponed = Call(), Call()
    settled.settle(RESULT)
    postponed.postpone()

    await await_settled((settled, postponed), timeout=0)


@pytest.mark.anyio
async def test_awaiting_is_over_at_the_deadline_and_a_later_result_harms_nobody() -> None:
    call = Call()

    await await_settled((call,), timeout=0.001)
    assert not call.settled
    await anyio.to_thread.run_sync(call.settle, RESULT)

    assert call.result is RESULT


@pytest.mark.anyio
async def test_a_cancelled_wait_is_cancelled_and_leaves_the_call_as_it_is() -> None:
    call = Call()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(await_settled, (call,), FOREVER)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert not call.settled
    call.settle(RESULT)


def test_a_result_that_comes_after_the_event_loop_is_gone_harms_nobody(anyio_backend: str) -> None:
    call = Call()

    async def give_up() -> None:
        with anyio.move_on_after(0.001):
            await await_settled((call,), FOREVER)

    anyio.run(give_up, backend=anyio_backend)
    call.settle(RESULT)

    assert call.result is RESULT


def test_two_event_loops_may_wait_for_the_same_call() -> None:
    call, loops = Call(), list[threading.Thread]()
    waiting = threading.Barrier(3)

    async def one() -> None:
        waiting.wait(FOREVER)
        await await_settled((call,), FOREVER)

    for backend in ("asyncio", "trio"):
        loops.append(in_thread(lambda backend=backend: anyio.run(one, backend=backend)))  # type: ignore[misc]
    waiting.wait(FOREVER)
    call.settle(RESULT)
    for loop in loops:
        loop.join(FOREVER)

    assert not any(loop.is_alive() for loop in loops)


def test_plain_asyncio_needs_no_anyio_around_it() -> None:
    async def main() -> None:
        call = Call()
        asyncio.get_running_loop().call_soon(call.settle, RESULT)
        await asyncio.create_task(await_settled((call,), FOREVER))
        assert call.settled

    asyncio.run(main())


def test_who_waits_patiently_waits_on_while_pay_i_cannot_be_reached() -> None:
    call = Call()
    call.postpone()
    delivery = threading.Timer(0.05, call.settle, [XproxyResult(request_id="r")])
    delivery.start()
    wait([call], 30, patient=True)
    delivery.join()
    assert call.result == XproxyResult(request_id="r")


@pytest.mark.anyio
async def test_who_waits_patiently_in_async_code_waits_on_too() -> None:
    call = Call()
    call.postpone()
    delivery = threading.Timer(0.05, call.settle, [XproxyResult(request_id="r")])
    delivery.start()
    await await_settled([call], 30, patient=True)
    assert call.result == XproxyResult(request_id="r")
    delivery.join()
