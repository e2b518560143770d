"""A source as it is asked: whatever the app wrote, brought to one shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from payi_middleware.annotations import FIELDS, NOTHING, Annotations
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.log import warn

from .incoming import Incoming, Source, Trust
from .values import fit, is_name, text

Resolver = Callable[[Incoming], object]

_FOR_CLIENTS = frozenset(
    {
        "user_id",
        "account_name",
        "session_id",
        "use_case_name",
        "use_case_id",
        "use_case_version",
        "use_case_step",
        "use_case_properties",
        "request_tags",
        "request_properties",
    }
)
"""What a source may name that neither the app nor a signature vouches for: never limits, prices, logging or routing."""

_TEXTS = frozenset({"user_id", "account_name", "session_id", "use_case_id"})


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One source in the order of trust.

    Args:
        name, trust, late: as in `Source`.
        ask: the source's `read`, or the app's own resolver.
        awaits: whether `ask` is async.
        own: whether it is the app's own code, which may make calls of its own.
        trusts: whether a direct peer may vouch for a user.
        max_length: characters that a value may have.
        vouched: whether the direct peer has to vouch for what this source reads.
    """

    name: str
    trust: Trust
    late: bool
    ask: Resolver
    awaits: bool
    own: bool
    trusts: Callable[[str | None], bool]
    max_length: int
    vouched: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vouched", self.trust == Trust.PROXY)  # an enum's members take long to be compared

    def admits(self, incoming: Incoming) -> bool:
        """Whether this request's direct peer may be believed in what this source reads."""
        return not self.vouched or self.trusts(incoming.peer)

    def understand(self, answer: object) -> dict[str, Any]:
        """Read a source's answer into what it names, by field.

        Raises:
            TypeError: the answer is none of those that a source may give.
        """
        named = fit(_annotations(answer), self.name, self.max_length)
        if self.trust >= Trust.VERIFIED:
            return named
        return {name: value for name, value in named.items() if name in _FOR_CLIENTS}

    def failed(self, error: Exception) -> None:
        """Say that the source was skipped."""
        warn(
            f"identity {self.name}",
            "The identity source %s failed with %s: the request goes on without it",
            self.name,
            type(error).__name__,
        )


class Entries:
    """Sources in the order of trust: all of an app, or those of them that are still to be asked of one request.

    Args:
        each: the sources.
    """

    __slots__ = ("_less", "awaited", "each", "own")

    def __init__(self, each: Iterable[Entry]) -> None:
        self.each = tuple(each)
        self.awaited = tuple(entry for entry in self.each if entry.awaits)
        self.own = any(entry.own for entry in self.each)
        self._less: dict[Entry, Entries] = {}

    def without(self, entry: Entry) -> Entries:
        """Return the others; the same object each time, as requests are many and sources are few."""
        less = self._less.get(entry)
        if less is None:
            less = self._less[entry] = Entries(other for other in self.each if other is not entry)
        return less


def _annotations(answer: object) -> Annotations:
    if answer is None:
        return NOTHING
    if isinstance(answer, Annotations):
        return answer
    if isinstance(answer, Mapping):
        fields: dict[str, Any] = {name: answer[name] for name in FIELDS if answer.get(name) is not None}
        if len(fields) < len([value for value in answer.values() if value is not None]):
            raise TypeError("an answer may only have the fields of Annotations")
        fields.update({name: text(fields[name]) for name in _TEXTS & fields.keys()})
        return Annotations(**fields)
    if inspect.iscoroutine(answer):
        answer.close()
        raise TypeError("a resolver that returns a coroutine must be written with async def")
    if isinstance(answer, Mapping | list | tuple | bool) or (user_id := text(answer)) is None:
        raise TypeError(f"a resolver returns Annotations, a dict, a user id or None, not {type(answer).__name__}")
    return Annotations(user_id=user_id)


def make_entry(source: object, trusts: Callable[[str | None], bool], max_length: int) -> Entry:
    """Bring a source or the app's own resolver to the shape in which it is asked.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(source, type):
        raise ConfigurationError("identity", f"{source.__name__} is a class", f"Write {source.__name__}(…).")
    build = partial(Entry, trusts=trusts, max_length=max_length)
    if all(hasattr(source, name) for name in ("read", "trust", "name")):
        ready = cast("Source", source)
        own = not type(source).__module__.startswith(__package__)
        return build(
            name=_name(ready),
            trust=_trust(ready),
            late=bool(getattr(ready, "late", False)),
            ask=ready.read,
            awaits=_is_async(ready.read),
            own=own,
        )
    if not callable(source):
        raise ConfigurationError(
            "identity",
            f"a {type(source).__name__} is neither a source nor a function of the request",
            "Pass sources such as Headers(), or functions that return a user id, a dict or Annotations.",
        )
    _check_parameters(source)
    name = str(getattr(source, "__name__", None) or type(source).__name__)
    return build(name=name, trust=Trust.AUTHENTICATED, late=False, ask=source, awaits=_is_async(source), own=True)


def _name(source: Source) -> str:
    if is_name(source.name):
        return source.name
    raise ConfigurationError("identity", f"a {type(source).__name__} has no name", "Give it a name = '…'.")


def _trust(source: Source) -> Trust:
    try:
        return Trust(source.trust)
    except ValueError:
        levels = ", ".join(str(level) for level in Trust.__members__)
        raise ConfigurationError(
            "identity", f"the trust of the source {source.name} is no Trust", f"Use one of Trust: {levels}."
        ) from None


def _is_async(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _check_parameters(function: Callable[..., object]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C
        return
    try:
        signature.bind(None)
    except TypeError:
        name = getattr(function, "__name__", type(function).__name__)
        raise ConfigurationError(
            "identity", f"{name} cannot be called with the request alone", f"Write it like def {name}(incoming)."
        ) from None
