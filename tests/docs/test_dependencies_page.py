"""The page of dependencies names the versions that are tried."""

from __future__ import annotations

import re
from pathlib import Path

from tests.compat.run import ROWS

PAGE = Path(__file__).parents[2] / "docs" / "dependencies.md"
_TOLD = re.compile(r"^\| ([a-z0-9-]+) \| ([\d.]+) \| ([\d.]+)?", re.MULTILINE)
TOLD = {name: (metered, results) for name, metered, results in _TOLD.findall(PAGE.read_text(encoding="utf-8"))}
OLDEST = {row.name: dict(pin.split("==") for pin in row.requirements if "==" in pin) for row in ROWS}


def test_the_oldest_versions_that_are_tried_are_those_that_are_told() -> None:
    tried = {**OLDEST["oldest-sdks"], **OLDEST["oldest-aiobotocore"]}
    assert {name: metered for name, (metered, _) in TOLD.items()} == {
        name: version for name, version in tried.items() if name != "botocore"
    }


def test_results_are_told_from_the_versions_that_are_tried_for_them() -> None:
    assert OLDEST["oldest-results"].items() <= {name: results for name, (_, results) in TOLD.items()}.items()


def test_each_of_them_is_tried_in_its_newest_version_too() -> None:
    newest = {one for row in ROWS if row.name.startswith("newest") for one in row.requirements}
    assert set(TOLD) <= newest
