"""Which calls go through Pay-i's proxy, of one app."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from payi_middleware.annotations import Annotations
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.forks import uncut
from payi_middleware.log import warn
from payi_middleware.recorder import Exchange
from payi_middleware.report import annotated_item
from payi_middleware.routing import Asked, Route, Unroutable, route_of
from payi_middleware.settings import Settings

from .circuit import Circuit

if TYPE_CHECKING:
    from .passage import Passage

__all__ = ["Proxying", "check_mode"]


def check_mode(settings: Settings) -> None:
    """Check that there is a proxy where all calls are to go through one.

    Raises:
        ConfigurationError: there is none.
    """
    if settings.mode == "proxy" and settings.ingest_url is None:
        raise ConfigurationError(
            "mode",
            "calls cannot be routed through the embedded ledger",
            "Set PAYI_API_KEY or PAYI_BASE_URL to what they are to go through, or leave mode out.",
        )


@cache
def _passages() -> type[Passage]:
    """Import the way through Pay-i with the first call that goes there: most apps have none."""
    with uncut:
        from .passage import Passage
    return Passage


class Proxying:
    """Decide which calls of an app go through Pay-i.

    Args:
        settings: the app's.
        hash_user: replaces user ids before they leave the process.
        learn: is called with an exchange when its result is in.
    """

    def __init__(
        self, settings: Settings, hash_user: Callable[[str], str] | None, learn: Callable[[Exchange], None]
    ) -> None:
        self._settings = settings
        self._hash_user = hash_user
        self._learn = learn
        self._mode = settings.mode
        self._url = settings.ingest_url
        self._circuit = Circuit()

    def passage(self, exchange: Exchange, asked: Callable[[], Asked]) -> Passage | None:
        """Return the way of a call through Pay-i; None if it goes to the provider directly.

        Args:
            exchange: the call, which has passed the gate.
            asked: returns its URL.
        """
        if self._mode == "direct" and not exchange.annotations.proxy:
            return None
        try:
            return self._passage(exchange, asked)
        except Unroutable as reason:
            warn(f"proxy {exchange.match.provider}", "A call goes to the provider directly, as %s", reason)
        except Exception as error:  # noqa: BLE001 - fail open: the provider call goes on
            warn("proxy", "A call could not be routed through Pay-i, and goes directly: %s", type(error).__name__)
        return None

    def stay(self, exchange: Exchange, client: str) -> None:
        """Say that a call goes to the provider directly that was to go through Pay-i, as its client cannot be routed.

        Args:
            client: the client's name.
        """
        if exchange.annotations.proxy or (self._mode == "proxy" and exchange.annotations.proxy is None):
            warn(f"proxy {client}", "Calls of %s cannot be routed through Pay-i: they go directly", client)

    def _passage(self, exchange: Exchange, asked: Callable[[], Asked]) -> Passage | None:
        annotations = exchange.annotations
        if exchange.let_pass or not self._wanted(exchange, annotations):
            return None
        if self._url is None:
            raise Unroutable("there is no proxy: reports go to the embedded ledger")
        if not exchange.identified:
            raise Unroutable("it is not known yet whom it is for: an identity source waits for the event loop")
        on_failure = self._settings.on_proxy_failure or ("fail" if exchange.blocks else "direct")
        passage = _passages()(
            exchange,
            self._route(exchange, annotations, asked()),
            circuit=self._circuit,
            on_failure=on_failure,
            keep=self._settings.keep_xproxy_result,
            learn=self._learn,
        )
        return None if passage.down and passage.unreachable() else passage

    def _wanted(self, exchange: Exchange, annotations: Annotations) -> bool:
        if annotations.proxy is not None:
            return annotations.proxy
        if self._mode != "auto":
            return self._mode == "proxy"
        if self._settings.limits == "off":  # then only the service knows which of them block
            return bool(annotations.limit_ids) and self._url is not None
        return exchange.blocks and self._url is not None

    def _route(self, exchange: Exchange, annotations: Annotations, asked: Asked) -> Route:
        settings = self._settings
        assert self._url is not None
        return route_of(
            self._url,
            None if settings.api_key is None else settings.api_key.get_secret_value(),
            exchange.match,
            asked,
            self._item(exchange, annotations),
            log_content=bool(annotations.log_prompt_and_response),
        )

    def _item(self, exchange: Exchange, annotations: Annotations) -> dict[str, Any]:
        try:
            return annotated_item(exchange.match, annotations, hash_user=self._hash_user, redact=self._settings.redact)
        except Exception as error:  # the app's own `redact` may raise anything, and has the last word
            raise Unroutable(f"redact failed ({type(error).__name__})") from error
