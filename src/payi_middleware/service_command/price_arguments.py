"""The arguments of `payi-middleware prices`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from pathlib import Path

from payi_middleware.service.accounts.applications import DEFAULT
from payi_middleware.service.store import clock

from .arguments import add_database

__all__ = ["add_prices_arguments"]

_UPDATE = "fetch the price list of genai-prices; events from now on are priced by it, without a restart"
_SHOW = "show what a resource costs, or cost at a date"
_LIST = "list the categories, or the resources of one"
_UNKNOWN = "list what was used and has no price"


def add_prices_arguments(parser: ArgumentParser) -> None:
    """Describe `prices update`, `prices show`, `prices list` and `prices unknown`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    update = actions.add_parser("update", help=_UPDATE, description=_UPDATE)
    source = update.add_mutually_exclusive_group()
    source.add_argument("--url", metavar="URL", help="fetch it here (default: where genai-prices publishes it)")
    source.add_argument("--file", type=Path, metavar="PATH", help="read it from a file, where there is no network")
    add_database(update)
    show = actions.add_parser("show", help=_SHOW, description=_SHOW)
    show.add_argument("category", metavar="CATEGORY", help="such as system.openai")
    show.add_argument("resource", metavar="RESOURCE", help="such as gpt-4o")
    show.add_argument("--date", type=_moment, metavar="DATE", help="ISO 8601, such as 2026-11-20 (default: now)")
    show.add_argument("--scope", metavar="SCOPE", help="where it is served, such as global or datazone.us")
    lists = actions.add_parser("list", help=_LIST, description=_LIST)
    lists.add_argument("category", metavar="CATEGORY", nargs="?", help="list its resources")
    unknown = actions.add_parser("unknown", help=_UNKNOWN, description=_UNKNOWN)
    for action in (show, lists, unknown):
        action.add_argument(
            "--application",
            metavar="NAME",
            default=DEFAULT,
            help=f"whose own prices count (default: {DEFAULT}, that of the embedded ledger)",
        )
        add_database(action)


def _moment(text: str) -> datetime:
    try:
        return clock.as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text} is not an ISO 8601 date such as 2026-11-20 or 2026-11-20T12:00Z") from error
