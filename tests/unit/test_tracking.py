"""`track_context`, `@track`, `annotate` and `get_context` as app code uses them."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from decimal import Decimal
from typing import Any

import anyio
import pytest

from payi_middleware import Annotations, XproxyResult, annotate, get_context, track, track_context
from payi_middleware.annotations import FIELDS
from payi_middleware.calls import Call
from payi_middleware.context import Frame, bind, current_frame
from payi_middleware.results import NO_CALLS
from payi_middleware.tracking import Context

from .world import provider_call, request


def user() -> str | None:
    return get_context().user_id


# --- track_context ---------------------------------------------------------------------------------------------------


def test_a_block_takes_every_parameter_of_the_official_sdk() -> None:
    given: dict[str, Any] = {
        "user_id": "alice",
        "account_name": "acme",
        "use_case_name": "chat",
        "use_case_id": "c1",
        "use_case_version": 2,
        "use_case_step": "plan",
        "use_case_properties": {"a": "1"},
        "limit_ids": ("l1",),
        "request_tags": ("t1",),
        "request_properties": {"b": "2"},
        "price_as_category": "system.openai",
        "price_as_resource": "gpt-5",
        "resource_scope": "global",
        "log_prompt_and_response": False,
        "proxy": False,
        "report": "inline",
    }
    assert set(given) == set(FIELDS) - {"session_id"}

    with track_context(**given):
        assert {name: getattr(get_context(), name) for name in given} == given


@pytest.mark.parametrize("enter", [track_context, track])
def test_a_wrong_or_unknown_parameter_is_refused_where_it_is_written(enter: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="user_id must be a str"):
        enter(user_id=5)
    with pytest.raises(TypeError, match="user_di"):
        enter(user_di="alice")


@pytest.mark.anyio
async def test_a_block_can_be_async() -> None:
    async with track_context(user_id="alice") as block:
        await anyio.sleep(0)
        assert isinstance(block, track_context)
        assert user() == "alice"
    assert current_frame() is None


def test_a_block_does_not_swallow_errors() -> None:
    with pytest.raises(KeyError), track_context():
        raise KeyError


def test_one_block_can_be_entered_again_even_inside_itself() -> None:
    block = track_context(limit_ids=["l1"])
    with block:
        with track_context(user_id="alice"), block:
            assert (user(), get_context().limit_ids) == ("alice", ("l1",))
        assert user() is None
    with block:
        assert get_context().limit_ids == ("l1",)
    assert current_frame() is None


def test_outside_any_request_a_block_begins_a_scope_of_its_own_and_inner_ones_share_it() -> None:
    with track_context():
        outer = current_frame()
        with track_context():
            inner = current_frame()
    with track_context():
        next_one = current_frame()

    assert outer is not None
    assert inner is not None
    assert next_one is not None
    assert inner.scope is outer.scope
    assert next_one.scope is not outer.scope


# --- track: the four kinds of functions ------------------------------------------------------------------------------


@track(user_id="tracked")
def plain(value: int = 1) -> tuple[str | None, int]:
    """Say who."""
    return user(), value


@track(user_id="tracked")
async def coroutine(value: int = 1) -> tuple[str | None, int]:
    """Say who."""
    await anyio.sleep(0)
    return user(), value


@track(user_id="tracked")
def generator(seen: list[Any]) -> Generator[str | None, Any, str]:
    """Say who, and keep what is sent and thrown in."""
    try:
        while True:
            try:
                seen.append((yield user()))
            except ValueError as error:
                seen.append(error)
            if seen[-1] == "end":
                return "returned"
    finally:
        seen.append(("closed as", user()))


@track(user_id="tracked")
async def async_generator(seen: list[Any]) -> AsyncGenerator[str | None, Any]:
    """Say who, and keep what is sent and thrown in."""
    try:
        while True:
            try:
                seen.append((yield user()))
            except ValueError as error:
                seen.append(error)
            await anyio.sleep(0)
            if seen[-1] == "end":
                return
    finally:
        await anyio.sleep(0)
        seen.append(("closed as", user()))


KINDS: dict[str, tuple[Callable[..., Any], Callable[[object], bool]]] = {
    "function": (plain, inspect.isfunction),
    "coroutine function": (coroutine, inspect.iscoroutinefunction),
    "generator function": (generator, inspect.isgeneratorfunction),
    "async generator function": (async_generator, inspect.isasyncgenfunction),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracked_function_stays_of_its_kind_and_keeps_its_name(kind: str) -> None:
    function, is_kind = KINDS[kind]

    assert is_kind(function)
    for other, (_, is_other) in KINDS.items():
        if other not in (kind, "function"):
            assert not is_other(function)
    assert function.__doc__ is not None
    assert function.__doc__.startswith("Say who")
    assert function.__module__ == __name__
    assert inspect.unwrap(function) is not function
    assert list(inspect.signature(function).parameters) in (["value"], ["seen"])


def test_a_tracked_function_is_annotated_while_it_runs() -> None:
    assert plain(value=5) == ("tracked", 5)
    assert current_frame() is None


def test_a_tracked_function_that_fails_leaves_nothing_behind() -> None:
    @track(user_id="tracked")
    def fail() -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    assert current_frame() is None


@pytest.mark.anyio
async def test_a_tracked_coroutine_is_annotated_while_it_runs_and_its_caller_is_not() -> None:
    awaitable = coroutine(5)
    assert current_frame() is None

    assert await awaitable == ("tracked", 5)
    assert current_frame() is None


def test_a_tracked_method_and_a_partial_work_like_functions() -> None:
    class Handler:
        @track(user_id="method")
        def handle(self) -> str | None:
            return user()

        @staticmethod
        @track(user_id="static")
        def static() -> str | None:
            return user()

    assert (Handler().handle(), Handler.static()) == ("method", "static")
    assert track(user_id="partial")(functools.partial(inspect.unwrap(plain), 3))() == ("partial", 3)


def test_tracked_functions_inherit_what_is_in_force_where_they_are_called() -> None:
    @track(limit_ids=["l2"])
    def inner() -> Context:
        return get_context()

    with track_context(user_id="alice", limit_ids=["l1"]):
        assert (inner().user_id, inner().limit_ids) == ("alice", ("l1", "l2"))
    assert inner().limit_ids == ("l2",)


def test_a_tracked_function_that_calls_itself_is_annotated_throughout() -> None:
    @track(user_id="tracked")
    def down(depth: int) -> list[str | None]:
        return [user(), *(down(depth - 1) if depth else [])]

    assert down(3) == ["tracked"] * 4
    assert current_frame() is None


# --- track: generators -----------------------------------------------------------------------------------------------


def test_a_tracked_generator_does_not_leak_to_its_consumer_between_yields() -> None:
    with track_context(user_id="consumer"):
        for number, inside in enumerate(generator([])):
            assert (inside, user()) == ("tracked", "consumer")
            if number == 3:
                break


def test_a_tracked_generator_takes_what_is_sent_and_returns_its_value() -> None:
    seen: list[Any] = []
    tracked = generator(seen)
    assert next(tracked) == "tracked"
    assert tracked.send(1) == "tracked"

    with pytest.raises(StopIteration) as stop:
        tracked.send("end")

    assert stop.value.value == "returned"
    assert seen == [1, "end", ("closed as", "tracked")]


def test_a_value_returned_by_a_tracked_generator_reaches_yield_from() -> None:
    def outer() -> Generator[Any, Any, str]:
        return (yield from generator([]))

    consumer = outer()
    next(consumer)
    with pytest.raises(StopIteration) as stop:
        consumer.send("end")

    assert stop.value.value == "returned"


def test_a_tracked_generator_takes_what_is_thrown_in() -> None:
    seen: list[Any] = []
    tracked, handled, unhandled = generator(seen), ValueError("handled"), LookupError("unhandled")
    next(tracked)

    assert tracked.throw(handled) == "tracked"
    assert seen == [handled]
    with pytest.raises(LookupError) as caught:
        tracked.throw(unhandled)
    assert caught.value is unhandled
    assert seen == [handled, ("closed as", "tracked")]
    with pytest.raises(StopIteration):
        next(tracked)


def test_closing_a_tracked_generator_closes_it_inside_with_its_annotations() -> None:
    seen: list[Any] = []
    tracked = generator(seen)
    next(tracked)

    tracked.close()
    tracked.close()

    assert seen == [("closed as", "tracked")]
    assert current_frame() is None


def test_a_tracked_generator_that_is_forgotten_is_closed() -> None:
    seen: list[Any] = []
    tracked = generator(seen)
    next(tracked)

    del tracked
    gc.collect()

    assert seen == [("closed as", "tracked")]
    assert current_frame() is None


def test_a_tracked_generator_that_was_never_begun_does_nothing() -> None:
    seen: list[Any] = []

    generator(seen).close()

    assert seen == []


def test_a_tracked_generator_that_fails_raises_its_own_error() -> None:
    @track(user_id="tracked")
    def failing() -> Generator[int]:
        yield 1
        raise RuntimeError("mine")

    tracked = failing()
    next(tracked)
    with pytest.raises(RuntimeError, match="mine"):
        next(tracked)
    assert current_frame() is None


def test_two_tracked_generators_side_by_side_do_not_see_each_other() -> None:
    @track(user_id="other")
    def others() -> Generator[str | None]:
        for _ in range(3):
            yield user()

    pairs = list(zip(generator([]), others(), strict=False))

    assert pairs == [("tracked", "other")] * 3
    assert current_frame() is None


@pytest.mark.anyio
async def test_a_tracked_async_generator_does_not_leak_to_its_consumer_between_yields() -> None:
    seen: list[Any] = []
    with track_context(user_id="consumer"):
        tracked = async_generator(seen)
        for number in range(3):
            assert (await tracked.asend(number or None), user()) == ("tracked", "consumer")
        await tracked.aclose()
        await tracked.aclose()
        assert user() == "consumer"

    assert seen == [1, 2, ("closed as", "tracked")]


@pytest.mark.anyio
async def test_a_tracked_async_generator_ends_as_it_would() -> None:
    seen: list[Any] = []
    tracked = async_generator(seen)
    await anext(tracked)

    with pytest.raises(StopAsyncIteration):
        await tracked.asend("end")

    assert seen == ["end", ("closed as", "tracked")]


@pytest.mark.anyio
async def test_a_tracked_async_generator_takes_what_is_thrown_in() -> None:
    seen: list[Any] = []
    tracked, handled, unhandled = async_generator(seen), ValueError("handled"), LookupError("unhandled")
    await anext(tracked)

    assert await tracked.athrow(handled) == "tracked"
    with pytest.raises(LookupError) as caught:
        await tracked.athrow(unhandled)

    assert caught.value is unhandled
    assert seen == [handled, ("closed as", "tracked")]


def test_a_tracked_async_generator_can_be_ended_in_another_task(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    async def main() -> None:
        tracked = async_generator(seen)

        async def begin() -> None:
            assert await anext(tracked) == "tracked"

        async def end() -> str | None:
            with track_context(user_id="ending task"):
                await tracked.aclose()
                return user()

        await asyncio.create_task(begin())
        assert await asyncio.create_task(end()) == "ending task"

    asyncio.run(main())
    assert seen == [("closed as", "tracked")]
    assert not caplog.records


def test_a_tracked_async_generator_that_is_forgotten_is_closed_by_its_loop(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    async def main() -> None:
        closed = asyncio.Event()

        @track(user_id="tracked")
        async def numbers() -> AsyncGenerator[int]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                seen.append(user())
                closed.set()

        async for _ in numbers():
            break
        gc.collect()
        await asyncio.wait_for(closed.wait(), 30)

    asyncio.run(main())
    assert seen == ["tracked"]
    assert not caplog.records


@pytest.mark.anyio
async def test_a_cancelled_coroutine_leaves_nothing_behind() -> None:
    @track(user_id="tracked")
    async def forever() -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(0) as scope:
        await forever()

    assert scope.cancelled_caught
    assert current_frame() is None


# --- annotate --------------------------------------------------------------------------------------------------------


def test_annotating_outside_a_request_changes_nothing_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    annotate(user_id="secret user")
    annotate(user_id="secret user")

    assert user() is None
    assert [record.getMessage() for record in caplog.records] == [
        "annotate() was called outside any request and any track_context: it changed nothing"
    ]


def test_annotating_with_a_wrong_or_unknown_parameter_is_refused_even_outside_a_request() -> None:
    with pytest.raises(TypeError, match="must be a str"):
        annotate(user_id=5)
    with pytest.raises(TypeError, match="user_di"):
        annotate(user_di="alice")


def test_a_session_can_be_annotated_and_becomes_the_use_case_id() -> None:
    with track_context(use_case_name="chat"):
        annotate(session_id="s1")
        assert (get_context().session_id, get_context().use_case_id) == ("s1", "s1")


def test_an_annotated_provider_call_belongs_to_the_request_that_made_it() -> None:
    scope = request(Annotations(limit_ids=("default",)))
    unbind = bind(Frame(scope))
    annotate(user_id="alice")
    with track_context(limit_ids=["block"]):
        exchange = provider_call(Annotations(request_tags=("call",)))
    unbind()

    assert exchange.scope is scope
    assert exchange.annotations == Annotations(user_id="alice", limit_ids=("default", "block"), request_tags=("call",))
    assert scope.summary().calls == 1


# --- get_context -----------------------------------------------------------------------------------------------------


def test_the_context_is_read_by_attribute_and_like_a_dict() -> None:
    with track_context(user_id="alice", use_case_name="chat", use_case_id="c1"):
        context = get_context()

    assert (context.user_id, context["user_id"]) == ("alice", "alice")
    assert (context.get("user_id"), context.get("account_name", "none"), context.get("bogus")) == (
        "alice",
        "none",
        None,
    )
    assert context["use_case_id"] == "c1"
    assert context["limit_ids"] is None
    assert context["last_result"] is None
    assert context["summary"] is NO_CALLS or context["summary"] == NO_CALLS


@pytest.mark.parametrize("name", ["user_di", "__class__", "_annotations", ""])
def test_a_name_that_is_no_field_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        get_context()[name]


def test_the_context_has_the_results_of_the_request_being_served_and_no_other() -> None:
    answered, other = request(), request()
    call, result = Call(), XproxyResult.model_validate({"request_id": "r1", "cost": {"total": {"base": "0.5"}}})
    answered.add(call)
    answered.last_result = result
    call.settle(result)

    unbind = bind(Frame(answered))
    with track_context(user_id="alice"):
        context = get_context()
    unbind()
    unbind = bind(Frame(other))
    elsewhere = get_context()
    unbind()

    assert context.last_result is result
    assert (context.summary.calls, context.summary.cost) == (1, Decimal("0.5"))
    assert (elsewhere.last_result, elsewhere.summary) == (None, NO_CALLS)


def test_the_context_is_a_value_that_does_not_change_later() -> None:
    with track_context():
        before = get_context()
        annotate(user_id="alice")
        assert before.user_id is None
        assert user() == "alice"
