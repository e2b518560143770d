"""The meter: the one object that lives as long as the app, and wires settings, recorder, delivery and sink together."""

from __future__ import annotations

import atexit
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from . import neighbours, patching, recorder, sdk
from .annotations import NOTHING, Annotations
from .context import RequestScope, set_process_defaults
from .delivery import Delivery, Sink, Stats
from .exceptions import ConfigurationError
from .ingest import IngestClient
from .observing import observe
from .recorder import Exchange
from .report import Report, build_report, redacted, user_hash
from .results import XproxyResult
from .settings import HeadersMode, Settings

_LEDGER_MODULES = ("sqlalchemy", "genai_prices")


class Meter:
    """Receives the exchanges of the apps that share one `Settings`, and delivers them.

    Args:
        settings: how to behave.

    Raises:
        ConfigurationError: the settings need something that is not there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.defaults: Annotations = settings.default_annotations()
        key = settings.user_id_hmac_key
        self._hash_user = None if key is None else user_hash(key.get_secret_value())
        if settings.ingest_url is None and settings.enabled:
            _require_ledger(settings.ledger)
        self._delivery = Delivery(
            self._build,
            self._open_sink,
            threads=1 if settings.ingest_url is None else settings.ingest_connections,
            queue_size=settings.queue_size,
            queue_bytes=settings.queue_bytes,
        )

    # --- what the recorder needs to know ----------------------------------------------------------------------------

    @property
    def providers(self) -> Mapping[str, tuple[str, str | None]]:
        """Custom hosts and the wire format they speak."""
        return self.settings.providers

    @property
    def report(self) -> Any:
        """Whether an answer is held until its result is in."""
        return self.settings.report

    @property
    def inline_timeout(self) -> float:
        """Seconds that an answer may be held."""
        return self.settings.inline_timeout

    @property
    def stream_usage(self) -> bool:
        """Whether streams that tell their usage only if asked are asked for it."""
        return self.settings.stream_usage

    @property
    def available(self) -> bool:
        """Whether waiting for results makes sense: the last delivery did not fail."""
        return self._delivery.available

    def expect(self) -> None:
        """Be ready for an exchange that has begun."""
        neighbours.look_at_first_call()
        sdk.hook_loaded_sdks()
        self._delivery.expect()

    def deliver(self, exchange: Exchange, *, finalising: bool) -> None:
        """Queue a finished exchange."""
        self._delivery.put(exchange, finalising=finalising)

    # --- what the doors need ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Get ready in the background, so that the first result does not wait for imports and connections."""
        if self.settings.enabled:
            self._delivery.open()

    def new_scope(self) -> RequestScope:
        """Begin a web request."""
        return RequestScope(self.defaults, owner=self)

    def headers_mode(self, original: Any) -> HeadersMode:
        """Decide whether a request's response gets `X-Payi-*` headers.

        Args:
            original: the ASGI scope or WSGI environ.
        """
        mode = self.settings.headers
        return mode(original) if callable(mode) else mode

    def stats(self) -> dict[str, Any]:
        """Return the delivery's counters: queued, delivered, retried, refused, dropped and the last error's type."""
        counters: Stats = self._delivery.stats
        return {**asdict(counters), "queued": self._delivery.queued}

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
        return self._delivery.close(self.settings.shutdown_timeout if timeout is None else timeout)

    # --- on the delivering threads ----------------------------------------------------------------------------------

    def _build(self, exchange: Exchange) -> Report | None:
        observed = observe(exchange)
        if not observed.answer.inference:
            return None
        return build_report(observed, exchange.annotations, hash_user=self._hash_user, redact=self.settings.redact)

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
        return self._delivery.send(Report(item if redact is None else redacted(item, redact)))

    def hash_user(self, user_id: str) -> str:
        """Return the user id as it leaves the process."""
        return user_id if self._hash_user is None else self._hash_user(user_id)


def open_sink(settings: Settings) -> Sink:
    """Open where reports go: Pay-i or a service that speaks its API, else the embedded ledger."""
    if settings.ingest_url is None:
        from .embedded import EmbeddedSink  # SQLAlchemy and the price list take half a second: not at import

        return EmbeddedSink(settings.ledger)
    key = settings.api_key
    return IngestClient(
        settings.ingest_url,
        None if key is None else key.get_secret_value(),
        timeout=settings.ingest_timeout,
        connections=settings.ingest_connections,
    )


def _require_ledger(file: Path) -> None:
    if any(importlib.util.find_spec(name) is None for name in _LEDGER_MODULES):
        raise ConfigurationError(
            "PAYI_API_KEY",
            "neither it nor PAYI_BASE_URL is set, and the embedded ledger's packages are not installed",
            "Set one of them, or run: pip install 'payi-middleware[local]'",
        )
    place = file if file.exists() else next(parent for parent in file.absolute().parents if parent.exists())
    if not os.access(place, os.W_OK) or not (place.is_file() if place == file else place.is_dir()):
        raise ConfigurationError(
            "PAYI_LEDGER",
            f"{place} is no file or directory that can be written",
            "Point it to a file in a directory of yours, or set PAYI_API_KEY or PAYI_BASE_URL.",
        )


# --- the meters of this process -------------------------------------------------------------------------------------

_lock = Lock()
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
            atexit.unregister(close_all)
            atexit.register(close_all)
        _meters.append(meter)
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


def close_all() -> None:
    """Close and forget every meter of this process, as its end does."""
    with _lock:
        meters = list(_meters)
        _meters.clear()
    for meter in meters:
        meter.close()


recorder.set_default_owner(default_meter)
