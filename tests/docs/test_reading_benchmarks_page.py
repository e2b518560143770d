"""The benchmarks run, and the committed page is what they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarks import parsing
from benchmarks.answers import FAMILIES

PAGE = Path(__file__).parents[2] / "docs" / "reading-benchmarks.md"


def test_the_page_is_what_the_benchmark_prints_but_for_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "ROUNDS", 1)
    names = [re.findall(r"^\| (.+) \| [\d.-]+ \|$", page, re.MULTILINE) for page in (PAGE.read_text(), parsing.page())]
    assert names[0] == names[1]
    assert len(names[0]) > len(FAMILIES)
