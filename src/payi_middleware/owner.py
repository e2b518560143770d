"""What the recorder of provider calls asks of the app that the calls are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from .annotations import Annotations, ReportMode
from .calls import Call
from .limits.refusal import Refusal

__all__ = ["Admission", "Owner"]

E = TypeVar("E", contravariant=True)
"""The exchanges that are recorded."""


class Admission(Protocol):
    """A call at the gate of its limits."""

    @property
    def waits(self) -> bool:
        """Whether it is not decided yet."""

    @property
    def turn(self) -> Call:
        """What is settled when it is."""

    @property
    def patience(self) -> float:
        """Seconds that it may wait."""

    @property
    def model(self) -> str | None:
        """The model to ask for instead, once it may go out."""

    @property
    def blocks(self) -> bool:
        """Whether a limit of type block is in force for it."""

    @property
    def let_pass(self) -> bool:
        """Whether a limit has no room for it, and the app wants it to be made all the same."""

    def conclude(self) -> Refusal | None:
        """Return why the call must not be made, or None."""

    def withdraw(self) -> None:
        """The call is not made."""


class Owner(Protocol[E]):
    """Who receives the exchanges of an app, and how the app wants its calls treated."""

    @property
    def providers(self) -> Mapping[str, tuple[str, str | None]]:
        """Custom hosts and the wire format they speak."""

    @property
    def report(self) -> ReportMode:
        """Whether an answer is held until its result is in."""

    @property
    def inline_timeout(self) -> float:
        """Seconds that an answer may be held."""

    @property
    def tells_results(self) -> bool:
        """Whether responses are told the results of the calls that were made for them."""

    @property
    def stream_usage(self) -> bool:
        """Whether streams that tell their usage only if asked are asked for it."""

    @property
    def available(self) -> bool:
        """Whether waiting for results makes sense: the last delivery did not fail."""

    @property
    def proxying(self) -> Any:
        """Which calls go through Pay-i's proxy (a `proxying.planning.Proxying`); opaque here."""

    def admit(self, exchange: E) -> Admission | None:
        """Take a call to the gate of its limits; None if nothing limits it."""

    def expect(self, annotations: Annotations) -> bool:
        """Be ready for an exchange that begins, since a finaliser that ends it must not start anything.

        Args:
            annotations: whom it is for.

        Returns:
            Whether it may be limited, or may go through Pay-i's proxy.
        """

    def deliver(self, exchange: E, *, finalising: bool) -> None:
        """Take a finished exchange. It is only queued here; when `finalising`, no lock may be taken."""
