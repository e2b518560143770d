"""The benchmarks of the delivery run, and the committed page is what they print."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import delivery, lag, outage

from tests.docs.benchmark_pages import words

PAGE = Path(__file__).parents[2] / "docs" / "delivery-benchmarks.md"


def test_the_page_is_what_the_benchmarks_print_but_for_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (delivery, "WRITES", 10), (delivery, "ROUNDS", 1), (delivery, "REPORTS", 200), (lag, "SECONDS", 0.2),
        (lag, "ROUNDS", 1), (outage, "HOUR", 400), (outage, "REQUESTS", 5),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("PAYI_JOURNAL", "off")
    held_up = r"The loop may be held up.*?\n\n"  # or may not
    assert words(delivery.page(), held_up) == words(PAGE.read_text(), held_up)
