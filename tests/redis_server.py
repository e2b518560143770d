"""Where tests find Redis."""

from __future__ import annotations

import os

import pytest
import redis

REDIS_URL = "redis://127.0.0.1:6379/0"
_HOW = "Run one: docker run -p 6379:6379 redis:7"


def need_redis() -> None:
    """Skip a test where there is no Redis; on CI, it fails."""
    try:
        with redis.Redis.from_url(REDIS_URL, socket_connect_timeout=5) as client:
            client.ping()
    except redis.ConnectionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Redis at 127.0.0.1:6379 ({error}). {_HOW}")
