"""The request scope, the layers inside it, and how they are put in force and taken off again."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import attach, get_value, set_value

from payi_middleware import Annotations, annotate, get_context, instrument, track_context, uninstrument
from payi_middleware.annotations import NOTHING, inherit
from payi_middleware.calls import Call
from payi_middleware.context import (
    Frame,
    InForce,
    RequestScope,
    bind,
    current_frame,
    process_defaults,
    set_process_defaults,
    swap,
)
from payi_middleware.results import Cost, CostPart, XproxyResult
from payi_middleware.settings import Settings

from .test_annotations import free_of_use_case, layers
from .world import Known, Owner, provider_call, request


def user() -> str | None:
    return get_context().user_id


# --- nesting ---------------------------------------------------------------------------------------------------------


def test_outside_everything_nothing_is_in_force() -> None:
    assert current_frame() is None
    assert get_context() == type(get_context())()


def test_blocks_nest_and_what_was_in_force_comes_back() -> None:
    with track_context(user_id="alice", limit_ids=["l1"]):
        with track_context(user_id="bob", limit_ids=["l2"]):
            assert (user(), get_context().limit_ids) == ("bob", ("l1", "l2"))
        assert (user(), get_context().limit_ids) == ("alice", ("l1",))
    assert current_frame() is None


def test_what_was_in_force_comes_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), track_context(user_id="alice"):
        raise RuntimeError

    assert current_frame() is None


def test_a_request_without_annotations_hides_the_block_around_it() -> None:
    with track_context(user_id="alice"):
        unbind = bind(Frame(request()))
        assert user() is None
        unbind()
        assert user() == "alice"


def test_no_frame_can_be_in_force_too() -> None:
    with track_context(user_id="alice"):
        unbind = bind(None)
        assert current_frame() is None
        unbind()
        assert user() == "alice"


def test_values_that_others_keep_in_the_same_context_are_left_alone() -> None:
    with track_context(user_id="alice"):
        attach(set_value("theirs", 1))
    assert get_value("theirs") == 1
    attach(set_value("theirs", None))


# --- taking off in any order, and elsewhere --------------------------------------------------------------------------


def test_taking_off_twice_changes_nothing() -> None:
    with track_context(user_id="alice"):
        unbind = bind(Frame(request()))
        unbind()
        unbind()
        assert user() == "alice"


def test_blocks_that_end_in_the_order_they_began_leave_nothing_behind() -> None:
    first, second = bind(Frame(request(Annotations(user_id="a")))), bind(Frame(request(Annotations(user_id="b"))))

    first()
    assert user() == "b"
    second()

    assert current_frame() is None


def test_a_block_that_ends_in_the_middle_leaves_those_above_and_below_in_force() -> None:
    scopes = [request(Annotations(user_id=name)) for name in "abc"]
    a, b, c = (bind(Frame(scope)) for scope in scopes)

    b()
    assert user() == "c"
    c()
    assert user() == "a"
    a()
    assert current_frame() is None


def test_two_generators_that_hold_a_block_each_leave_nothing_behind_in_their_consumer() -> None:
    def numbers(name: str) -> Generator[int]:
        with track_context(user_id=name):
            yield from range(3)

    one, other = numbers("one"), numbers("other")
    for _ in zip(one, other, strict=True):
        pass
    del one, other
    gc.collect()

    assert current_frame() is None


@given(st.lists(st.integers(0, 9), max_size=12))
def test_whatever_order_blocks_end_in_the_newest_that_is_left_is_in_force(order: list[int]) -> None:
    binders = {number: bind(Frame(request(Annotations(user_id=str(number))))) for number in range(10)}
    left = list(binders)
    try:
        for number in order:
            binders[number]()
            left = [other for other in left if other != number]
            assert user() == (str(left[-1]) if left else None)
    finally:
        for unbind in binders.values():
            unbind()
    assert current_frame() is None


def test_code_that_runs_in_steps_finds_what_it_left_in_force_and_leaves_nothing_between_them() -> None:
    block = track_context(account_name="acme")
    with track_context(user_id="server"):
        outside = swap(InForce(Frame(request(Annotations(user_id="alice")))))
        block.__enter__()
        inside = swap(outside)
        assert (user(), get_context().account_name) == ("server", None)

        outside = swap(inside)
        assert (user(), get_context().account_name) == ("alice", "acme")
        block.__exit__(None, None, None)
        assert (user(), get_context().account_name) == ("alice", None)
        swap(outside)

        assert user() == "server"
    assert current_frame() is None


def test_taking_off_in_a_foreign_context_is_harmless_and_silent(caplog: pytest.LogCaptureFixture) -> None:
    here, there = contextvars.Context(), contextvars.Context()
    block = track_context(user_id="bob")
    here.run(block.__enter__)

    def end_it_there() -> str | None:
        with track_context(user_id="carol"):
            block.__exit__(None, None, None)
            return user()

    assert there.run(end_it_there) == "carol"
    assert there.run(current_frame) is None
    assert here.run(user) == "bob"
    assert not caplog.records


def test_a_copied_context_keeps_its_block_when_the_original_has_ended_it() -> None:
    with track_context(user_id="alice"):
        copied = contextvars.copy_context()

    def later() -> list[str | None]:
        seen = [user()]
        with track_context(account_name="acme"):
            seen.append(user())
        return [*seen, user()]

    assert copied.run(later) == ["alice"] * 3
    assert current_frame() is None


def test_an_async_generator_that_is_ended_in_another_task_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def numbers() -> AsyncGenerator[int]:
        with track_context(user_id="generator"):
            yield 1
            yield 2

    async def main() -> None:
        generator = numbers()

        async def begin() -> None:
            assert await anext(generator) == 1

        async def end() -> str | None:
            with track_context(user_id="ending task"):
                await generator.aclose()
                return user()

        await asyncio.create_task(begin())
        assert user() is None
        assert await asyncio.create_task(end()) == "ending task"
        assert user() is None

    asyncio.run(main())
    assert not caplog.records


@pytest.mark.anyio
async def test_concurrent_tasks_do_not_see_each_others_blocks() -> None:
    seen: dict[str, str | None] = {}

    async def one(name: str) -> None:
        with track_context(user_id=name):
            for _ in range(3):
                await anyio.sleep(0)
            seen[name] = user()

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, f"user{number}")

    assert seen == {name: name for name in seen}
    assert len(seen) == 20
    assert current_frame() is None


def test_a_task_keeps_the_block_it_was_started_in() -> None:
    async def main() -> str | None:
        async def child() -> str | None:
            await asyncio.sleep(0)
            with track_context(use_case_name="inner"):
                await asyncio.sleep(0)
            return user()

        with track_context(user_id="alice"):
            task = asyncio.create_task(child())
        return await task

    assert asyncio.run(main()) == "alice"


# --- who wins --------------------------------------------------------------------------------------------------------


def test_the_strongest_source_that_names_a_field_wins() -> None:
    scope = request(Annotations(user_id="default"), Annotations(user_id="identity"))

    def in_force(**on_call: str) -> str | None:
        return provider_call(Annotations(**on_call)).annotations.user_id  # type: ignore[arg-type]

    unbind = bind(Frame(request(Annotations(user_id="default"))))
    assert in_force() == "default"
    unbind()
    unbind = bind(Frame(scope))
    assert in_force() == "identity"
    annotate(user_id="annotated")
    assert in_force() == "annotated"
    with track_context(user_id="outer"):
        with track_context(user_id="inner"):
            assert in_force() == "inner"
            assert in_force(user_id="on the call") == "on the call"
        with track_context(account_name="names another field"):
            assert in_force() == "outer"
    assert in_force() == "annotated"
    unbind()


def test_annotating_inside_a_block_holds_for_the_request_and_the_block_wins_inside() -> None:
    unbind = bind(Frame(request()))
    with track_context(user_id="block"):
        annotate(user_id="request", account_name="acme")
        assert (user(), get_context().account_name) == ("block", "acme")
    assert user() == "request"
    unbind()


def test_annotating_reaches_calls_in_blocks_that_were_entered_before() -> None:
    unbind = bind(Frame(request()))
    with track_context(use_case_name="chat", use_case_id="c1"):
        assert user() is None
        annotate(user_id="alice")
        assert (user(), get_context().use_case_id) == ("alice", "c1")
    unbind()


def test_annotating_in_a_thread_amends_the_request_it_shares() -> None:
    scope = request()
    thread = threading.Thread(target=lambda: scope.annotate(user_id="alice"))
    thread.start()
    thread.join()

    assert scope.annotations().user_id == "alice"


def test_a_request_can_be_annotated_with_a_value() -> None:
    scope = request()
    scope.annotate(Annotations(user_id="alice"))
    scope.annotate(Annotations())

    assert scope.annotations() == Annotations(user_id="alice")


def test_stronger_identities_come_later() -> None:
    scope = request(NOTHING, Annotations(user_id="weak", account_name="acme"), Annotations(user_id="strong"))

    assert scope.annotations() == Annotations(user_id="strong", account_name="acme")


# --- amending --------------------------------------------------------------------------------------------------------


@given(free_of_use_case, st.lists(free_of_use_case, max_size=6))
def test_amending_in_steps_is_stacking_the_steps(base: Annotations, steps: list[Annotations]) -> None:
    scope = request(inherit(NOTHING, base, str))
    expected = scope.annotations()
    for step in steps:
        scope.annotate(step)
        expected = inherit(expected, step, str)

    assert scope.annotations() == expected


@given(layers, st.lists(layers, max_size=6))
def test_amending_a_use_case_in_steps_is_stacking_the_steps_but_for_its_id(
    base: Annotations, steps: list[Annotations]
) -> None:
    scope = request(inherit(NOTHING, base, str))
    expected = scope.annotations()
    for step in steps:
        scope.annotate(step)
        expected = inherit(expected, step, str)

    assert replace(scope.annotations(), use_case_id=None) == replace(expected, use_case_id=None)


def test_amending_a_thousand_times_does_not_pile_up() -> None:
    scope = request()
    for number in range(1_000):
        scope.annotate(user_id=f"user{number}", limit_ids=["l"], request_properties={"n": str(number)})

    assert scope.annotations() == Annotations(user_id="user999", limit_ids=("l",), request_properties={"n": "999"})
    assert len(scope._annotated) == 2
    assert scope._annotated[1].limit_ids == ("l",)


def test_what_is_taken_away_and_then_named_anew_does_not_bring_back_what_was_below() -> None:
    scope = request(Annotations(limit_ids=("l1",), request_properties={"a": "1"}))

    scope.annotate(limit_ids=[], request_properties={})
    scope.annotate(limit_ids=["l2"], request_properties={"b": "2"})

    assert scope.annotations() == Annotations(limit_ids=("l2",), request_properties={"b": "2"})


def test_another_use_case_does_not_get_the_id_of_the_one_before() -> None:
    scope = request()
    scope.annotate(use_case_name="chat", use_case_id="c1")
    scope.annotate(use_case_name="summary")

    second = scope.annotations()

    assert second.use_case_name == "summary"
    assert second.use_case_id not in (None, "c1")


def test_each_use_case_of_a_request_gets_one_made_up_id_of_its_own() -> None:
    scope = request()
    scope.annotate(use_case_name="chat")
    first = scope.annotations().use_case_id
    assert first == scope.annotations().use_case_id

    scope.annotate(use_case_name="chat", use_case_step="again")
    assert scope.annotations().use_case_id == first
    scope.annotate(use_case_name="summary")
    assert scope.annotations().use_case_id not in (None, first)


def test_a_use_case_that_was_taken_away_can_be_followed_by_another() -> None:
    scope = request(Annotations(use_case_name="chat", use_case_id="c1", use_case_version=3))
    scope.annotate(use_case_name="", use_case_step="ignored")
    assert scope.annotations() == NOTHING

    scope.annotate(use_case_name="summary", use_case_id="s1")

    assert scope.annotations() == Annotations(use_case_name="summary", use_case_id="s1")


def test_a_session_that_becomes_known_in_the_request_is_the_use_case_id_that_nobody_chose() -> None:
    scope = request(Annotations(use_case_name="chat"))
    scope.annotate(session_id="s1")

    assert scope.annotations().use_case_id == "s1"


def test_a_block_keeps_the_id_it_made_up_while_the_request_is_amended() -> None:
    unbind = bind(Frame(request()))
    with track_context(use_case_name="chat"):
        made_up = get_context().use_case_id
        annotate(user_id="alice")
        assert get_context().use_case_id == made_up
    with track_context(use_case_name="chat"):
        assert get_context().use_case_id not in (None, made_up)
    unbind()


# --- identity --------------------------------------------------------------------------------------------------------


def test_a_request_is_identified_when_every_source_was_asked() -> None:
    scope = request()
    assert scope.identified
    scope.identifications.append(Known(Annotations(user_id="alice"), asked=False))
    assert not scope.identified

    scope.settle_identity()

    assert scope.identified
    assert scope.annotations().user_id == "alice"


@pytest.mark.anyio
async def test_what_waits_for_the_identity_goes_on_when_it_is_known_or_the_request_is_over() -> None:
    asked, closed, seen = request(), request(), list[str]()
    for scope in (asked, closed):
        scope.identifications.append(Known(Annotations(user_id="alice"), asked=False))
    asked.when_identified(lambda: seen.append("asked"))
    closed.when_identified(lambda: seen.append("closed"))
    assert seen == []

    await asked.asettle_identity()
    assert seen == ["asked"]
    closed.close()
    assert seen == ["asked", "closed"]
    closed.when_identified(lambda: seen.append("late"))
    assert seen == ["asked", "closed", "late"]
    assert closed.annotations() == NOTHING


# --- the process's defaults ------------------------------------------------------------------------------------------


def test_outside_any_request_the_process_defaults_are_in_force(settings: Settings) -> None:
    instrument(settings.model_copy(update={"user_id": "batch", "limit_ids": ("nightly",)}))

    assert process_defaults() == Annotations(user_id="batch", limit_ids=("nightly",))
    assert (user(), get_context().last_result) == ("batch", None)
    with track_context(account_name="acme"):
        assert (user(), get_context().account_name) == ("batch", "acme")
    uninstrument()
    assert process_defaults() == NOTHING
    assert user() is None


def test_a_request_of_an_app_does_not_follow_the_process_defaults() -> None:
    set_process_defaults(Annotations(user_id="batch"))
    try:
        assert RequestScope().annotations().user_id == "batch"
        assert RequestScope(Annotations(account_name="acme")).annotations() == Annotations(account_name="acme")
        assert RequestScope(NOTHING).annotations() == NOTHING
    finally:
        set_process_defaults(NOTHING)


def test_an_owner_is_opaque_here() -> None:
    owner: Any = Owner()

    assert RequestScope(owner=owner).owner is owner


def test_a_long_request_in_an_outage_keeps_no_more_than_so_many_calls_and_counts_them_all() -> None:
    scope = RequestScope()
    folds = 0
    for number in range(20_000):
        before = len(scope.tally._calls)
        call = Call()
        scope.add(call)
        call.postpone()
        folds += len(scope.tally._calls) <= before
        assert len(scope.tally._calls) < 1_500, number
    assert folds < 200  # each looks at all of them
    summary = scope.summary()
    assert (summary.calls, summary.status) == (20_000, "pending")


def test_a_call_of_a_long_request_is_summed_up_once_though_it_is_settled_late() -> None:
    scope = RequestScope()
    calls = [Call() for _ in range(1_000)]
    for call in calls:
        scope.add(call)
        call.postpone()
    for number, call in enumerate(calls):
        call.settle(
            XproxyResult(request_id=f"req_{number}", cost=Cost(currency="usd", total=CostPart(base=Decimal(1))))
        )
    for _ in range(200):
        scope.add(Call())
    summary = scope.summary()
    assert (summary.calls, summary.cost, summary.status) == (1_200, Decimal(1_000), "pending")


def test_blocks_that_overlap_without_end_leave_nothing_behind() -> None:
    scopes = [request() for _ in range(50)]
    gone = [weakref.ref(scope) for scope in scopes]
    unbind = bind(Frame(scopes.pop()))
    while scopes:
        after = bind(Frame(scopes.pop()))
        unbind()
        unbind = after
    alive = [scope for scope in gone if scope() is not None]
    unbind()
    assert len(alive) <= 2  # what is in force, and what was below it
