"""Where reports go, by the settings: a service, or the embedded ledger."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from .delivery import Sink
from .exceptions import ConfigurationError
from .ingest import IngestClient
from .settings import Settings

__all__ = ["destination_id", "destination_of", "limit_client", "open_sink", "require_ledger"]

_LIMIT_TIMEOUT = 2.0
"""Seconds that a question about a limit may take."""
_LEDGER_MODULES = ("sqlalchemy", "genai_prices")


def open_sink(settings: Settings) -> Sink:
    """Open where reports go: Pay-i or a service that speaks its API, else the embedded ledger."""
    if settings.ingest_url is None:
        from .embedded import EmbeddedSink  # SQLAlchemy and the price list take half a second: not at import

        return EmbeddedSink(settings.ledger)
    return _client(settings, timeout=settings.ingest_timeout, connections=settings.ingest_connections)


def limit_client(settings: Settings) -> IngestClient:
    """Return a client of its own for questions about limits: calls may wait for the answers."""
    return _client(settings, timeout=min(settings.ingest_timeout, _LIMIT_TIMEOUT), connections=1)


def _client(settings: Settings, *, timeout: float, connections: int) -> IngestClient:
    assert settings.ingest_url is not None
    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    return IngestClient(settings.ingest_url, key, timeout=timeout, connections=connections)


def destination_of(settings: Settings) -> str:
    """Return where reports go, for people."""
    return settings.ingest_url or str(settings.ledger.absolute())


def destination_id(settings: Settings) -> str:
    """Return a name for where and how reports go, so that no process delivers those of another account or policy."""
    redact = settings.redact
    parts = (
        destination_of(settings),
        *("" if key is None else key.get_secret_value() for key in (settings.api_key, settings.user_id_hmac_key)),
        "" if redact is None else f"{getattr(redact, '__module__', '')}.{getattr(redact, '__qualname__', '')}",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def require_ledger(file: Path) -> None:
    """Check that the embedded ledger can be used.

    Raises:
        ConfigurationError: its packages are not installed, or the file cannot be written.
    """
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
