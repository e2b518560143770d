"""What `payi-middleware serve` and `payi-middleware keys` do."""

from __future__ import annotations

import gc
import logging
import socket
import sys
from argparse import Namespace

import uvicorn

from payi_middleware.service.app import create_app
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.dashboard.door import is_loopback
from payi_middleware.service.errors import LedgerError, ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import clock

from .logs import set_up

__all__ = ["keys", "serve"]

logger = logging.getLogger(__name__)

_GRACE = 30
"""Seconds that requests may take to be answered after the service was told to end."""
_BACKLOG = 2048
_COLLECTIONS = (20_000, 20, 20)
"""When garbage is looked for; see `gc.set_threshold`."""
_KEEP_ALIVE = 75
"""Seconds that a connection may be idle: longer than clients and reverse proxies keep theirs, so that they close it."""


def serve(arguments: Namespace) -> int:
    """Serve a database until told to stop.

    Returns:
        0 after that, 1 if the database or the address cannot be used.
    """
    set_up(arguments.log_level)
    if arguments.no_sign_in and not is_loopback(arguments.host):
        logger.error("--no-sign-in needs a --host that only this machine can reach, not %s", arguments.host)
        return 1
    try:
        config = ServiceConfig(
            block_ingest=arguments.block_ingest,
            max_body=arguments.max_body,
            max_proxied_body=arguments.max_proxied_body,
            provider_timeout=arguments.provider_timeout,
            allowed_hosts=tuple(arguments.allow_provider),
            log_content=arguments.log_content,
            open_dashboard=arguments.no_sign_in,
        )
        ledger = Ledger(arguments.db)
    except LedgerError as error:
        logger.error("%s", error)
        return 1
    app = create_app(ledger, stored_keys=True, config=config, closes_ledger=True)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=arguments.host,
            port=arguments.port,
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    try:
        listener = _listener(arguments.host, arguments.port)
    except OSError as error:
        logger.error("cannot listen at %s port %d: %s", arguments.host, arguments.port, error.strerror)
        ledger.close()
        return 1
    _announce(listener, ledger)
    _collect_less()
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _collect_less() -> None:
    """Look for garbage less often, and not among what is here for good: each look at all of it is 0.1 s of silence."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # Connections inherit it. Without it, the second part of an answer waits until the first one is received.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _announce(listener: socket.socket, ledger: Ledger) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not ledger.named_keys():
        logger.warning(
            "there is no key yet, so nobody is let in: payi-middleware keys create NAME --db %s", ledger.name
        )
    logger.info("listening", extra={"url": url, "database": ledger.name})


def keys(arguments: Namespace) -> int:
    """Make, list or revoke keys.

    Returns:
        0 if that was done, 1 if not.
    """
    try:
        with Ledger(arguments.db) as ledger:
            return {"create": _create, "list": _list, "revoke": _revoke}[arguments.action](ledger, arguments)
    except LedgerError as error:
        print(f"payi-middleware keys: {error}", file=sys.stderr)
    except ServiceError as error:
        print(f"payi-middleware keys: {error.message}", file=sys.stderr)
    return 1


def _create(ledger: Ledger, arguments: Namespace) -> int:
    print(ledger.create_key(arguments.name, arguments.application))
    return 0


def _list(ledger: Ledger, _arguments: Namespace) -> int:
    for name, application, created in ledger.named_keys():
        print(f"{name}\t{application}\t{clock.as_text(created)}")
    return 0


def _revoke(ledger: Ledger, arguments: Namespace) -> int:
    if ledger.revoke_key(arguments.name):
        return 0
    print(f"payi-middleware keys: there is no key named {arguments.name}", file=sys.stderr)
    return 1
