"""Whose request this is: the key that it came with, and the application that the key is of."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256
from time import monotonic
from typing import Protocol

from anyio.to_thread import run_sync

from payi_middleware.service.errors import ServiceError

__all__ = ["API_KEY", "Keyring", "OneKey", "StoredKeys"]

API_KEY = "xproxy-api-key"
_TRUSTED_FOR = 5.0
"""Seconds for which a key that was looked up is known: so long may a revoked one be used."""
_MOST = 10_000


class Keyring(Protocol):
    """Tells which application a request is for."""

    async def application_of(self, headers: Mapping[str, str]) -> int:
        """Return the id of an application.

        Args:
            headers: the request's headers, looked up by lower-case names.

        Raises:
            ServiceError: 401 `invalid_api_key`.
        """


class OneKey:
    """One application, and one key or none at all.

    Args:
        application_id: the application.
        api_key: what the header must say; without one, everybody is let in.
    """

    def __init__(self, application_id: int, api_key: str | None) -> None:
        self._application_id = application_id
        self._api_key = None if api_key is None else api_key.encode()

    async def application_of(self, headers: Mapping[str, str]) -> int:
        """Return the application's id; see `Keyring`."""
        given = headers.get(API_KEY, "").encode("latin-1", "replace")
        if self._api_key is not None and not hmac.compare_digest(given, self._api_key):
            raise refused()
        return self._application_id


class StoredKeys:
    """The keys in the database.

    Args:
        verify: returns the id of the application that a key is of, or None; it is called on another thread.
    """

    def __init__(self, verify: Callable[[str], int | None]) -> None:
        self._verify = verify
        self._seen: dict[bytes, tuple[int, float]] = {}

    async def application_of(self, headers: Mapping[str, str]) -> int:
        """Return the id of the key's application; see `Keyring`."""
        return await self.application_of_key(headers.get(API_KEY, ""))

    async def application_of_key(self, key: str) -> int:
        """Return the id of a key's application; see `Keyring`."""
        digest = sha256(key.encode("utf-8", "surrogatepass")).digest()
        application_id, until = self._seen.get(digest, (0, 0.0))
        if until > monotonic():
            return application_id
        found = await run_sync(self._verify, key) if key else None
        if found is None:
            self._seen.pop(digest, None)
            raise refused()
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[digest] = (found, monotonic() + _TRUSTED_FOR)
        return found


def refused() -> ServiceError:
    """Return what says that a key is missing or wrong."""
    return ServiceError(401, "invalid_api_key", "the header xProxy-api-key is missing or wrong")
