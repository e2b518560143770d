"""Every example of docs/identity.md runs as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "identity.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.count("\n")))
def test_an_example_of_the_guide_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    exec(compile(example, str(GUIDE), "exec"), {"__name__": "example"})


def test_the_guide_has_examples_of_every_source() -> None:
    text = "".join(EXAMPLES)

    for name in ("AuthenticatedUser", "Session", "Headers", "Baggage", "JWT", "Route", "async def", "explain"):
        assert name in text
