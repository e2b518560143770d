"""The limits of an app's calls: what knows them is imported with the first call that one may have a say in.

Or whose cost is to be estimated until its result is in, which is found out on a delivering thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from .delivery import Sink
from .destinations import destination_id, limit_client
from .forks import ForkSafeLock, uncut
from .settings import Settings

if TYPE_CHECKING:
    from .limits.control import Control
    from .limits.gate import Gate
    from .limits.redis_shares import RedisShares
    from .limits.sources import Source

__all__ = ["Limiting"]


class Limiting:
    """Make and keep the gate that an app's calls pass.

    Args:
        settings: the app's.
        sink: returns where reports go.

    Raises:
        ConfigurationError: limits are to be shared out through Redis, and cannot be.
    """

    def __init__(self, settings: Settings, sink: Callable[[], Sink]) -> None:
        self._settings = settings
        self._sink = sink
        self._control: Control | None = None
        if settings.redis_url is not None:
            from .limits.redis_shares import check_redis

            check_redis(settings.redis_url.get_secret_value())

    @property
    def gate(self) -> Gate:
        """The gate of this process."""
        return self.made or self._make()

    @property
    def made(self) -> Gate | None:
        """The gate, if this process has needed one: a forked child has made no calls yet."""
        control = self._control
        return None if control is None or control.pid != os.getpid() else control.gate

    def _make(self) -> Gate:
        settings = self._settings
        with uncut:
            from .limits.control import Control
        with _lock:
            if self._control is None or self._control.pid != os.getpid():
                self._control = Control(
                    source=self._source,
                    shares=None if settings.redis_url is None else self._shares,
                    owns_source=settings.ingest_url is not None,
                    patience=settings.limit_wait,
                    on_limit=settings.on_limit,
                )
            return self._control.gate

    def _source(self) -> Source:
        from .limits.sources import Source

        if self._settings.ingest_url is not None:
            return limit_client(self._settings)
        sink = self._sink()
        assert isinstance(sink, Source)
        return sink

    def _shares(self) -> RedisShares:
        from .limits.redis_shares import RedisShares

        url = self._settings.redis_url
        assert url is not None
        return RedisShares(url.get_secret_value(), destination_id(self._settings))

    def close(self) -> None:
        """Let go of threads and connections until the next call comes."""
        control, self._control = self._control, None
        if control is not None:
            control.close()


_lock = ForkSafeLock()
