"""Annotating provider calls from the app's own code: `track_context`, `@track`, `annotate`, `get_context`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from .annotations import FIELDS, Annotations, ReportMode
from .context import Frame, RequestScope, bind, current_frame, process_defaults
from .log import warn
from .results import NO_CALLS, Summary, XproxyResult

F = TypeVar("F", bound=Callable[..., Any])


class track_context:  # noqa: N801 - the name that users of Pay-i's own SDK import
    """Annotate the provider calls inside a `with` (or `async with`) block.

    What is not named is inherited from the block or request around it; an empty value takes an inherited one away;
    limits and properties are added to the inherited ones. Blocks nest, and each task, thread and request has its own.

    Args:
        user_id, account_name, use_case_name, use_case_id, use_case_version, use_case_step, use_case_properties,
        limit_ids, request_tags, request_properties, price_as_category, price_as_resource, resource_scope,
        log_prompt_and_response, proxy: as in `Annotations`.
        report: "inline" holds each provider answer until its result is in.

    Raises:
        TypeError: a value is of the wrong type.
    """

    def __init__(
        self,
        *,
        user_id: str | None = None,
        account_name: str | None = None,
        use_case_name: str | None = None,
        use_case_id: str | None = None,
        use_case_version: int | None = None,
        use_case_step: str | None = None,
        use_case_properties: Mapping[str, str | None] | None = None,
        limit_ids: Sequence[str] | None = None,
        request_tags: Sequence[str] | None = None,
        request_properties: Mapping[str, str | None] | None = None,
        price_as_category: str | None = None,
        price_as_resource: str | None = None,
        resource_scope: str | None = None,
        log_prompt_and_response: bool | None = None,
        proxy: bool | None = None,
        report: ReportMode | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self" and value is not None}
        self._layer = Annotations(**given)
        self._unbind: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        self._unbind.append(bind(frame_for(self._layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._unbind.pop()()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def frame_for(layer: Annotations) -> Frame:
    """Stack a layer on the frame in force; outside any request, it begins a scope of its own."""
    around = current_frame()
    return Frame(RequestScope(), layer) if around is None else Frame(around.scope, layer, around)


def track(**annotations: Any) -> Callable[[F], F]:
    """Annotate the provider calls that a function makes: `track_context` as a decorator.

    Works on functions, coroutine functions, generators and async generators; the latter two are annotated while
    they run, and whoever consumes them is not.

    Args:
        **annotations: the parameters of `track_context`.

    Raises:
        TypeError: an unknown parameter, or a value of the wrong type.
    """
    layer = track_context(**annotations)._layer

    def decorate(function: F) -> F:
        return cast("F", wraps(function)(_tracked(function, layer)))

    return decorate


def _tracked(function: Callable[..., Any], layer: Annotations) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):
        return _tracked_async_generator(function, layer)
    if inspect.isgeneratorfunction(function):
        return _tracked_generator(function, layer)
    if inspect.iscoroutinefunction(function):

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with _bound(frame_for(layer)):
                return await function(*args, **kwargs)

        return coroutine

    def plain(*args: Any, **kwargs: Any) -> Any:
        with _bound(frame_for(layer)):
            return function(*args, **kwargs)

    return plain


@contextmanager
def _bound(frame: Frame) -> Generator[None]:
    unbind = bind(frame)
    try:
        yield
    finally:
        unbind()


def _tracked_generator(function: Callable[..., Generator[Any, Any, Any]], layer: Annotations) -> Callable[..., Any]:
    def generator_function(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        frame, generator = frame_for(layer), function(*args, **kwargs)
        step: Callable[[Any], Any] = generator.send
        value: Any = None
        try:
            while True:
                with _bound(frame):
                    try:
                        item = step(value)
                    except StopIteration as stop:
                        return stop.value
                try:
                    step, value = generator.send, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the consumer: it is the generator's
                    step, value = generator.throw, error
        finally:
            with _bound(frame):
                generator.close()

    return generator_function


def _tracked_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], layer: Annotations
) -> Callable[..., Any]:
    async def generator_function(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        frame, generator = frame_for(layer), function(*args, **kwargs)
        step: Callable[[Any], Any] = generator.asend
        value: Any = None
        try:
            while True:
                with _bound(frame):
                    try:
                        item = await step(value)
                    except StopAsyncIteration:
                        return
                try:
                    step, value = generator.asend, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the consumer: it is the generator's
                    step, value = generator.athrow, error
        finally:
            with _bound(frame):
                await generator.aclose()

    return generator_function


def annotate(**annotations: Any) -> None:
    """Amend the annotations of the request being served, from anywhere in it: dependencies, handlers, threads.

    It holds for the whole request from now on, also for provider calls made elsewhere in it. A `track_context` block
    that names the same field wins inside the block.

    Args:
        **annotations: the parameters of `track_context`, and `session_id`.

    Raises:
        TypeError: an unknown parameter, or a value of the wrong type.
    """
    layer = Annotations(**annotations)
    frame = current_frame()
    if frame is None:
        warn("annotate", "annotate() was called outside any request and any track_context: it changed nothing")
        return
    frame.scope.annotate(layer)


@dataclass(frozen=True, slots=True)
class Context(Annotations):
    """What is in force here, and what this request's provider calls have answered so far.

    Args:
        last_result: the newest result of this request, never of another one; None before the first.
        summary: the request's provider calls added up.

    Values are also read like those of a dict: `get_context()["user_id"]`.
    """

    last_result: XproxyResult | None = None
    summary: Summary = NO_CALLS

    def __getitem__(self, name: str) -> Any:
        if name not in _CONTEXT_FIELDS:
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value by name, like a dict: `default` if there is no such name or nothing is known."""
        value = getattr(self, name) if name in _CONTEXT_FIELDS else None
        return default if value is None else value


_CONTEXT_FIELDS = frozenset(field.name for field in fields(Context))


def get_context() -> Context:
    """Return what is in force here: the annotations, the last result and the summary of the request being served.

    Who makes the request is looked up now, if no provider call did so before. In async code an async identity source
    is not asked here.
    """
    frame = current_frame()
    if frame is not None:
        frame.scope.settle_identity()
    annotations = process_defaults() if frame is None else frame.annotations()
    values = {name: getattr(annotations, name) for name in FIELDS}
    if frame is None:
        return Context(**values)
    return Context(**values, last_result=frame.scope.last_result, summary=frame.scope.summary())
