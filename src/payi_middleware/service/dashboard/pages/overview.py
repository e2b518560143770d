"""The first page: what was spent, when, by whom, on what, and what needs looking at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from payi_middleware.service.dashboard.filters import Dimension, Status
from payi_middleware.service.dashboard.formatting import change, count, duration, money, percent
from payi_middleware.service.dashboard.queries.breakdown import breakdown
from payi_middleware.service.dashboard.queries.plan import is_quick
from payi_middleware.service.dashboard.queries.sums import Sums, over_time, total
from payi_middleware.service.dashboard.queries.view import View

from .charting import Series, chart
from .context import TITLES, Later, NotThereError, Page, takes_long
from .limits import pressing
from .spend import DIMENSIONS, panel, stacked
from .unknown import count_unpriced

__all__ = ["lazy_panel", "overview"]

_PANELS = ("models", "use-cases", "users", "accounts", "steps")
_BY_DEFAULT = 4


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure, and by which fraction it has changed. `worse` says whether more is worse, if it is either."""

    title: str
    value: str
    detail: str
    change: float | None
    worse: bool = False


def overview(view: View, page: Page) -> dict[str, Any]:
    """Return the page."""
    filters = page.filters
    everything = total(view, filters)
    before = total(view, filters.during(filters.period.before))
    return {
        "everything": everything,
        "tiles": _tiles(everything, before),
        "chart": _chart(view, page),
        "panels": [_panel(view, page, path, everything) for path in _shown(page)],
        "limits": [] if filters.narrows else pressing(view, page),
        "unpriced": 0 if filters.narrows else count_unpriced(view, filters),
        "failed_url": page.url("/requests", filters.with_status(Status.FAILED)),
    }


def _shown(page: Page) -> Sequence[str]:
    """Return the breakdowns that tell something: not by what is filtered by."""
    fixed = set(page.filters.values)
    if Dimension.CATEGORY in fixed and Dimension.RESOURCE not in fixed:
        fixed.discard(Dimension.CATEGORY)
    return [path for path in _PANELS if DIMENSIONS[path] not in fixed][:_BY_DEFAULT]


def _panel(view: View, page: Page, path: str, everything: Sums) -> Any:
    dimension = DIMENSIONS[path]
    if is_quick(page.filters, dimension) and not takes_long(page, dimension):
        return panel(view, page, dimension, everything)
    return Later(f"By {TITLES[dimension][0].lower()}", page.url(f"/panel/{path}"))


def lazy_panel(view: View, page: Page, path: str) -> dict[str, Any]:
    """Return one of the tables, of those that take a while."""
    if path not in _PANELS:
        raise NotThereError("There is no such breakdown.")
    return {"table": panel(view, page, DIMENSIONS[path], total(view, page.filters))}


def _chart(view: View, page: Page) -> Any:
    if is_quick(page.filters, Dimension.RESOURCE) and Dimension.RESOURCE not in page.filters.values:
        top = breakdown(view, page.filters, Dimension.RESOURCE, limit=5, with_before=False)
        return stacked(view, page, Dimension.RESOURCE, top)
    bars = over_time(view, page.filters)
    return chart(page.filters.period, [Series("Spend", bars)], "Spend over time", bars, page)


def _tiles(now: Sums, before: Sums) -> list[Tile]:
    mean = now.mean_cost
    return [
        Tile(
            "Spend",
            money(now.cost),
            f"in {money(now.input_cost)} · out {money(now.output_cost)}",
            change(now.cost, before.cost),
        ),
        Tile(
            "Requests",
            count(now.requests),
            f"{money(mean)} each" if mean is not None else "",
            change(now.requests, before.requests),
        ),
        Tile(
            "Tokens",
            count(now.tokens),
            f"in {count(now.input_tokens)} · out {count(now.output_tokens)}",
            change(now.tokens, before.tokens),
        ),
        Tile(
            "Failed",
            count(now.failed),
            _failures(now),
            change(now.failure_rate or 0, before.failure_rate or 0),
            worse=True,
        ),
        Tile(
            "Mean latency",
            duration(now.mean_latency),
            f"of {count(now.timed)} timed requests" if now.timed else "",
            change(now.mean_latency or 0, before.mean_latency or 0),
            worse=True,
        ),
    ]


def _failures(sums: Sums) -> str:
    told = percent(sums.failure_rate, 2) if sums.requests else ""
    return f"{told} · {count(sums.blocked)} blocked" if sums.blocked else told
