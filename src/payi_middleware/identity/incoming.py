"""The vocabulary: a web request as a door shows it, and what a source of identity is."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Protocol

from payi_middleware.annotations import Annotations


class Trust(IntEnum):
    """How far a source is believed; of two that name the same field, the more trusted one wins."""

    ANONYMOUS = 0
    """Anybody could have said it; it may not name limits or prices."""
    PROXY = 1
    """A trusted proxy vouches for it: asked only if the direct peer is in `Settings.trusted_proxies`."""
    VERIFIED = 2
    """A signature vouches for it."""
    AUTHENTICATED = 3
    """The app itself says so."""


class Incoming(Protocol):
    """One web request, as the doors (ASGI, WSGI, Flask) show it. Everything is read at the moment it is asked for."""

    @property
    def peer(self) -> str | None:
        """The IP address of the direct TCP peer; None for a unix socket or where it is unknown."""

    @property
    def user(self) -> object | None:
        """The app's user: `scope["user"]`, Flask-Login's `current_user`, Django's `request.user`."""

    @property
    def session(self) -> Mapping[str, Any] | None:
        """The framework's session."""

    @property
    def route(self) -> str | None:
        """The route's template, such as `/chat/{id}`."""

    @property
    def original(self) -> Any:
        """The ASGI scope or the WSGI environ."""

    def header(self, name: str) -> str | None:
        """Return a header's first value, or None where it is absent."""

    def mentions(self, prefix: str) -> bool:
        """Return whether there are headers whose names begin like this, in lower case."""


class Source(Protocol):
    """Something that may know who asked.

    A source whose answer is filled in by inner layers of the app may have an attribute `late = True`: it is asked
    again until it says something. Any other is asked once per request.
    """

    @property
    def name(self) -> str:
        """What warnings and `explain` call it."""

    @property
    def trust(self) -> Trust:
        """How far it is believed."""

    def read(self, incoming: Incoming) -> Annotations | None:
        """Say what is known of this request; None means nothing."""
