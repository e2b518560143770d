"""A process that has everything loaded and no threads, and forks others that begin within milliseconds.

It reads one JSON object a line: the plays that are to be on at the same time, each in a process of its own. A play
tells what it has seen by lines in a pipe, which outlive it. It may be killed: after so many lines and a pause.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import IO, Any

from tests.lifecycle import sdks

Tell = Callable[[object], None]


@dataclass
class Play:
    """A play that is on.

    Args:
        pid: its process.
        pipe: the reading end of what it tells.
        said: its standard error.
        kill: how many lines it may tell, and the seconds that it may live on then; None lets it end by itself.
        by: the signal that ends it.
    """

    pid: int
    pipe: int
    said: IO[bytes]
    kill: tuple[int, float] | None
    by: int
    told: bytes = b""
    dies: float | None = None

    def hear(self, piece: bytes) -> None:
        """Take what it tells, and set the moment of its death if that was enough."""
        self.told += piece
        if self.kill is not None and self.told.count(b"\n") >= self.kill[0]:
            self.dies = monotonic() + self.kill[1]
            self.kill = None

    def outcome(self) -> dict[str, Any]:
        """Wait for its end, and return what is known of it."""
        _, status = os.waitpid(self.pid, 0)
        self.said.seek(0)
        errors = self.said.read().decode(errors="replace")
        self.said.close()
        told = self.told.decode().split("\n")[:-1]
        return {"told": told, "status": os.waitstatus_to_exitcode(status), "errors": errors}


def begin(play: dict[str, Any]) -> Play | None:
    """Fork a play; None in the play's own process, which has to end the interpreter."""
    reading, writing = os.pipe()
    said = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the play is over
    pid = os.fork()
    if pid:
        os.close(writing)
        kill = play.get("kill")
        return Play(pid, reading, said, None if kill is None else (kill[0], kill[1]), play.get("by", signal.SIGKILL))
    os.close(reading)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    os.dup2(said.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    module, _, name = play["play"].partition(":")
    act = getattr(importlib.import_module(f"tests.lifecycle.{module}"), name)
    act(lambda line: os.write(writing, f"{line}\n".encode()), **play.get("with", {}))
    return None


def watch(plays: list[Play]) -> None:
    """Read what plays tell until all are over, and kill those that are to be killed."""
    with selectors.DefaultSelector() as selector:
        for play in plays:
            selector.register(play.pipe, selectors.EVENT_READ, play)
            play.hear(b"")
        while selector.get_map():
            due = [play.dies for play in plays if play.dies is not None]
            for key, _ in selector.select(max(0.0, min(due) - monotonic()) if due else None):
                if piece := os.read(key.fd, 65536):
                    key.data.hear(piece)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
            for play in plays:
                if play.dies is not None and play.dies <= monotonic():
                    play.dies = None
                    os.kill(play.pid, play.by)  # nobody has waited for it, so the number is still its own


def main() -> None:
    """Put plays on until the standard input ends."""
    sdks.load(sys.argv[1])
    if threading.active_count() != 1:
        raise RuntimeError("a thread runs, which forks would not take along")
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        plays: list[Play] = []
        for play in json.loads(line):
            begun = begin(play)
            if begun is None:
                return
            plays.append(begun)
        watch(plays)
        print(json.dumps([play.outcome() for play in plays]), file=answers, flush=True)


if __name__ == "__main__":
    main()
