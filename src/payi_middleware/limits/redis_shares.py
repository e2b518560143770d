"""Limits shared out through Redis (extra `redis`), for processes that report to a service which does not do that.

A hash for each limit holds what was spent, as the newest of them knows it, and what each process holds until when.
"""

from __future__ import annotations

import importlib
from typing import Any

from payi_middleware.exceptions import ConfigurationError
from payi_middleware.forks import uncut
from payi_middleware.granting import Asked, grant

from .sources import Granted

__all__ = ["RedisShares", "check_redis"]

_PREFIX = "payi:limit:"
_HELD_MS = 10_000
"""Milliseconds for which a process holds what it was granted; one that was killed has it no longer after that."""
_RESET_MS = 3_000
"""Milliseconds after which a lower spend is believed: before that, it may be an answer that was overtaken."""
_KEPT_S = 3_600
_PATIENCE = 2.0
"""Seconds that Redis may take to answer."""


class RedisShares:
    """Share limits out.

    Args:
        url: as redis-py takes it: `redis://host:6379/0`, `rediss://…`, `unix://…`.
        namespace: whose limits they are; processes of the same account have the same.

    Raises:
        ConfigurationError: redis-py is not installed, or does not understand the URL.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._client = _client(url)
        self._prefix = f"{_PREFIX}{namespace}:"

    def share(self, limit_id: str, holder: str, asked: Asked, maximum: int, spent: int) -> Granted:
        """Ask for a part of a limit, given what is known of it.

        Raises:
            redis.RedisError: it is not to be had at present.
        """
        key = self._prefix + limit_id
        seconds, micros = self._client.time()
        now = seconds * 1000 + micros // 1000

        def share(pipe: Any) -> Granted:
            stored = {name.decode(): value.decode() for name, value in pipe.hgetall(key).items()}
            known, told_at = int(stored.pop("spent", -1)), int(stored.pop("at", 0))
            held = {name: tuple(map(int, value.split(":"))) for name, value in stored.items()}
            gone = [name for name, (_, until) in held.items() if until <= now]
            others = sum(amount for name, (amount, until) in held.items() if until > now and name != holder)
            newer = spent >= known or now - told_at > _RESET_MS
            current = spent if newer else known
            granted = grant(maximum, current, others, asked)
            pipe.multi()
            if gone:
                pipe.hdel(key, *gone)
            if newer:
                pipe.hset(key, mapping={"spent": current, "at": now})
            if granted:
                pipe.hset(key, holder, f"{granted}:{now + _HELD_MS}")
            else:
                pipe.hdel(key, holder)
            pipe.expire(key, _KEPT_S)
            return Granted(granted, maximum - current - others - granted, current)

        found: Granted = self._client.transaction(share, key, value_from_callable=True)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def check_redis(url: str) -> None:
    """Find out whether limits could be shared out through a URL, without connecting.

    Raises:
        ConfigurationError: redis-py is not installed, or does not understand the URL.
    """
    _client(url).close()


def _client(url: str) -> Any:
    try:
        with uncut:
            redis: Any = importlib.import_module("redis")
    except ImportError:
        raise ConfigurationError(
            "PAYI_REDIS_URL", "redis-py is not installed", "Run: pip install 'payi-middleware[redis]'"
        ) from None
    try:
        return redis.Redis.from_url(url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)
    except ValueError:  # its text may hold a password
        raise ConfigurationError(
            "PAYI_REDIS_URL", "not a URL that redis-py understands", "Write it like redis://localhost:6379/0"
        ) from None
