"""The demo: two users ask two example apps, and the ledger says who spent what."""

import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from payi_middleware.demo import screen
from payi_middleware.demo.children import FASTAPI, Child, DemoError, serving
from payi_middleware.demo.conversation import converse
from payi_middleware.demo.dashboard import dashboard, look
from payi_middleware.demo.environment import free_ports, live_environment, stand_in_environment
from payi_middleware.demo.provider import Provider
from payi_middleware.service.accounts.records import UserUsage
from payi_middleware.service.ledger import Ledger

_REPORT_TIMEOUT: Final = 20.0  # seconds that the apps may take to deliver their reports
_POLL: Final = 0.1  # seconds
_WATCH: Final = 1.0  # seconds between two looks at whether the apps still run


@dataclass(frozen=True, slots=True)
class Options:
    """Hold what the command line asked for."""

    live: bool = False
    keep: bool = False
    ledger: Path | None = None
    port: int | None = None


def run(options: Options) -> int:
    """Run the demo and return the exit status: 0 if all calls were reported, 1 if not, 130 if it was interrupted."""
    try:
        with _interruptible(), tempfile.TemporaryDirectory(prefix="payi-demo-") as workdir:
            _run(options, Path(workdir))
    except (DemoError, OSError) as error:
        print(f"payi-middleware demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that nothing of it is left running.

    A shell starts background jobs with SIGINT ignored, and the servers would inherit that: hence SIGINT too.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(options: Options, workdir: Path) -> None:
    ledger = (options.ledger or workdir / "payi.db").resolve()
    ports = free_ports(options.port)
    with contextlib.ExitStack() as stack:
        provider = None if options.live else stack.enter_context(Provider(port=ports["provider"]))
        environment = (
            live_environment(ledger, workdir) if provider is None else stand_in_environment(provider, ledger, workdir)
        )
        book = stack.enter_context(Ledger(ledger))
        before = _calls(book.usage_by_user())
        children = stack.enter_context(serving(ports, environment, workdir))
        print(_introduction(provider, children, ledger), flush=True)
        sent = converse(children)
        rows = _reported(book, before, sent)
        _print_usage(rows, options)
        url = stack.enter_context(dashboard(book, ports["dashboard"]))
        look(url, [row.user_id for row in rows if row.user_id is not None])
        print(f"The dashboard, with all of that: {url}\n", flush=True)
        if options.keep:
            _keep_running(children, ledger, url)
        elif sys.stdin.isatty() and sys.stdout.isatty():
            _wait_for_enter()
        else:
            print("It ends with the demo. To look at it: run the demo on a terminal, or with --keep.", flush=True)
        if options.ledger is not None:
            print(f"The ledger is kept: payi-middleware serve --no-sign-in --db {ledger}", flush=True)


def _introduction(provider: Provider | None, children: Sequence[Child], ledger: Path) -> str:
    stand_in = (
        "a stand-in on this machine that speaks OpenAI's and Anthropic's formats. It makes its answers up and takes a "
        "word for a token: calls and users are real, costs are what that many tokens would cost. No money is spent."
    )
    rows = {
        "Providers": "OpenAI and Anthropic, with your keys: this costs money" if provider is None else stand_in,
        **{child.app.title: f"{child.url} (examples/{child.app.folder}/app.py)" for child in children},
        "Ledger": str(ledger),
    }
    return f"\npayi-middleware demo: who spent what?\n\n{screen.facts(rows)}\n"


def _calls(rows: Sequence[UserUsage]) -> Counter[str]:
    return Counter({row.user_id or "(unattributed)": row.calls for row in rows})


def _reported(book: Ledger, before: Mapping[str, int], sent: Counter[str]) -> list[UserUsage]:
    """Return the ledger's rows once it holds as many new calls as were sent; reports come in the background.

    Raises DemoError if they differ at the deadline, or if a call is another user's than the one who made it.
    """
    deadline = time.monotonic() + _REPORT_TIMEOUT
    while True:
        rows = book.usage_by_user()
        new = _calls(rows)
        new.subtract(before)
        if new.total() >= sent.total() or time.monotonic() > deadline:
            break
        time.sleep(_POLL)
    if +new != sent:
        raise DemoError(
            f"the ledger differs from what was sent. Sent: {_listed(sent)}; in the ledger: {_listed(+new) or 'nothing'}"
        )
    return rows


def _listed(calls: Mapping[str, int]) -> str:
    return ", ".join(f"{count} calls by {user}" for user, count in sorted(calls.items()))


def _print_usage(rows: Sequence[UserUsage], options: Options) -> None:
    print(f"The ledger, per user:\n\n{screen.usage_table(rows)}\n")
    if options.ledger is None and not options.keep:
        print("It is in a temporary file. To keep it: --ledger PATH. To try the apps yourself: --keep.\n")
    sys.stdout.flush()


def _wait_for_enter() -> None:
    """Leave the dashboard where it is, until whoever looks at it has seen enough."""
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        print("Press Enter to end.", flush=True)
        input()


def _keep_running(children: Sequence[Child], ledger: Path, dashboard_url: str) -> None:
    """Say what to open, and wait for Ctrl-C; raise DemoError if an app ends by itself."""
    # Whoever reads the last line may press Ctrl-C before the next statement has begun: what is printed belongs inside.
    with contextlib.suppress(KeyboardInterrupt):
        print("Everything keeps running until Ctrl-C. Try:\n")
        for child in children:
            print(f"    curl -i {child.url}/chat -H 'X-User-ID: carol' \\")
            print("         -H 'Content-Type: application/json' -d '{\"message\": \"Hello\"}'")
        docs = next(child.url for child in children if child.app is FASTAPI)
        rows = {"Routes": f"{docs}/docs", "Dashboard": dashboard_url, "Ledger": f"{ledger} (SQLite)"}
        print(f"\n{screen.facts(rows)}\n", flush=True)
        while True:
            time.sleep(_WATCH)
            for child in children:
                if child.process.poll() is not None:
                    raise child.failure(f"ended with status {child.process.returncode}")
    print("\nStopping ...", flush=True)
