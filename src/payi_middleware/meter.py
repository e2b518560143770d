"""The meter: the one object that lives as long as the app, and wires settings, recorder, delivery and sink together."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from . import beginning, metrics, neighbours, patching, sdk, unfinished
from .annotations import NOTHING, Annotations, ReportMode
from .context import RequestScope, set_process_defaults
from .delivery import Delivery, Presence, Sink, read_record
from .destinations import destination_id, destination_of, open_sink, require_ledger
from .ending import at_end, at_end_of_child
from .forks import ForkSafeLock
from .journal import Home
from .limiting import Limiting
from .observing import observe
from .owner import Admission
from .proxying.planning import Proxying, check_mode
from .proxying.records import look_up_later
from .recorder import Exchange
from .report import Report, build_report, checked, redacted, user_hash
from .results import XproxyResult
from .settings import HeadersMode, Settings


class Meter:
    """Receives the exchanges of the apps that share one `Settings`, and delivers them.

    Args:
        settings: how to behave.

    Raises:
        ConfigurationError: the settings need something that is not there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # What the recorder asks for at each call: see `Owner`.
        self.providers: Mapping[str, tuple[str, str | None]] = settings.providers
        self.report: ReportMode = settings.report
        self.inline_timeout: float = settings.inline_timeout
        self.stream_usage: bool = settings.stream_usage
        self._limits = settings.limits != "off"
        self._routes = settings.mode != "direct"
        self.tells_results: bool = settings.tells_results
        self.defaults: Annotations = settings.default_annotations()
        self._hash_user = None if (key := settings.user_id_hmac_key) is None else user_hash(key.get_secret_value())
        if settings.enabled:
            check_mode(settings)
        if settings.ingest_url is None and settings.enabled:
            require_ledger(settings.ledger)
        self.proxying = Proxying(settings, self._hash_user, self._learn)
        self._delivery = Delivery(
            build=self._build,
            read_record=self._read_record,
            hash_user=self._hash_user,
            open_sink=self._open_sink,
            open_home=None if settings.journal == "off" else self._open_home,
            senders=1 if settings.ingest_url is None else settings.ingest_connections,
            queue_size=settings.queue_size,
            queue_bytes=settings.queue_bytes,
            started=partial(at_end_of_child, _end),
        )
        self._limiting = Limiting(settings, self._delivery.sink)
        self.deliver = self._delivery.put
        self.hurry = self._delivery.ask

    # --- what the recorder needs to know ----------------------------------------------------------------------------

    @property
    def available(self) -> bool:
        """Whether waiting for results makes sense: the last delivery did not fail."""
        return self._delivery.available

    def admit(self, exchange: Exchange) -> Admission | None:
        """Take a call to the gate of its limits; None if nothing limits it."""
        return self._limiting.gate.admit(exchange) if self._is_limited(exchange.annotations) else None

    def _is_limited(self, annotations: Annotations) -> bool:
        return self._limits and bool(annotations.limit_ids or annotations.use_case_name)

    def expect(self, annotations: Annotations) -> bool:
        """Be ready for an exchange that begins; return whether it may be limited, or may go through Pay-i's proxy."""
        if len(sys.modules) != sdk.looked_at:
            neighbours.look_at_first_call()
            sdk.hook_loaded_sdks()
        self._delivery.expect()
        if self._routes or annotations is NOTHING:  # as most
            return self._routes
        return bool(annotations.proxy) or self._is_limited(annotations)

    # --- what the doors need ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Get ready in the background, so that the first result does not wait for imports and connections."""
        if self.settings.enabled:
            self._delivery.open()
            if self.settings.limit_ids and self.settings.limits == "enforce":
                self._limiting.gate.budgets.prepare(self.settings.limit_ids)

    def refusing(self, scope: RequestScope) -> tuple[str, ...]:
        """Return the limits of a web request that would refuse its calls, as far as they are known by now.

        Who asks is not looked into: inner layers have yet to find out.
        """
        limit_ids = scope.annotations().limit_ids
        return (
            self._limiting.gate.budgets.refusing(limit_ids) if limit_ids and self.settings.limits == "enforce" else ()
        )

    @property
    def presence(self) -> Presence:
        """The web requests that are served."""
        return self._delivery.presence

    def new_scope(self) -> RequestScope:
        """Begin a web request."""
        return RequestScope(self.defaults, owner=self)

    def headers_mode(self, original: Any) -> HeadersMode:
        """Decide whether a request, by its ASGI scope or WSGI environ, gets `X-Payi-*` headers with its response."""
        mode = self.settings.headers
        return mode(original) if callable(mode) else mode

    @property
    def destination(self) -> str:
        """Where reports go, for people."""
        return destination_of(self.settings)

    def stats(self) -> dict[str, Any]:
        """Return the delivery's counters.

        Returns:
            queued (waiting or under way, in memory or in the journal), delivered, retried, refused, dropped, adopted
            (from processes that ended), oldest_age in seconds (None if nothing is queued) and last_error (its type);
            blocked (calls that a limit had no room for), estimated (calls whose cost was estimated, and is known now)
            and estimate_error (by how much they were off, a mean fraction of the cost; None if there was none).
        """
        delivery, gate = self._delivery, self._limiting.made
        return {
            **asdict(delivery.counters),
            "queued": delivery.queued,
            "oldest_age": delivery.oldest_age,
            "blocked": 0 if gate is None else gate.budgets.refused,
            "estimated": 0 if gate is None else gate.costs.accuracy.count,
            "estimate_error": None if gate is None else gate.costs.accuracy.error,
        }

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything recorded up to now is delivered or given up.

        Args:
            timeout: seconds; None takes `shutdown_timeout`.

        Returns:
            False if the time ran out first.
        """
        return self._delivery.flush(self.settings.shutdown_timeout if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Flush, and let go of threads, connections and files until the next report comes.

        Returns:
            False if the time ran out and reports were given up.
        """
        closed = self._delivery.close(self.settings.shutdown_timeout if timeout is None else timeout)
        self._limiting.close()
        return closed

    def _learn(self, exchange: Exchange) -> None:
        if exchange.limited:
            self._limiting.gate.learn(exchange)

    # --- on the delivering threads ----------------------------------------------------------------------------------

    def _build(self, exchange: Exchange) -> Report | None:
        observed = observe(exchange)
        if exchange.booked:
            look_up_later(exchange, observed.answer, self._delivery.sink)
            return None
        if not observed.answer.inference:
            return None
        report = build_report(
            observed,
            exchange.annotations,
            hash_user=self._hash_user,
            redact=self.settings.redact,
            fallback_id=exchange.fallback_id,
        )
        if exchange.wanted:
            self._limiting.gate.expect_result(exchange, report)
        return report

    def _read_record(self, record: bytes) -> tuple[Report, float] | None:
        observed, annotations, fallback_id = read_record(record)
        if not observed.answer.inference:
            return None
        report = build_report(observed, annotations, redact=self.settings.redact, fallback_id=fallback_id)
        return report, observed.timing.ended.timestamp()

    def _open_home(self) -> Home:
        settings = self.settings
        assert isinstance(settings.journal, Path)
        return Home(settings.journal / destination_id(settings), destination_of(settings), settings.journal_max_bytes)

    def _open_sink(self) -> Sink:
        return open_sink(self.settings)

    def send(self, item: dict[str, Any]) -> XproxyResult:
        """Deliver one report now, on this thread.

        Args:
            item: an item of `POST /api/v1/ingest/bulk`.

        Raises:
            IngestError: it was not accepted.
        """
        redact = self.settings.redact
        return self._delivery.send(Report(checked(item) if redact is None else redacted(item, redact)))

    def hash_user(self, user_id: str) -> str:
        """Return the user id as it leaves the process."""
        return user_id if self._hash_user is None else self._hash_user(user_id)


# --- the meters of this process -------------------------------------------------------------------------------------

_lock = ForkSafeLock()
_meters: list[Meter] = []
_default: Meter | None = None


def meter_for(settings: Settings | None = None) -> Meter:
    """Return the meter for these settings: apps with equal settings share one, and one ledger or connection pool."""
    settings = settings or Settings()
    with _lock:
        for meter in _meters:
            if meter.settings == settings:
                return meter
        meter = Meter(settings)
        if not _meters:
            at_end(_end)
        _meters.append(meter)
    if meter.settings.enabled:
        metrics.watch(meter)
    return meter


def install(settings: Settings | None = None) -> Meter:
    """Return the meter for these settings with provider calls metered; the first one also takes calls outside apps.

    Raises:
        ConfigurationError: a setting is wrong, or needs something that is not there.
    """
    meter = meter_for(settings)
    if meter.settings.enabled:
        patching.patch()
        if _default is None:
            _make_default(meter)
    return meter


def instrument(settings: Settings | None = None) -> Meter:
    """Meter the provider calls of this process, with or without a web app.

    Clients that exist already are covered. Calls outside any app that has a middleware of ours are reported with
    these settings.

    Args:
        settings: None takes the environment's.

    Returns:
        The meter, for its `stats()` and `flush()`.

    Raises:
        ConfigurationError: a setting is wrong, or needs something that is not there.
    """
    meter = meter_for(settings)
    if meter.settings.enabled:
        patching.patch()
        _make_default(meter)
    return meter


def uninstrument() -> None:
    """Stop metering provider calls, and undo every patch; what was recorded is still delivered."""
    global _default
    patching.unpatch()
    sdk.unhook_sdks()
    _default = None
    set_process_defaults(NOTHING)


def _make_default(meter: Meter) -> None:
    global _default
    _default = meter
    set_process_defaults(meter.defaults)


def default_meter() -> Meter:
    """Return the meter of calls outside any app; made from the environment's settings if there is none yet.

    Raises:
        ConfigurationError: a setting is wrong, or needs something that is not there.
    """
    if _default is None:
        _make_default(meter_for())
    assert _default is not None
    return _default


def flush(timeout: float | None = None) -> bool:
    """Wait until every provider call recorded up to now is reported or given up, in all apps of this process.

    Args:
        timeout: seconds; None takes each app's `shutdown_timeout`.

    Returns:
        False if the time ran out first.
    """
    with _lock:
        meters = list(_meters)
    flushed = [meter.flush(timeout) for meter in meters]
    return all(flushed)


def hurry() -> None:
    """Have what was recorded up to now delivered soon, as somebody waits for a result that nobody was to be told."""
    for meter in _meters:
        meter.hurry()


def close_all() -> None:
    """Close and forget every meter of this process, as its end does."""
    with _lock:
        meters = list(_meters)
        _meters.clear()
    for meter in meters:
        meter.close()


def _end() -> None:
    """Report what there is when the process ends, the answers that are still coming in included."""
    unfinished.end_all()
    close_all()


beginning.set_default_owner(default_meter)
