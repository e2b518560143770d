"""Where tests find a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

import pytest
from playwright.sync_api import Browser, sync_playwright

__all__ = ["PATIENCE", "launched"]

PATIENCE = 30_000
"""Milliseconds that a browser waits for what has to come."""
_HOW = "apt-get install chromium"
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@contextmanager
def launched() -> Iterator[Browser]:
    """Start a real Chromium, without a window. Without one a test is skipped; on CI, it fails.

    While it is open, its thread counts as one with a running event loop, and whatever starts another there fails: so
    fixtures keep it for a module at most, as a session goes on with modules that do.
    """
    path = which("chromium") or which("chromium-browser") or which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"there is no Chromium: {_HOW}")
        pytest.skip(f"there is no Chromium: {_HOW}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_QUIET))
        yield browser
        browser.close()
