"""Another try for dead letters: by the process that has them while it lives, else by this one."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from payi_middleware.destinations import destination_of
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.journal import BacklogError
from payi_middleware.journal.inspection import Process, retry_dead_letters
from payi_middleware.meter import Meter
from payi_middleware.settings import Settings

from .bringing import Own, locked
from .looking import JournalError, Letter, chosen_processes, letters
from .showing import plain

__all__ = ["retry"]


@dataclass
class _Tally:
    """What was done: letters put back for living processes; left, by address; and not found any more."""

    living: int = 0
    missed: int = 0
    left: Counter[str] = field(default_factory=Counter)
    deliver: bool = False


def retry(arguments: Namespace, journal: Path) -> int:
    """Have dead letters delivered once more.

    Returns:
        0 if all are with a process that lives or were delivered, else 1.

    Raises:
        JournalError: there are no such letters, or the journal cannot be used.
    """
    chosen = chosen_processes(journal, arguments.destination)
    found = _found(chosen, arguments)
    settings, problem = _settings(journal)
    own = None if settings is None else Own(settings, any_key=arguments.any_key, everything=arguments.all)
    tally = _Tally()
    try:
        for process in chosen:
            _put_back(process, found.get(process, []), tally, own)
    finally:
        if own is not None:
            own.close()
    if tally.living:
        print(f"Put back: {tally.living}. The processes that have them deliver them within a minute.")
    if tally.missed:
        print(f"{tally.missed} were taken over by another process at this moment: look again.", file=sys.stderr)
    for address, count in tally.left.items():
        print(f"Left: {count}, as {_needed(address, settings, problem)}", file=sys.stderr)
    delivered = True
    if settings is not None and tally.deliver:
        delivered = _deliver(settings, arguments.timeout)
    elif not found:
        print("No dead letters.")
    return 0 if delivered and not tally.left and not tally.missed else 1


def _found(chosen: Sequence[Process], arguments: Namespace) -> Mapping[Process, list[int]]:
    found: dict[Process, list[int]] = {}
    named: dict[str, set[str]] = {prefix: set() for prefix in arguments.ids}
    for one in letters(chosen, arguments.code):
        if not named or _is_named(one, named):
            found.setdefault(one.process, []).append(one.letter.row.id)
    for prefix, ids in named.items():
        if len(ids) != 1:
            problem = "is the beginning of several ids" if ids else "is no dead letter's id"
            raise JournalError(f"{plain(prefix)} {problem}: see `payi-middleware journal list`; nothing was done")
    return found


def _is_named(one: Letter, named: Mapping[str, set[str]]) -> bool:
    matching = [ids for prefix, ids in named.items() if prefix and one.id.startswith(prefix)]
    for ids in matching:
        ids.add(one.id)
    return bool(matching)


def _settings(journal: Path) -> tuple[Settings | None, str | None]:
    try:
        return Settings(journal=journal, enabled=True), None
    except ConfigurationError as error:
        return None, str(error)


def _put_back(process: Process, ids: Sequence[int], tally: _Tally, own: Own | None) -> None:
    try:
        _put_back_somewhere(process, ids, tally, own)
    except (BacklogError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise JournalError(f"{process.database} cannot be written ({reason})") from error


def _put_back_somewhere(process: Process, ids: Sequence[int], tally: _Tally, own: Own | None) -> None:
    if process.is_alive():
        _put_back_living(process, ids, tally)
    elif own is None or not own.takes(process):
        if ids:
            tally.left[process.destination] += len(ids)
    elif own.has_work(process, ids):
        with locked(process) as held:
            if held:
                own.put_back(process, ids)
                tally.deliver = True
            else:
                tally.missed += len(ids)


def _put_back_living(process: Process, ids: Sequence[int], tally: _Tally) -> None:
    if not ids:
        return
    moved = retry_dead_letters(process.database, ids)
    if not process.spool.exists():  # it ended meanwhile, and whoever took over may have read the letters as dead
        moved = 0
    tally.living += moved
    tally.missed += len(ids) - moved


def _needed(destination: str, settings: Settings | None, problem: str | None) -> str:
    """Say what it takes to deliver what an ended process has left for another destination."""
    if problem is not None:
        return f"the settings are wrong: {problem}"
    if settings is not None and destination_of(settings) == destination:
        return (
            f"the processes that had them have ended, and sent them to {plain(destination)} with another PAYI_API_KEY "
            "or PAYI_USER_ID_HMAC_KEY, or with a `redact`: set these as the app has them, or say --any-key to send "
            "them with these"
        )
    if destination.startswith(("http://", "https://")):
        needed = f"PAYI_BASE_URL={plain(destination)}, and PAYI_API_KEY and PAYI_USER_ID_HMAC_KEY as the app has them"
    else:
        needed = f"PAYI_LEDGER={plain(destination)} and no PAYI_API_KEY or PAYI_BASE_URL"
    return f"the processes that had them have ended: set {needed}, or start the app and then retry"


def _deliver(settings: Settings, timeout: float) -> bool:
    """Take over what ended processes have left for these settings' destination, and deliver it."""
    print(f"Delivering to {plain(destination_of(settings))} ...", file=sys.stderr, flush=True)
    meter = Meter(settings)
    try:
        meter.open()
        deadline = monotonic() + timeout
        # once for taking over what there is, and again for what is sent once more in another form
        while meter.flush(max(0.0, deadline - monotonic())) and meter.stats()["queued"]:
            pass
        stats = meter.stats()
    finally:
        meter.close(0)
    print(f"Delivered: {stats['delivered']}.")
    if stats["refused"]:
        print(f"Refused again: {stats['refused']} ({plain(stats['last_error'])}).", file=sys.stderr)
    if stats["queued"]:
        why = f" ({plain(stats['last_error'])})" if stats["last_error"] else ""
        left = f"{stats['queued']} cannot be delivered at present{why}"
        print(f"{left}: they wait in the journal for the next process.", file=sys.stderr)
    return not stats["refused"] and not stats["queued"]
