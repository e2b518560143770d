"""The meters' counters as OpenTelemetry metrics: https://opentelemetry.io/docs/specs/otel/metrics/api/

They are read when an app's SDK collects, and cost nothing in between; without an SDK nobody ever reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

from .log import warn

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation

__all__ = ["DESTINATION", "Watched", "watch"]

DESTINATION = "payi.destination"
"""The attribute that says where the reports go: the service's URL, or the ledger's file."""
_SCOPE = "payi_middleware"
_UNIT = "{report}"
_COUNTERS = {
    "delivered": "Reports accepted by the service or the ledger",
    "retried": "Deliveries that failed and are repeated",
    "refused": "Reports refused for good, which are dead letters now",
    "dropped": "Reports given up because there was no room left, or because they could not be built",
    "adopted": "Reports taken over from processes that ended before they could deliver them",
}


class Watched(Protocol):
    """What is read of a meter."""

    @property
    def destination(self) -> str:
        """Where its reports go."""

    def stats(self) -> dict[str, Any]:
        """Return its counters."""


_watched: list[ref[Watched]] = []
_registered = Lock()
"""Taken for good by who registers, so that a fork at any moment leaves nobody waiting for it."""


def watch(meter: Watched) -> None:
    """Tell OpenTelemetry about a meter, as long as somebody has it; those of one destination are added up."""
    _watched.append(ref(meter, _watched.remove))
    if not _registered.acquire(blocking=False):
        return
    try:
        _register()
    except Exception as error:  # noqa: BLE001 - an SDK that cannot have them must not keep the app from starting
        warn("metrics", "OpenTelemetry does not take the metrics of deliveries (%s)", type(error).__name__)


def _register() -> None:
    from opentelemetry.metrics import get_meter  # some milliseconds, which importing this package does not take

    own: Meter = get_meter(_SCOPE)
    for name, description in _COUNTERS.items():
        own.create_observable_counter(f"payi.reports.{name}", [_observer(name, sum)], _UNIT, description)
    waiting = "Reports that are waiting or under way, in memory or in the journal"
    own.create_observable_up_down_counter("payi.reports.queued", [_observer("queued", sum)], _UNIT, waiting)
    oldest = "Time since the oldest report that is not delivered yet was recorded; 0 if there is none"
    own.create_observable_gauge("payi.reports.oldest_age", [_observer("oldest_age", max)], "s", oldest)


def _observer(
    name: str, combine: Callable[[Iterable[float]], float]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        found: dict[str, list[float]] = {}
        for meter in [watched() for watched in list(_watched)]:
            if meter is not None:
                found.setdefault(meter.destination, []).append(meter.stats()[name] or 0)
        for destination, values in found.items():
            yield Observation(combine(values), {DESTINATION: destination})

    return observe
