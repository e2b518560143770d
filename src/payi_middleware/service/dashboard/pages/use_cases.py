"""Use cases: what each one costs, its instances, and how they score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from payi_middleware.service.dashboard.filters import Dimension, Filters
from payi_middleware.service.dashboard.queries.breakdown import breakdown
from payi_middleware.service.dashboard.queries.budgets import budget
from payi_middleware.service.dashboard.queries.cases import (
    INSTANCES,
    InstanceCursor,
    Kpi,
    as_number,
    definition,
    definitions,
    instance,
    instances,
    kpis_of,
    scores_of,
)
from payi_middleware.service.dashboard.queries.lists import newest
from payi_middleware.service.dashboard.queries.sums import Sums, grouped, over_time, total
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Cell, Column, Name, Row, Table
from payi_middleware.service.store.names import Kind, key_of, pair

from .charting import Series, chart
from .context import Export, NotThereError, Page, Read
from .listing import COLUMNS, request_row
from .named_rows import columns_of, row_of

__all__ = ["EXPORTS", "use_case", "use_case_instance", "use_cases"]

_AT_ONCE = 1_000
_ALL = (
    Column("use_case", "Use case", Cell.NAME, heads=True),
    Column("description", "Description"),
    Column("type_version", "Version", Cell.COUNT),
    Column("cost", "Spend", Cell.MONEY),
    Column("requests", "Requests", Cell.COUNT),
    Column("failed", "Failed", Cell.COUNT),
    Column("mean_cost", "Per request", Cell.MONEY),
    Column("updated", "Changed (UTC)", Cell.TIME),
)
_VERSION = Column("type_version", "Version", Cell.COUNT)
_KPIS = (
    Column("kpi", "KPI", heads=True),
    Column("description", "Description"),
    Column("type", "Type"),
    Column("goal", "Goal", Cell.NUMBER),
    _VERSION,
    Column("mean", "Mean score", Cell.NUMBER),
    Column("scored", "Scored", Cell.COUNT),
    Column("reached", "Reached the goal", Cell.PERCENT),
)
_SCORES = (
    Column("kpi", "KPI", heads=True),
    Column("type", "Type"),
    Column("goal", "Goal", Cell.NUMBER),
    Column("score", "Score", Cell.NUMBER),
    Column("updated", "Scored (UTC)", Cell.TIME),
)
_PROPERTIES = (Column("name", "Name", heads=True), Column("value", "Value"))


def _rows(view: View, page: Page) -> list[Row]:
    sums = dict(grouped(view, page.filters, Dimension.USE_CASE))
    rows: list[Row] = [
        {
            "use_case": Name(row["use_case_name"], page.url("/use-cases/" + _segment(row["use_case_name"]))),
            "description": row["description"],
            "type_version": row["type_version"],
            "updated": row["updated_timestamp"],
            **_spent(sums.get((key_of(Kind.USE_CASE, row["use_case_name"]),), Sums())),
        }
        for row in definitions(view)
    ]
    rows.sort(key=lambda row: row["cost"], reverse=True)
    return rows


def _segment(name: str) -> str:
    return quote(name, safe="")


def _spent(sums: Sums) -> dict[str, Any]:
    return {"cost": sums.cost, "requests": sums.requests, "failed": sums.failed, "mean_cost": sums.mean_cost}


def use_cases(view: View, page: Page) -> dict[str, Any]:
    """Return the page of all use cases."""
    return {
        "table": Table(
            name="use-case-list",
            caption="Use cases",
            columns=_ALL,
            rows=_rows(view, page),
            empty="There are no use cases yet. Name one: track_context(use_case_name=...), or xProxy-UseCase-Name.",
            export=page.url("/export/use-case-list.csv"),
        )
    }


def _about(page: Page, name: str) -> Filters:
    return page.filters.without(*Dimension, "status").having({Dimension.USE_CASE: name})


def use_case(view: View, page: Page, name: str) -> dict[str, Any]:
    """Return the page of one use case.

    Raises:
        NotThereError: there is none.
    """
    defined = definition(view, name)
    about = _about(page, name)
    everything = total(view, about)
    if defined is None and not everything.requests:
        raise NotThereError("There is no such use case, or it is another application's.")
    found = kpis_of(view, name)
    bars = over_time(view, about)
    here = replace(page, filters=about)
    steps = breakdown(view, about, Dimension.STEP, limit=20)
    return {
        "name": name,
        "definition": defined,
        "everything": everything,
        "overview_url": page.url("/", about),
        "chart": chart(about.period, [Series("Spend", bars)], "Spend over time", bars, here),
        "tables": [
            _kpi_table(page, name, found, defined["type_version"] if defined else None),
            Table(
                name="steps",
                caption="By step",
                columns=columns_of(Dimension.STEP, short=True),
                rows=[row_of(here, Dimension.STEP, part, everything) for part in steps],
                empty="Its requests in this period name no steps.",
                export=here.url("/export/steps.csv"),
            ),
            _instance_table(view, page, name, found),
        ],
    }


def _kpi_rows(found: Sequence[Kpi]) -> list[Row]:
    return [
        {
            "kpi": kpi.name,
            "description": kpi.description,
            "type": kpi.type,
            "goal": kpi.goal,
            "type_version": scores.version,
            "mean": scores.mean,
            "scored": scores.scored,
            "reached": scores.reached / scores.scored if scores.scored and kpi.goal is not None else None,
        }
        for kpi in found
        for scores in kpi.scores
    ]


def _kpi_table(page: Page, name: str, found: Sequence[Kpi], newest: int | None) -> Table:
    versions = {scores.version for kpi in found for scores in kpi.scores}
    # The page's head tells the newest version: where all scores are of that one, a column of it would say nothing.
    apart = not versions <= {newest, None}
    return Table(
        name="kpis",
        caption="KPIs",
        columns=[column for column in _KPIS if apart or column is not _VERSION],
        rows=_kpi_rows(found),
        empty="It has no KPIs yet. Make one: POST /api/v1/use_cases/definitions/{use_case_name}/kpis",
        export=page.plain_url("export", "kpis.csv", use_case=name),
        note="A score counts for the version that its instance was made under." if apart else "",
    )


def _instance_columns(found: Iterable[Kpi]) -> list[Column]:
    return [
        Column("use_case_id", "Instance", Cell.NAME, heads=True),
        Column("created", "Begun (UTC)", Cell.TIME),
        Column("type_version", "Version", Cell.COUNT),
        Column("cost", "Spend", Cell.MONEY),
        Column("requests", "Requests", Cell.COUNT),
        Column("failed", "Failed", Cell.COUNT),
        *(Column(f"kpi:{kpi.name}", kpi.name, Cell.NUMBER) for kpi in found),
        Column("limit_id", ""),
    ]


def _instance_rows(view: View, page: Page, name: str, rows: Sequence[Mapping[Any, Any]]) -> list[Row]:
    use_case_key = key_of(Kind.USE_CASE, name)
    keys = {row["use_case_id"]: (use_case_key, key_of(Kind.INSTANCE, pair(name, row["use_case_id"]))) for row in rows}
    about = _about(page, name)
    sums = dict(grouped(view, about, Dimension.INSTANCE, only=list(keys.values()))) if keys else {}
    scores = scores_of(view, name, keys)
    return [
        {
            "use_case_id": Name(row["use_case_id"], page.plain_url("use-cases", name, row["use_case_id"])),
            "created": row["created_timestamp"],
            "type_version": row["type_version"],
            "limit_id": row["limit_id"],
            **_spent(sums.get(keys[row["use_case_id"]], Sums())),
            **{f"kpi:{kpi}": as_number(score["score"]) for kpi, score in scores.get(row["use_case_id"], {}).items()},
        }
        for row in rows
    ]


def _instance_table(view: View, page: Page, name: str, found: Sequence[Kpi]) -> Table:
    after = InstanceCursor.parse(page.parameters.get("after", ""))
    rows = instances(view, name, after, INSTANCES + 1)
    here, more = f"/use-cases/{_segment(name)}", None
    if len(rows) > INSTANCES:
        rows = rows[:INSTANCES]
        more = page.url(here, after=str(InstanceCursor(rows[-1]["created_timestamp"], rows[-1]["use_case_id"])))
    return Table(
        name="instances",
        caption="Instances, the newest first",
        columns=_instance_columns(found),
        rows=_instance_rows(view, page, name, rows),
        empty="It has no instances yet.",
        export=page.url("/export/instances.csv", _about(page, name)),
        more=more,
        less=page.url(here) if after is not None else None,
        note="What an instance has spent is within the period chosen above.",
    )


def use_case_instance(view: View, page: Page, name: str, use_case_id: str) -> dict[str, Any]:
    """Return the page of one instance.

    Raises:
        NotThereError: there is none.
    """
    row = instance(view, name, use_case_id)
    if row is None:
        raise NotThereError("There is no such instance, or it is another application's.")
    about = _about(page, name).having({Dimension.INSTANCE: use_case_id})
    here = replace(page, filters=about)
    everything = total(view, about)
    limit = None if row["limit_id"] is None else budget(view, row["limit_id"])
    export = {"use_case": name, "instance": use_case_id}
    steps = breakdown(view, about, Dimension.STEP)
    return {
        "name": name,
        "use_case_id": use_case_id,
        "row": row,
        "everything": everything,
        "use_case_url": page.url(f"/use-cases/{_segment(name)}"),
        "limit": limit,
        "limit_url": None if limit is None else page.plain_url("limits", limit.limit_id),
        "tables": [
            Table(
                name="scores",
                caption="KPI scores",
                columns=_SCORES,
                rows=_score_rows(view, name, use_case_id),
                empty="Its use case has no KPIs yet.",
                export=page.plain_url("export", "scores.csv", **export),
            ),
            Table(
                name="steps",
                caption="By step",
                columns=columns_of(Dimension.STEP, short=True),
                rows=[row_of(here, Dimension.STEP, part, everything) for part in steps],
                export=here.url("/export/steps.csv"),
            ),
            Table(
                name="requests",
                caption="Its requests, the newest first",
                columns=COLUMNS,
                rows=[request_row(page, found) for found in newest(view, about)],
                export=here.url("/export/requests.csv"),
                more=here.url("/requests"),
            ),
            Table(
                name="instance-properties",
                caption="Properties",
                columns=_PROPERTIES,
                rows=[{"name": key, "value": value} for key, value in sorted((row["properties"] or {}).items())],
                empty="It has none.",
                export=page.plain_url("export", "instance-properties.csv", **export),
            ),
        ],
    }


def _score_rows(view: View, name: str, use_case_id: str) -> list[Row]:
    scores = scores_of(view, name, [use_case_id]).get(use_case_id, {})
    return [
        {
            "kpi": kpi.name,
            "type": kpi.type,
            "goal": kpi.goal,
            "score": as_number(scores[kpi.name]["score"]) if kpi.name in scores else None,
            "updated": scores[kpi.name]["updated_timestamp"] if kpi.name in scores else None,
        }
        for kpi in kpis_of(view, name)
    ]


def _named(page: Page) -> str:
    return page.filters.values.get(Dimension.USE_CASE) or ""


def _instance_named(page: Page) -> str:
    return page.filters.values.get(Dimension.INSTANCE) or ""


def _all_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: _rows(view, page))


def _kpis_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: _kpi_rows(kpis_of(view, _named(page))))


def _scores_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: _score_rows(view, _named(page), _instance_named(page)))


def _properties_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    def rows(view: View) -> list[Row]:
        row: Mapping[Any, Any] = instance(view, _named(page), _instance_named(page)) or {}
        return [{"name": key, "value": value} for key, value in sorted((row.get("properties") or {}).items())]

    yield read(rows)


def _instances_export(page: Page, read: Read[Any]) -> Iterator[Iterable[Row]]:
    after: InstanceCursor | None = None
    while True:
        last = after
        rows = read(lambda view: instances(view, _named(page), last, _AT_ONCE))  # noqa: B023 - called at once
        yield read(lambda view: _instance_rows(view, page, _named(page), rows))  # noqa: B023 - called at once
        if len(rows) < _AT_ONCE:
            return
        after = InstanceCursor(rows[-1]["created_timestamp"], rows[-1]["use_case_id"])


EXPORTS: dict[str, Export] = {
    "use-case-list": Export(lambda _page, _read: _ALL, _all_export),
    "kpis": Export(lambda _page, _read: _KPIS, _kpis_export),
    "scores": Export(lambda _page, _read: _SCORES, _scores_export),
    "instance-properties": Export(lambda _page, _read: _PROPERTIES, _properties_export),
    "instances": Export(
        lambda page, read: _instance_columns(read(lambda view: kpis_of(view, _named(page)))), _instances_export
    ),
}
