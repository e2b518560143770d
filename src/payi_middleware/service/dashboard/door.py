"""Who may look: whoever signs in with a key, at what belongs to the key's application.

A session is a cookie that says which key it was made with and when, signed with the digest of that key that is in the
database: every process knows it, none has to remember anything, and with the key its sessions end.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol
from urllib.parse import urlsplit

from itsdangerous import BadSignature, TimestampSigner
from starlette.requests import Request

from payi_middleware.service.accounts.keys import Holder
from payi_middleware.service.ledger import Ledger

__all__ = [
    "COOKIE",
    "SESSION_SECONDS",
    "Door",
    "KeyBook",
    "OneKeyBook",
    "StoredKeyBook",
    "Visitor",
    "is_from_here",
    "is_same_origin",
]

COOKIE = "payi_session"
SESSION_SECONDS = 12 * 3600
_SALT = "payi-middleware dashboard session"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class KeyBook(Protocol):
    """Knows the keys."""

    def holder(self, key_id: str) -> Holder | None:
        """Return a key that is in force by its id."""

    def holder_of(self, key: str) -> Holder | None:
        """Return what a whole key is, compared in constant time; None if it is wrong."""


class StoredKeyBook:
    """The keys in a ledger's database."""

    def __init__(self, ledger: Ledger) -> None:
        self.holder = ledger.holder
        self.holder_of = ledger.holder_of


class OneKeyBook:
    """One key, for one application."""

    _ID = "one"

    def __init__(self, application_id: int, application: str, key: str) -> None:
        self._key = key.encode()
        self._holder = Holder(self._ID, application_id, application, sha256(self._key).digest())

    def holder(self, key_id: str) -> Holder | None:
        """Return the key by its id."""
        return self._holder if key_id == self._ID else None

    def holder_of(self, key: str) -> Holder | None:
        """Return the key, if it is this one."""
        return self._holder if hmac.compare_digest(key.encode("utf-8", "surrogatepass"), self._key) else None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks, and at whose books.

    Args:
        signed_in: whether there is a session that could be ended.
    """

    application_id: int
    application: str
    signed_in: bool


class Door:
    """Let visitors in.

    Args:
        book: the keys.
        open_to_all_here: whom programs on this machine are let in as without a key; nobody, if it is None.
    """

    def __init__(self, book: KeyBook | None, open_to_all_here: Visitor | None = None) -> None:
        self._book = book
        self._open = open_to_all_here

    def visitor(self, request: Request) -> Visitor | None:
        """Return who is looking; None for whom has to sign in first. Asks the database."""
        holder = self._holder_in(request.cookies.get(COOKIE, ""))
        if holder is not None:
            return Visitor(holder.application_id, holder.application, signed_in=True)
        return self._open if self._open is not None and is_from_here(request) else None

    def _holder_in(self, cookie: str) -> Holder | None:
        holder = self._book.holder(cookie.partition(".")[0]) if self._book is not None and cookie else None
        if holder is None:
            return None
        try:
            _signer(holder).unsign(cookie, max_age=SESSION_SECONDS)
        except BadSignature:
            return None
        return holder

    def session(self, key: str) -> str | None:
        """Return the cookie of a new session; None if the key is wrong. Asks the database."""
        holder = None if self._book is None else self._book.holder_of(key.strip())
        return None if holder is None else _signer(holder).sign(holder.key_id).decode()


def _signer(holder: Holder) -> TimestampSigner:
    return TimestampSigner(holder.secret_hash, salt=_SALT, key_derivation="hmac", digest_method=sha256)


def is_from_here(request: Request) -> bool:
    """Return whether a request was made on this machine, for this machine.

    The Host is looked at, too: a page of anybody's could have its own name point to this machine and read what we
    answer its visitor's browser (DNS rebinding). What came through a proxy may be anybody's.
    """
    if any(name in request.headers for name in _FORWARDED):
        return False
    return request.client is not None and is_loopback(request.client.host) and is_loopback(_host(request.headers))


def _host(headers: Mapping[str, str]) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, and nobody else can reach it there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_same_origin(request: Request) -> bool:
    """Return whether a form was sent by one of our own pages, as far as the browser tells."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
