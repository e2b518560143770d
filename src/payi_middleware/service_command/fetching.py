"""Fetching a price list: the only call that leaves the machine, and only when asked for."""

from __future__ import annotations

from pathlib import Path

import httpx

__all__ = ["FetchError", "fetched", "read_file"]

_MOST = 64 * 1024 * 1024
"""Bytes of the largest list that is taken; it was 2 MB in 2026."""
_TIMEOUT = 30.0


class FetchError(Exception):
    """The price list cannot be had. The message names where it was looked for."""


def fetched(url: str | None) -> bytes:
    """Return what is at a URL, or where genai-prices publishes its data.

    Raises:
        FetchError: it cannot be had.
    """
    from genai_prices.update_prices import DEFAULT_UPDATE_URL

    url = url or DEFAULT_UPDATE_URL
    body = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT) as answer:
            if answer.status_code != httpx.codes.OK:
                raise FetchError(f"{url} answered {answer.status_code}. Name another URL with --url, or a --file.")
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _MOST:
                    raise FetchError(f"{url} is larger than {_MOST} bytes, which no price list is.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise FetchError(f"{url} cannot be read: {reason}. Where there is no network, use --file.") from error
    return bytes(body)


def read_file(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        FetchError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error.strerror}") from error
