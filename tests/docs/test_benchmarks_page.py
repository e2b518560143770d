"""The page that puts the peers beside us has everybody in it, and shows its charts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarks.peers.environments import versions
from benchmarks.peers.roster import ROSTER, SCENARIOS, entries

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "benchmarks.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return what is below a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def names(table: str) -> list[str]:
    """Return the first cells of a table's rows."""
    return re.findall(r"^\| ([^|\n]+?) \| [^|\n]*\d", table, re.MULTILINE)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_everybody_who_takes_part_in_a_scenario_is_in_its_table(scenario: str) -> None:
    assert names(section(SCENARIOS[scenario].title)) == [entry.name for entry in entries(scenario)][1:]


def test_everybody_who_serves_is_in_both_tables_end_to_end_and_ours_have_recorded_every_call() -> None:
    tables = section("End to end").split("The provider answers after ")[1:]
    assert len(tables) == 2
    for table in tables:
        assert names(table) == [entry.name for entry in ROSTER if entry.served]
        for entry in ROSTER:
            if entry.served and entry.ours:
                cells = next(line for line in table.splitlines() if line.startswith(f"| {entry.name} |")).split(" | ")
                assert cells[5:] == ["0", "0 |"], entry.name


def test_the_versions_are_those_that_the_benchmark_installs() -> None:
    assert f"\nVersions: {', '.join(versions())}.\n" in PAGE


@pytest.mark.parametrize("chart", ["asgi", "chat", "chat-async", "stream", "end-to-end"])
def test_each_chart_is_there_and_shown(chart: str) -> None:
    assert (DOCS / "charts" / f"{chart}.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert f"](charts/{chart}.svg)" in PAGE
