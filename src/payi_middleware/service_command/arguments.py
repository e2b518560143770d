"""The arguments of `payi-middleware serve` and `payi-middleware keys`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

from payi_middleware.exceptions import ConfigurationError
from payi_middleware.service.config import MAX_BODY, MAX_PROXIED_BODY, PROVIDER_TIMEOUT
from payi_middleware.service.proxy.targets import allowed_host

__all__ = ["DATABASE", "add_database", "add_keys_arguments", "add_serve_arguments"]

DATABASE = "sqlite:///payi.db"
_CREATE = "make a key and print it, alone on standard output; nobody can ask for it again"
_LIST = "list the keys by name, with their applications"
_REVOKE = "take a key away: the service refuses it within seconds"


def add_serve_arguments(parser: ArgumentParser) -> None:
    """Describe `serve`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen at, 0 for any (default: 8000)")
    add_database(parser)
    parser.add_argument(
        "--block-ingest",
        choices=("record", "reject"),
        default="record",
        help="what to do with reports of calls that name a block limit, whose money is spent already: record them with "
        "a warning (default), or reject them as the hosted API does",
    )
    parser.add_argument(
        "--allow-provider",
        action="append",
        default=[],
        type=_host,
        metavar="HOST",
        help="let the proxy call this host (host, with any port, or host:port), with TLS or without, besides those of "
        "the providers it knows; repeatable",
    )
    parser.add_argument(
        "--log-content",
        action="store_true",
        help="keep the prompts and answers of proxied calls, unless a call or its use case says otherwise (default: "
        "keep them only where a call says so: xProxy-Logging-Disable: False)",
    )
    parser.add_argument(
        "--no-sign-in",
        action="store_true",
        help="show the dashboard of the application `default`, which is the embedded ledger's, to browsers on this "
        "machine without a key; for a --host that only this machine can reach",
    )
    parser.add_argument(
        "--max-body",
        type=_bytes,
        default=MAX_BODY,
        metavar="BYTES",
        help=f"the largest request body accepted (default: {MAX_BODY})",
    )
    parser.add_argument(
        "--max-proxied-body",
        type=_bytes,
        default=MAX_PROXIED_BODY,
        metavar="BYTES",
        help=f"the same of a call that is metered on its way to a provider (default: {MAX_PROXIED_BODY})",
    )
    parser.add_argument(
        "--provider-timeout",
        type=_seconds,
        default=PROVIDER_TIMEOUT,
        metavar="SECONDS",
        help=f"how long a provider may be silent before a proxied call is given up (default: {PROVIDER_TIMEOUT:g})",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="what is logged, as JSON on standard error; each request is an info line (default: info)",
    )


def add_keys_arguments(parser: ArgumentParser) -> None:
    """Describe `keys create`, `keys list` and `keys revoke`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    create = actions.add_parser("create", help=_CREATE, description=_CREATE)
    create.add_argument("name", metavar="NAME", help="the key's name, unique")
    create.add_argument(
        "--application",
        metavar="NAME",
        help="the application whose books it opens; keys of one application see the same (default: one of its own, "
        "named like the key; that of the embedded ledger is `default`)",
    )
    add_database(create)
    add_database(actions.add_parser("list", help=_LIST, description=_LIST))
    revoke = actions.add_parser("revoke", help=_REVOKE, description=_REVOKE)
    revoke.add_argument("name", metavar="NAME", help="the key's name")
    add_database(revoke)


def add_database(parser: ArgumentParser) -> None:
    """Describe `--db`."""
    parser.add_argument(
        "--db",
        metavar="URL",
        help="a file, sqlite:///file or postgresql+psycopg://user@host/database (default: the environment's PAYI_DB, "
        f"where nobody else on the machine sees a password, else {DATABASE})",
    )


def _bytes(text: str) -> int:
    size = int(text)
    if size < 1024:
        raise ArgumentTypeError("a body has room for 1024 bytes at least")
    return size


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError("it takes a number of seconds above 0")
    return seconds


def _host(text: str) -> str:
    try:
        return allowed_host(text)
    except ConfigurationError as error:
        raise ArgumentTypeError(f"{error.problem}. {error.fix}") from error


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65_536:
        raise ArgumentTypeError("a port lies between 0 and 65535")
    return port
