"""Journals as people and programs read them. Nothing of a prompt or an answer is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from .looking import Letter, State

__all__ = ["letter_facts", "letter_lines", "moment", "plain", "status_facts", "status_lines"]

_HEADINGS = ("process", "alive", "waiting", "oldest", "dead", "spool", "size")
_ALIVE = {True: "yes", False: "no", None: "?"}
_SHORT = 8


def plain(text: object) -> str:
    """Return a text without what would move the cursor or colour the screen."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def moment(seconds: float) -> str:
    """Return a moment, in seconds since 1970, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def status_facts(journal: Path | None, states: Sequence[State], aside: Sequence[Path], now: float) -> dict[str, Any]:
    """Return the state of a journal as JSON."""
    return {
        "journal": None if journal is None else str(journal),
        "destinations": [
            {"id": directory.name, "destination": destination, "processes": [_process(state, now) for state in own]}
            for (directory, destination), own in _by_destination(states)
        ],
        "set_aside": [str(file) for file in aside],
        "totals": {"processes": len(states), "alive": sum(state.alive is True for state in states)}
        | _sums(states, now),
    }


def _by_destination(states: Sequence[State]) -> Iterator[tuple[tuple[Path, str], list[State]]]:
    for key, own in groupby(states, lambda state: (state.process.directory, state.process.destination)):
        yield key, list(own)


def _process(state: State, now: float) -> dict[str, Any]:
    problem = {} if state.problem is None else {"problem": state.problem}
    return {"process": state.process.name, "alive": state.alive} | _sums([state], now) | problem


def _sums(states: Sequence[State], now: float) -> dict[str, Any]:
    oldest = min((state.oldest for state in states if state.oldest is not None), default=None)
    return {
        "pending": sum(state.counts.pending for state in states),
        "oldest_age": None if oldest is None else round(max(0.0, now - oldest), 3),
        "dead_letters": sum(state.counts.dead for state in states),
        "spool_records": sum(state.records for state in states),
        "bytes": sum(state.size for state in states),
    }


def status_lines(journal: Path, states: Sequence[State], aside: Sequence[Path], now: float) -> Iterator[str]:
    """Yield the state of a journal, a table for each destination."""
    yield f"Journal {journal}"
    for (_, destination), own in _by_destination(states):
        rows = [(state.process.name[:_SHORT], _ALIVE[state.alive], *_cells(_sums([state], now))) for state in own]
        yield from ("", plain(destination), *_table([_HEADINGS, *rows]))
        yield from (f"  {state.process.name[:_SHORT]}: {plain(state.problem)}" for state in own if state.problem)
    total = _sums(states, now)
    waiting, oldest, dead, spooled, size = _cells(total)
    since = f" (the oldest for {oldest})" if total["oldest_age"] is not None else ""
    yield f"\nIn all: {waiting} waiting{since}, {spooled} in spools, {dead} dead letters, {size}."
    if total["dead_letters"]:
        yield "See them with `payi-middleware journal list`."
    if aside:
        yield f"{len(aside)} files could not be read by any process and were set aside, such as {aside[0]}."


def _cells(sums: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    return (
        str(sums["pending"]),
        _age(sums["oldest_age"]),
        str(sums["dead_letters"]),
        str(sums["spool_records"]),
        f"{sums['bytes'] / 1024**2:.1f} MiB",
    )


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join(("", name.ljust(widths[0]), *numbers))


def letter_facts(one: Letter) -> dict[str, Any]:
    """Return a dead letter as JSON."""
    letter = one.letter
    item = _item(letter.row.item)
    return {
        "id": one.id,
        "destination": one.process.destination,
        "process": one.process.name,
        "refused": moment(letter.refused),
        "recorded": moment(letter.row.recorded),
        "status": letter.status or None,
        "code": letter.code,
        "message": letter.message,
    } | {name: item.get(name) for name in ("category", "resource", "provider_response_id", "user_id")}


def _item(text: bytes) -> Mapping[str, Any]:
    try:
        item = json.loads(text)
    except ValueError:
        return {}
    return item if isinstance(item, dict) else {}


def letter_lines(one: Letter) -> Iterator[str]:
    """Yield a dead letter in two lines."""
    facts = letter_facts(one)
    about = f"{facts['category'] or '-'}/{facts['resource'] or '-'}"
    reason = " ".join(str(part) for part in (facts["status"], facts["code"]) if part)
    parts = (facts["id"], facts["refused"], reason, about, facts["provider_response_id"] or "-")
    user = f"  user {facts['user_id']}" if facts["user_id"] is not None else ""
    yield plain("  ".join(parts) + user)
    yield plain(f"    {facts['message']}  [{facts['destination']}]")
