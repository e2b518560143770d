"""The ready-made source that a trusted proxy vouches for: request headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from payi_middleware.annotations import NOTHING, Annotations
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.headers import CALL_PREFIX, read_annotations
from payi_middleware.log import warn
from payi_middleware.settings import Settings

from .incoming import Incoming, Trust
from .values import TOKEN

_NEVER_FROM_CLIENTS = frozenset(
    {
        "xProxy-Limit-IDs",
        "xProxy-PriceAs-Category",
        "xProxy-PriceAs-Resource",
        "xProxy-Resource-Scope",
        "xProxy-Logging-Disable",
    }
)
_VERSION = "xProxy-UseCase-Version"
_VERSION_DIGITS = 9
"""Digits of a version that is believed: beyond 4300 `int` refuses, and beyond 9 no 32-bit integer holds it."""


def check_names(source: str, names: Iterable[object]) -> None:
    """Refuse a name that no header or baggage member can have.

    Raises:
        ConfigurationError: names the source and the fix.
    """
    for name in names:
        if name is not None and not (isinstance(name, str) and TOKEN.fullmatch(name)):
            raise ConfigurationError(
                source, f"{name!r} cannot be a name", "Use letters, digits and !#$%&'*+.^_`|~- only (RFC 9110)."
            )


@dataclass(frozen=True, slots=True)
class Headers:
    """Take the identity from request headers, from trusted peers only.

    The proxy must set or remove these headers itself: what a client sends under the same name would pass through it.
    A plain header wins over its `xProxy-*` counterpart. The `xProxy-*` headers that name limits, prices, scopes or
    logging are never read from incoming requests.

    Args:
        user_id: the header of the user id; None means `Settings.user_id_header`.
        session_id: the header of the session id; None means `Settings.session_id_header`.
        account_name: the header of the account name; None reads none.
        xproxy: whether the `xProxy-*` headers are read as well.

    Raises:
        ConfigurationError: a name cannot be a header's.
    """

    user_id: str | None = None
    session_id: str | None = None
    account_name: str | None = None
    xproxy: bool = True

    name: ClassVar[str] = "Headers"
    trust: ClassVar[Trust] = Trust.PROXY
    late: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_names("Headers", (self.user_id, self.session_id, self.account_name))

    def configured(self, settings: Settings) -> Self:
        """Fill in the names that were left to the settings."""
        return replace(
            self,
            user_id=self.user_id or settings.user_id_header,
            session_id=self.session_id or settings.session_id_header,
        )

    def read(self, incoming: Incoming) -> Annotations | None:
        layer = NOTHING
        if self.xproxy and incoming.mentions(CALL_PREFIX):  # or each of them would be looked for in each request
            layer = read_annotations(lambda name: _xproxy(incoming, name))
        plain: dict[str, Any] = {}
        for field in ("user_id", "session_id", "account_name"):
            name = getattr(self, field)
            if name is not None and (value := incoming.header(name)) is not None and value.strip():
                plain[field] = value
        return replace(layer, **plain) if plain else layer


def _xproxy(incoming: Incoming, name: str) -> str | None:
    if name in _NEVER_FROM_CLIENTS:
        return None
    value = incoming.header(name)
    if name == _VERSION and value is not None and len(value.strip()) > _VERSION_DIGITS:
        warn(f"identity {name}", "The header %s has more than %d digits: it was ignored", name, _VERSION_DIGITS)
        return None
    return value
