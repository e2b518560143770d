"""Tests of the transports run with both libraries; async ones on asyncio and trio."""

from __future__ import annotations

import importlib
from typing import Any

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    """httpx, then httpx2: a module object each, of the same shape and with unrelated classes."""
    return importlib.import_module(request.param)
