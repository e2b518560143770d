"""The `payi-middleware` command: one row of `COMMANDS` for each of its commands."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

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
    if not 0 < port < 65_534:
        raise argparse.ArgumentTypeError("a port, and the two after it, lie between 1 and 65535")
    return port


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--live", action="store_true", help="call the real providers with your own keys (costs money)")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--ledger", type=Path, metavar="PATH", help="write to this ledger file (default: a temporary one)"
    )
    parser.add_argument("--port", type=_port, metavar="N", help="use ports N, N+1 and N+2 (default: free ones)")


def _run_demo(arguments: argparse.Namespace) -> int:
    from payi_middleware.demo.requirements import missing_requirement

    if missing := missing_requirement():
        print(f"{DISTRIBUTION} demo: {missing}", file=sys.stderr)
        return 1
    from payi_middleware.demo.runner import Options, run

    return run(Options(arguments.live, arguments.keep, arguments.ledger, arguments.port))


COMMANDS: Final = (
    Command("demo", "run two example apps and show who spent what, with no account and no key", _add_demo, _run_demo),
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
