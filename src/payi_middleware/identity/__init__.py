"""Who asked: headers, session, authenticated user, token, baggage, route and the app's own resolver → annotations.

Configured once per app (`Identity`), asked once per web request (`RequestIdentity`). At run time everything fails open:
a source that raises is skipped, a value that is not fit to be an id is dropped, each with a warning that names the
source and never the value. A wrong configuration raises `ConfigurationError` when it is written.

Rooms, from the bottom: incoming (the vocabulary), values (what is fit to be an id), peers (who is trusted), sources,
forwarded, baggage and tokens (the ready-made sources), entry (a source as it is asked), request, chain.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .chain import Identity
from .forwarded import Headers
from .incoming import Incoming, Source, Trust
from .request import Explained, RequestIdentity
from .sources import AuthenticatedUser, Route, Session

if TYPE_CHECKING:
    from .baggage import Baggage
    from .tokens import JWT

__all__ = [
    "JWT",
    "AuthenticatedUser",
    "Baggage",
    "Explained",
    "Headers",
    "Identity",
    "Incoming",
    "RequestIdentity",
    "Route",
    "Session",
    "Source",
    "Trust",
]

_WHEN_ASKED_FOR = {"Baggage": ".baggage", "JWT": ".tokens"}
"""Sources that few apps use, and what each of them imports takes long."""


def __getattr__(name: str) -> Any:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHEN_ASKED_FOR[name], __name__), name)
