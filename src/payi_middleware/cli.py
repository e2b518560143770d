"""The `payi-middleware` command: one row of `COMMANDS` for each of its commands."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from payi_middleware.journal_command.arguments import add_arguments as _add_journal
from payi_middleware.service_command.arguments import DATABASE, add_keys_arguments, add_serve_arguments
from payi_middleware.service_command.price_arguments import add_prices_arguments

DISTRIBUTION: Final = "payi-middleware"


@dataclass(frozen=True, slots=True)
class Command:
    """Describe a command; `run` imports what it needs itself, so that `--help` stays quick and needs no extra."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65_533:
        raise argparse.ArgumentTypeError("a port, and the three after it, lie between 1 and 65535")
    return port


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--live", action="store_true", help="call the real providers with your own keys (costs money)")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--ledger", type=Path, metavar="PATH", help="write to this ledger file (default: a temporary one)"
    )
    parser.add_argument("--port", type=_port, metavar="N", help="use ports N to N+3 (default: free ones)")


def _run_demo(arguments: argparse.Namespace) -> int:
    from payi_middleware.demo.requirements import missing_requirement

    if missing := missing_requirement():
        print(f"{DISTRIBUTION} demo: {missing}", file=sys.stderr)
        return 1
    from payi_middleware.demo.runner import Options, run

    return run(Options(arguments.live, arguments.keep, arguments.ledger, arguments.port))


def _run_journal(arguments: argparse.Namespace) -> int:
    from payi_middleware.journal_command.running import run

    return run(arguments)


def _run_serve(arguments: argparse.Namespace) -> int:
    if not _has_service("serve"):
        return 1
    from payi_middleware.service_command.running import serve

    return serve(_with_database(arguments))


def _run_keys(arguments: argparse.Namespace) -> int:
    if not _has_service("keys"):
        return 1
    from payi_middleware.service_command.running import keys

    return keys(_with_database(arguments))


def _run_prices(arguments: argparse.Namespace) -> int:
    if not _has_service("prices"):
        return 1
    from payi_middleware.service_command.prices import prices

    return prices(_with_database(arguments))


def _with_database(arguments: argparse.Namespace) -> argparse.Namespace:
    arguments.db = arguments.db or os.environ.get("PAYI_DB") or DATABASE
    return arguments


def _has_service(command: str) -> bool:
    needed = ("alembic", "genai_prices", "sqlalchemy", "starlette", "uvicorn")
    if all(importlib.util.find_spec(name) is not None for name in needed):
        return True
    hint = f"the service's packages are not installed. Run: pip install '{DISTRIBUTION}[local]'"
    print(f"{DISTRIBUTION} {command}: {hint}", file=sys.stderr)
    return False


COMMANDS: Final = (
    Command("demo", "run two example apps and show who spent what, with no account and no key", _add_demo, _run_demo),
    Command(
        "journal",
        "show what is not delivered yet, and have another try at what was refused",
        _add_journal,
        _run_journal,
    ),
    Command("serve", "run a Pay-i compatible service on a database of your own", add_serve_arguments, _run_serve),
    Command("keys", "make, list and revoke the keys of a service of your own", add_keys_arguments, _run_keys),
    Command("prices", "update, show and list what things cost", add_prices_arguments, _run_prices),
)


def version() -> str:
    """Return the installed version."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog=DISTRIBUTION, description="Who spent what on GenAI calls, per request.")
    parser.add_argument("--version", action="version", version=f"{DISTRIBUTION} {version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Raises SystemExit: status 2 on a usage error, 0 after `--help` or `--version`.
    """
    arguments = build_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
