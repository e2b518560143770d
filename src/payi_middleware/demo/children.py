"""The example apps as real servers in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

_START_TIMEOUT: Final = 30.0  # seconds
_STOP_TIMEOUT: Final = 10.0  # seconds; above what the middleware may take to deliver its last reports
_POLL: Final = 0.05  # seconds
_TAIL: Final = 30  # lines of a child's output that help to see why it failed


class DemoError(Exception):
    """Say in one sentence why the demo cannot go on."""


@dataclass(frozen=True, slots=True)
class ExampleApp:
    """Name an example app and the command that serves it on a port."""

    title: str
    folder: str
    command: Callable[[int], list[str]]


FASTAPI: Final = ExampleApp(
    "FastAPI",
    "fastapi",
    lambda port: ["uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"],
)
FLASK: Final = ExampleApp("Flask", "flask", lambda port: ["waitress", f"--listen=127.0.0.1:{port}", "app:app"])


def examples_folder() -> Path:
    """Return where the example apps are: beside this file in a wheel, at the root of a checkout.

    Raises DemoError if they are in neither place.
    """
    here = Path(__file__).resolve().parent
    candidates = (here / "examples", here.parents[2] / "examples")
    for folder in candidates:
        if all((folder / app.folder / "app.py").is_file() for app in (FASTAPI, FLASK)):
            return folder
    raise DemoError(f"the example apps are missing; looked in {' and '.join(map(str, candidates))}")


@dataclass(frozen=True, slots=True)
class Child:
    """Hold a running example app."""

    app: ExampleApp
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """Return the end of what the server wrote."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL:]
        return "\n".join(f"    {line}" for line in lines) or "    (no output)"

    def failure(self, what: str) -> DemoError:
        """Return an error that shows the server's own words."""
        return DemoError(f"the {self.app.title} example {what}. It wrote:\n{self.output()}")

    def wait_until_healthy(self) -> None:
        """Wait for /healthz; raise DemoError if the server ends or does not answer in time."""
        deadline = time.monotonic() + _START_TIMEOUT
        with httpx.Client(trust_env=False, timeout=1.0) as client:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise self.failure(f"ended with status {self.process.returncode} instead of serving")
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(f"{self.url}/healthz").is_success:
                        return
                time.sleep(_POLL)
        raise self.failure(f"did not answer {self.url}/healthz within {_START_TIMEOUT:.0f} s")

    def ask_to_stop(self) -> None:
        """Interrupt the server as Ctrl-C would: waitress closes down on that, but just dies of a SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)

    def wait_until_stopped(self) -> None:
        """Wait for the server to end, and kill it if it does not."""
        try:
            self.process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _start(app: ExampleApp, port: int, environment: Mapping[str, str], workdir: Path) -> Child:
    source = examples_folder() / app.folder
    inherited = [str(Path(entry).resolve()) for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    log = workdir / f"{app.folder}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *app.command(port)],
            cwd=workdir,
            env={**environment, "PYTHONPATH": os.pathsep.join([str(source), *inherited])},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is ours to pass on, once
        )
    return Child(app, f"http://127.0.0.1:{port}", process, log)


@contextlib.contextmanager
def serving(ports: Mapping[str, int], environment: Mapping[str, str], workdir: Path) -> Iterator[list[Child]]:
    """Serve both example apps on the ports of their folder names; end them when the block is left.

    Raises DemoError if one of them does not start.
    """
    children: list[Child] = []
    try:
        for app in (FASTAPI, FLASK):
            children.append(_start(app, ports[app.folder], environment, workdir))  # noqa: PERF401  each is ended below
        for child in children:
            child.wait_until_healthy()
        yield children
    finally:
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.wait_until_stopped()
