"""How a service behaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ServiceConfig"]

MAX_BODY = 16 * 1024 * 1024
"""Bytes of the largest body accepted."""
MAX_PROXIED_BODY = 64 * 1024 * 1024
"""The same of a call that is passed on to a provider: more than any of them takes for an inference."""
PROVIDER_TIMEOUT = 600.0
"""Seconds that a provider may be silent: the default of OpenAI's and Anthropic's SDKs."""


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """How a service behaves.

    Args:
        block_ingest: what is done with an event that names a limit of type block, whose money is spent already:
            "record" it with a warning, or "reject" it as the hosted API does.
        max_body: bytes of the largest request body accepted.
        max_proxied_body: the same of a call that is metered on its way to a provider.
        allowed_hosts: hosts that the proxy may call besides those of the providers it knows; `host` (any port of it) or
            `host:port`. They may be called without TLS, too.
        provider_timeout: seconds that a provider may be silent.
        log_content: keep the prompts and answers of proxied calls whose headers do not say whether to.
        open_dashboard: show the dashboard of the ledger's own application to browsers on this machine without a key.
    """

    block_ingest: Literal["record", "reject"] = "record"
    max_body: int = MAX_BODY
    max_proxied_body: int = MAX_PROXIED_BODY
    allowed_hosts: tuple[str, ...] = ()
    provider_timeout: float = PROVIDER_TIMEOUT
    log_content: bool = False
    open_dashboard: bool = False
