"""Requests as they come in."""

from __future__ import annotations

from typing import Any

from payi_middleware.service.dashboard.queries.lists import latest
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Table

from .context import Page
from .listing import COLUMNS, request_row

__all__ = ["live"]

_ROWS = 25


def live(view: View, page: Page) -> dict[str, Any]:
    """Return the page, or the part of it that changes."""
    rows = latest(view, _ROWS)
    newest = rows[0]["request_id"] if rows else ""
    return {
        "newest": newest,
        "unchanged": page.parameters.get("newest") == newest,
        "poll": page.plain_url("live", "rows", newest=newest),
        "table": Table(
            name="live",
            caption="The latest requests",
            columns=COLUMNS,
            rows=[request_row(page, row) for row in rows],
            empty="Nothing has come in yet. What your app reports appears here within seconds.",
            export=page.url("/export/requests.csv"),
        ),
    }
