"""Exchanges that lie where they are until somebody asks for them."""

from __future__ import annotations

import pytest

from payi_middleware.delivery import dispatcher, gathering

__all__ = ["let_lie"]


def let_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody look for exchanges that nobody waits for, from the next meter on."""
    monkeypatch.setattr(gathering, "_UNWANTED", 3600.0)
    monkeypatch.setattr(dispatcher, "_CHORES", 3600.0)
