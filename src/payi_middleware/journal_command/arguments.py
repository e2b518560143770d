"""The arguments of `payi-middleware journal`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from math import isfinite
from pathlib import Path

__all__ = ["add_arguments"]

_STATUS = "show, for each process, what waits, what was refused for good, and whether the process lives"
_LIST = "list the dead letters: reports that were refused for good"
_EXPORT = "write dead letters, or what waits, as items of POST /api/v1/ingest/bulk, one a line"
_RETRY = (
    "have dead letters delivered once more: living processes deliver their own within a minute, those of ended "
    "processes are delivered by this command, with the settings of its environment"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Describe `status`, `list`, `export` and `retry`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    status = _action(actions.add_parser("status", help=_STATUS, description=_STATUS))
    status.add_argument("--json", action="store_true", help="print one JSON object")
    listing = _action(actions.add_parser("list", help=_LIST, description=_LIST))
    listing.add_argument("--code", metavar="CODE", help="only those refused with this code, such as unknown_limit")
    listing.add_argument("--json", action="store_true", help="print one JSON array")
    export = _action(actions.add_parser("export", help=_EXPORT, description=_EXPORT))
    export.add_argument("--pending", action="store_true", help="what waits to be delivered, not the dead letters")
    export.add_argument("--code", metavar="CODE", help="only dead letters refused with this code")
    export.add_argument("--array", action="store_true", help="write one JSON array, the body of a bulk request")
    export.add_argument("--output", "-o", type=Path, metavar="FILE", help="a new file (default: standard output)")
    retry = _action(actions.add_parser("retry", help=_RETRY, description=_RETRY))
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", metavar="ID", default=[], help="as `list` shows it, or its beginning")
    which.add_argument("--all", action="store_true", help="all, and whatever else ended processes have left")
    which.add_argument("--code", metavar="CODE", help="those refused with this code")
    retry.add_argument(
        "--any-key",
        action="store_true",
        help="also those that ended processes have sent to the same address with another key or other settings",
    )
    retry.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long the delivery may take (default: 30); what is left stays in the journal",
    )


def _action(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--journal", type=Path, metavar="DIR", help="the journal (default: the one of PAYI_JOURNAL)")
    parser.add_argument("--destination", metavar="TEXT", help="only where reports go to an address with this in it")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not isfinite(seconds) or seconds < 0:
        raise ArgumentTypeError("seconds are a number of 0 or more")
    return seconds
