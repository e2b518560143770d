"""Whether a library may be there that sends a call on, whatever lies among the loaded modules."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest

from payi_middleware.underway import may_be_sent_on


@pytest.mark.parametrize("name", ["aiohttp", "requests"])
def test_a_stand_in_without_a_spec_counts_as_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    may_be_sent_on.cache_clear()
    assert may_be_sent_on()
    may_be_sent_on.cache_clear()


@pytest.mark.parametrize(("found", "expected"), [(None, False), (ValueError("no spec"), True)])
def test_what_is_not_installed_sends_nothing_on(
    found: Exception | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> Any:
        if found is not None:
            raise found

    for name in ("aiohttp", "requests"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    may_be_sent_on.cache_clear()
    assert may_be_sent_on() is expected
    may_be_sent_on.cache_clear()
