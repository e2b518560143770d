"""The benchmark of the parts of a call runs, reports what it is to report, and the committed page is what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import stages

from tests.docs.benchmark_pages import words

PAGE = Path(__file__).parents[2] / "docs" / "call-benchmarks.md"


def test_the_page_of_a_call_is_what_its_benchmark_prints_but_for_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("STARTS", 1), ("ROUNDS", 1), ("_CALLS", 5)):
        monkeypatch.setattr(stages, name, value)
    assert words(stages.page()) == words(PAGE.read_text(encoding="utf-8"))
