"""The app's own resolvers, sync and async, from event loops and threads, one at a time and all at once."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from payi_middleware.annotations import NOTHING, Annotations
from payi_middleware.identity import Headers, Identity, Incoming, RequestIdentity, Trust
from payi_middleware.identity import request as request_module
from payi_middleware.settings import Settings

from .web_request import WebRequest, who


def asking(*resolvers: Callable[[Any], object], request: WebRequest | None = None) -> RequestIdentity:
    return Identity([*resolvers], Settings()).of(request or WebRequest())


class Lookup:
    """An async resolver that counts how often it was asked and can be held."""

    def __init__(self, held: bool = False) -> None:
        self.asked = 0
        self.entered = anyio.Event()
        self.free = anyio.Event()
        if not held:
            self.free.set()

    async def __call__(self, incoming: Incoming) -> str:
        self.asked += 1
        self.entered.set()
        await self.free.wait()
        return "alice"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("alice", Annotations(user_id="alice")),
        (7, Annotations(user_id="7")),
        (UUID(int=5), Annotations(user_id="00000000-0000-0000-0000-000000000005")),
        ({"user_id": 7, "account_name": None}, Annotations(user_id="7")),
        ({"user_id": "alice", "limit_ids": ["l1"]}, Annotations(user_id="alice", limit_ids=("l1",))),
        (Annotations(limit_ids=("l1",), proxy=False), Annotations(limit_ids=("l1",), proxy=False)),
        ({"log_prompt_and_response": True}, Annotations(log_prompt_and_response=True)),
        (None, NOTHING),
        ({}, NOTHING),
        ("", NOTHING),
    ],
)
def test_a_resolver_may_answer_in_the_shape_it_likes(answer: object, found: Annotations) -> None:
    assert who(WebRequest(), [lambda incoming: answer]) == found


@pytest.mark.parametrize("answer", [["alice"], True, b"alice", {"userid": "alice"}, {"limit_ids": "l1"}, {"a": 1}])
def test_an_answer_that_cannot_be_understood_is_skipped(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    def whoami(incoming: Incoming) -> object:
        return answer

    assert who(WebRequest({"X-User-ID": "bob"}), [whoami, Headers()]).user_id == "bob"
    assert "whoami" in caplog.text
    assert "alice" not in caplog.text


def test_a_resolver_sees_the_request() -> None:
    def from_environ(incoming: Incoming) -> str | None:
        user: str | None = incoming.original["HTTP_X_EMPLOYEE"]
        return user

    assert who(WebRequest(original={"HTTP_X_EMPLOYEE": "alice"}), [from_environ]).user_id == "alice"


def test_a_resolver_that_raises_is_skipped_asked_no_more_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def broken(incoming: Incoming) -> str:
        asked.append(incoming)
        raise ValueError("no such user: secret")

    identity = asking(broken, lambda incoming: "alice")
    identity.settle()
    identity.settle()

    assert identity.annotations.user_id == "alice"
    assert len(asked) == len(caplog.records) == 1
    assert "broken" in caplog.text
    assert "secret" not in caplog.text


def test_a_plain_function_that_returns_a_coroutine_is_told_to_be_async(caplog: pytest.LogCaptureFixture) -> None:
    lookup = Lookup()

    assert who(WebRequest(), [lambda incoming: lookup(incoming)]) is NOTHING
    assert "lambda" in caplog.text


@pytest.mark.anyio
async def test_an_async_resolver_is_pending_until_it_is_awaited() -> None:
    lookup = Lookup()
    identity = asking(lookup, Headers().read)

    before = identity.pending
    identity.settle()
    between = identity.pending
    await identity.asettle()
    await identity.asettle()

    assert (before, between, identity.pending) == (True, True, False)
    assert (identity.annotations.user_id, lookup.asked) == ("alice", 1)


@pytest.mark.anyio
async def test_every_way_to_write_an_async_resolver_is_recognised() -> None:
    async def plain(incoming: Incoming) -> str:
        return "plain"

    async def configured(suffix: str, incoming: Incoming) -> str:
        return "partial" + suffix

    class Method:
        async def resolve(self, incoming: Incoming) -> str:
            return "method"

    class AsyncSource:
        name = "AsyncSource"
        trust = Trust.VERIFIED

        async def read(self, incoming: Incoming) -> Annotations:
            return Annotations(user_id="source")

    found = []
    for resolver in (plain, functools.partial(configured, "!"), Method().resolve, Lookup(), AsyncSource()):
        identity = Identity([resolver], Settings()).of(WebRequest())  # type: ignore[list-item]
        assert identity.pending
        await identity.asettle()
        found.append(identity.annotations.user_id)

    assert found == ["plain", "partial!", "method", "alice", "source"]


@pytest.mark.anyio
async def test_an_async_resolver_that_raises_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(incoming: Incoming) -> str:
        await anyio.lowlevel.checkpoint()
        raise ValueError("secret")

    identity = asking(broken, lambda incoming: "alice")
    await identity.asettle()

    assert (identity.annotations.user_id, identity.pending) == ("alice", False)
    assert "broken" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.anyio
async def test_tasks_that_settle_at_once_ask_once_and_all_see_the_answer() -> None:
    lookup = Lookup(held=True)
    identity = asking(lookup)
    seen = []

    async def settle() -> None:
        await identity.asettle()
        seen.append(identity.annotations.user_id)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(settle)
        await lookup.entered.wait()
        lookup.free.set()

    assert (lookup.asked, seen) == (1, ["alice"] * 10)


@pytest.mark.anyio
async def test_who_comes_second_asks_again_if_the_first_was_cancelled() -> None:
    lookup = Lookup(held=True)
    identity = asking(lookup)

    async def give_up(scope: anyio.CancelScope) -> None:
        with scope:
            await identity.asettle()

    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        tasks.start_soon(give_up, scope)
        await lookup.entered.wait()
        tasks.start_soon(identity.asettle)
        scope.cancel()
        lookup.free.set()

    assert (lookup.asked, identity.annotations.user_id, identity.pending) == (2, "alice", False)


@pytest.mark.anyio
async def test_settle_on_the_event_loop_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_module, "PATIENCE", 0.01)
    lookup = Lookup(held=True)
    identity = asking(lookup, lambda incoming: {"account_name": "acme"})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(identity.asettle)
        await lookup.entered.wait()
        identity.settle()
        assert identity.pending
        assert identity.annotations == Annotations(account_name="acme")
        lookup.free.set()

    assert identity.annotations == Annotations(user_id="alice", account_name="acme")
    assert not caplog.records


@pytest.mark.anyio
async def test_a_thread_of_the_app_asks_on_the_apps_own_event_loop() -> None:
    here = []

    async def lookup(incoming: Incoming) -> str:
        here.append(anyio.lowlevel.current_token())
        return "alice"

    identity = asking(lookup)
    await anyio.to_thread.run_sync(identity.settle)

    assert (here, identity.annotations.user_id) == ([anyio.lowlevel.current_token()], "alice")


@pytest.mark.anyio
async def test_a_thread_and_a_task_that_settle_at_once_ask_once_and_both_see_the_answer() -> None:
    lookup = Lookup(held=True)
    identity = asking(lookup)
    seen = []

    def in_thread() -> None:
        identity.settle()
        seen.append(identity.annotations.user_id)

    async def in_task() -> None:
        await identity.asettle()
        seen.append(identity.annotations.user_id)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, in_thread)
        await lookup.entered.wait()
        tasks.start_soon(in_task)
        await anyio.lowlevel.checkpoint()
        lookup.free.set()

    assert (lookup.asked, seen) == (1, ["alice", "alice"])


def test_an_async_resolver_is_run_to_its_end_where_there_is_no_event_loop() -> None:
    asked = []

    async def lookup(incoming: Incoming) -> str:
        await asyncio.sleep(0)
        asked.append(incoming)
        return "alice"

    identity = asking(lookup)
    identity.settle()
    identity.settle()

    assert (len(asked), identity.annotations.user_id, identity.pending) == (1, "alice", False)


def test_a_thread_that_the_event_loop_did_not_start_may_settle_too() -> None:
    async def lookup(incoming: Incoming) -> str:
        await asyncio.sleep(0)
        return "alice"

    async def handler() -> str | None:
        identity = asking(lookup)
        await asyncio.to_thread(identity.settle)
        return identity.annotations.user_id

    assert asyncio.run(handler()) == "alice"


def test_threads_that_settle_at_once_ask_once_and_both_see_the_answer() -> None:
    entered, free = threading.Event(), threading.Event()
    asked, seen = [], []

    def lookup(incoming: Incoming) -> str:
        asked.append(incoming)
        entered.set()
        free.wait(5)
        return "alice"

    identity = asking(lookup)

    def settle() -> None:
        identity.settle()
        seen.append(identity.annotations.user_id)

    first, second = threading.Thread(target=settle), threading.Thread(target=settle)
    first.start()
    entered.wait(5)
    second.start()
    second.join(0.1)  # time to go wrong, not to go right: however long this takes, the outcome must be the same
    free.set()
    first.join()
    second.join()

    assert (len(asked), seen) == (1, ["alice", "alice"])


def test_a_thread_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(request_module, "PATIENCE", 0.01)
    asked, answer = threading.Event(), threading.Event()

    def lookup(incoming: Incoming) -> str:
        asked.set()
        assert answer.wait(30)
        return "alice"

    identity = asking(lookup)
    first = threading.Thread(target=identity.settle)
    first.start()
    assert asked.wait(30)

    identity.settle()
    assert identity.annotations is NOTHING
    assert "goes on without" in caplog.text
    answer.set()
    first.join()

    assert identity.annotations.user_id == "alice"


def test_a_thread_waits_with_what_sleeps_by_then_as_gevent_may_have_put_its_own_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = asking(lambda incoming: "alice")
    identity._turn.clear()  # somebody else is asking
    monkeypatch.setattr(time, "sleep", lambda seconds: identity._turn.append(0))

    identity.settle()

    assert identity.annotations.user_id == "alice"


def test_a_resolver_whose_own_calls_want_to_know_who_asked_does_not_wait_for_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_module, "PATIENCE", 0.01)

    def lookup(incoming: Incoming) -> str:
        identity.settle()
        return "alice"

    identity = asking(lookup)
    identity.settle()

    assert identity.annotations.user_id == "alice"
    assert not caplog.records


@pytest.mark.anyio
async def test_an_async_resolver_whose_tasks_want_to_know_who_asked_ends() -> None:
    async def lookup(incoming: Incoming) -> str:
        await identity.asettle()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(identity.asettle)
            tasks.start_soon(anyio.to_thread.run_sync, identity.settle)
        return "alice"

    identity = asking(lookup)
    await identity.asettle()

    assert identity.annotations.user_id == "alice"


@pytest.mark.anyio
async def test_sync_resolvers_run_on_the_requests_own_thread() -> None:
    threads = []
    identity = asking(lambda incoming: threads.append(threading.get_ident()))

    await identity.asettle()

    assert threads == [threading.get_ident()]
