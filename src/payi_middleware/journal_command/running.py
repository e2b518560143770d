"""The actions of `payi-middleware journal` that change nothing, and the way to all of them."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import BinaryIO

from payi_middleware.exceptions import ConfigurationError
from payi_middleware.journal import BacklogError
from payi_middleware.journal.inspection import Process, pending_rows
from payi_middleware.settings import Settings

from .looking import JournalError, chosen_processes, letters, look, unreadable_files
from .retrying import retry
from .showing import letter_facts, letter_lines, plain, status_facts, status_lines

__all__ = ["run"]


def run(arguments: Namespace) -> int:
    """Do what was asked for.

    Returns:
        0 if that was done, 1 if some of it could not be, 130 if it was interrupted.
    """
    action = {"status": _status, "list": _list, "export": _export, "retry": retry}[arguments.action]
    try:
        journal = _journal(arguments)
        if journal is None or not journal.is_dir():
            return _nothing(arguments, journal)
        return action(arguments, journal)
    except (JournalError, ConfigurationError) as error:
        print(f"payi-middleware journal: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _journal(arguments: Namespace) -> Path | None:
    given: Path | None = arguments.journal
    journal = Settings().journal if given is None else given
    return journal if isinstance(journal, Path) else None


def _nothing(arguments: Namespace, journal: Path | None) -> int:
    if getattr(arguments, "json", False):
        print(json.dumps(status_facts(journal, [], [], time()) if arguments.action == "status" else []))
        return 0
    why = "the journal is off (PAYI_JOURNAL)" if journal is None else f"there is no journal at {journal}"
    print(f"Nothing there: {why}.", file=sys.stderr if arguments.action == "export" else sys.stdout)
    return 0


def _status(arguments: Namespace, journal: Path) -> int:
    states = [look(process) for process in chosen_processes(journal, arguments.destination)]
    aside = unreadable_files(journal, arguments.destination)
    if arguments.json:
        print(json.dumps(status_facts(journal, states, aside, time()), indent=2))
    elif not states and not aside:
        print(f"Nothing there: the journal at {journal} is empty.")
    else:
        for line in status_lines(journal, states, aside, time()):
            print(line)
    return 1 if any(state.problem for state in states) else 0


def _list(arguments: Namespace, journal: Path) -> int:
    found = letters(chosen_processes(journal, arguments.destination), arguments.code)
    if arguments.json:
        print(json.dumps([letter_facts(one) for one in found], indent=2))
        return 0
    empty = True
    for one in found:
        empty = False
        for line in letter_lines(one):
            print(line)
    if empty:
        print("No dead letters.")
    return 0


def _export(arguments: Namespace, journal: Path) -> int:
    if arguments.pending and arguments.code:
        raise JournalError("what waits was refused with no code: leave out --pending or --code")
    chosen = chosen_processes(journal, arguments.destination)
    written: Counter[str] = Counter()
    with _output(arguments.output) as file:
        for destination, item in _items(arguments, chosen):
            start = b"" if not arguments.array else b",\n" if written.total() else b"[\n"
            file.write(start + item + (b"" if arguments.array else b"\n"))
            written[destination] += 1
        if arguments.array:
            file.write(b"\n]\n" if written.total() else b"[]\n")
    kind = "waiting reports" if arguments.pending else "dead letters"
    for destination, count in sorted(written.items()):
        print(f"{count} {kind} for {plain(destination)}", file=sys.stderr)
    if not written.total():
        print(f"No {kind}.", file=sys.stderr)
    if arguments.pending and (unread := sum(len(process.records()) for process in chosen if not process.is_alive())):
        print(f"{unread} more in spools of ended processes: the next process of the app reads them.", file=sys.stderr)
    return 0


def _items(arguments: Namespace, chosen: list[Process]) -> Iterator[tuple[str, bytes]]:
    if not arguments.pending:
        for one in letters(chosen, arguments.code):
            yield one.process.destination, one.letter.row.item
        return
    for process in chosen:
        try:
            for row in pending_rows(process.database):
                yield process.destination, row.item
        except BacklogError as error:
            raise JournalError(f"{process.database} cannot be read ({error})") from error


@contextmanager
def _output(file: Path | None) -> Iterator[BinaryIO]:
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # users' names are in it
    except OSError as error:
        raise JournalError(f"{file} cannot be made ({error.strerror}): name a new file") from error
    with open(descriptor, "wb") as opened:
        yield opened
