"""How JSON is written for the databases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from payi_middleware.service.store.encoding import encoded


def nested(depth: int) -> list[Any]:
    """Return lists in lists."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "value",
    [
        {"text": {"input": 19, "output": 500}},
        {"a": 10**40, "b": -(10**30), "c": 1e22, "d": 5e-324, "e": 0.1 + 0.2, "f": True, "g": None, "h": float("inf")},
        {"quotes": '"\\/\x1f\x7f\u2028', "é": "日本", "half": "\ud800"},
        [],
        {},
        nested(600),
    ],
    ids=["units", "numbers", "texts", "no list", "no object", "deep"],
)
def test_what_is_written_is_ascii_and_reads_as_what_it_was(value: Any) -> None:
    text = encoded(value).text

    assert text.isascii()
    assert json.loads(text) == value
