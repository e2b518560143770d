"""The sources of one app, in the order of trust."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from payi_middleware.exceptions import ConfigurationError
from payi_middleware.settings import Settings

from .entry import Entries, make_entry
from .forwarded import Headers
from .incoming import Incoming, Source
from .peers import peer_check
from .request import Explained, RequestIdentity
from .sources import AuthenticatedUser, Session


class Identity:
    """Know who asked; configured once per app.

    Args:
        sources: ready-made sources and the app's own resolvers, sync or async functions of `Incoming` that return
            `Annotations`, a dict of its fields, a user id or None. They are asked in the order of their trust,
            whatever order they are written in; the app's own resolvers count as `Trust.AUTHENTICATED`. None means
            `AuthenticatedUser(), Session(), Headers()`.
        settings: `trusted_proxies`, `user_id_header`, `session_id_header` and `identity_max_length` matter here.

    Raises:
        ConfigurationError: something in `sources` is no source.
    """

    def __init__(self, sources: Sequence[Source | Callable[[Any], object]] | None, settings: Settings) -> None:
        if sources is None:
            sources = (AuthenticatedUser(), Session(), Headers())
        if not isinstance(sources, list | tuple):
            raise ConfigurationError(
                "identity", f"a {type(sources).__name__} is no list of sources", "Write it like identity=[Headers()]."
            )
        trusts = peer_check(settings.trusted_proxies)
        entries = [
            make_entry(
                source.configured(settings) if isinstance(source, Headers) else source,
                trusts,
                settings.identity_max_length,
            )
            for source in sources
        ]
        self._entries = Entries(sorted(entries, key=lambda entry: -entry.trust))

    def of(self, original: Any, view: Callable[[Any], Incoming] | None = None) -> RequestIdentity:
        """Begin a web request; nothing is read from it yet.

        Args:
            original: the request as an `Incoming`,
            view: or what makes one of it when it is looked at.
        """
        return RequestIdentity(self._entries, original, view)

    def explain(self, incoming: Incoming) -> list[Explained]:
        """Ask about a request and say which source decided which field: for debugging, in a handler or a test."""
        identity = self.of(incoming)
        identity.settle()
        return identity.explain()
