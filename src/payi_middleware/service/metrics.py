"""What the service tells Prometheus of itself: nothing of users, models or money, which are in the ledger."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """The counters of one service: several may live in one process, each with its own.

    Args:
        waiting: returns how many bookings wait to be written.
        unfolded: returns how many transactions are not added up for the dashboard yet; None if that is not to be had.
    """

    def __init__(self, waiting: Callable[[], int], unfolded: Callable[[], int | None]) -> None:
        self._registry = CollectorRegistry()
        self._unfolded_now = unfolded
        self._requests = Counter(
            "payi_service_requests_total",
            "Requests answered, by endpoint, method and status.",
            ("endpoint", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "payi_service_request_seconds",
            "Seconds until the answer began, by endpoint.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._booked = Counter(
            "payi_service_booked_total",
            "Events by what became of them: booked, repeated or refused.",
            ("outcome",),
            registry=self._registry,
        )
        self._written = Histogram(
            "payi_service_transaction_events",
            "Events that one transaction has booked.",
            buckets=_ROWS,
            registry=self._registry,
        )
        Gauge(
            "payi_service_waiting_bookings", "Bookings that wait to be written.", registry=self._registry
        ).set_function(waiting)
        self._unfolded = Gauge(
            "payi_service_unfolded_transactions",
            "Transactions that are not added up for the dashboard yet.",
            registry=self._registry,
        )
        self._up = Gauge("payi_service_database_up", "1 if the database answers.", registry=self._registry)

    def answered(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            endpoint: the path's pattern, without what anybody has put into it.
        """
        self._requests.labels(endpoint, method, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def booked(self, *, booked: int, repeated: int, refused: int) -> None:
        """Count the events of one transaction."""
        self._written.observe(booked + repeated + refused)
        for outcome, count in (("booked", booked), ("repeated", repeated), ("refused", refused)):
            if count:
                self._booked.labels(outcome).inc(count)

    def text(self) -> bytes:
        """Return all of them in Prometheus's text format; asks the database."""
        unfolded = self._unfolded_now()
        self._up.set(unfolded is not None)
        if unfolded is not None:
            self._unfolded.set(unfolded)
        return generate_latest(self._registry)
