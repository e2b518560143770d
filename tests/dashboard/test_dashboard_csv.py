"""Every table as a file: all of its rows, exact amounts, and nothing that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import pytest

from payi_middleware.service.accounts.records import total_cost
from payi_middleware.service.dashboard.csv_export import lines, safe
from payi_middleware.service.dashboard.site import EXPORTS
from payi_middleware.service.dashboard.tables import Cell, Column, Name
from tests.dashboard.conftest import Site
from tests.dashboard.test_dashboard_sums import stored

LINKS = {
    "/": ("users", "accounts", "use-cases", "models", "spend-over-time"),
    "/spend/steps": ("steps",),
    "/spend/categories": ("categories",),
    "/requests": ("requests",),
    "/limits": ("limits",),
    "/limits/team": ("limit-users", "limit-requests", "spend-over-time"),
    "/use-cases": ("use-case-list",),
    "/use-cases/support-chat": ("instances", "steps"),
    "/unknown": ("unknown", "unpriced-units"),
    "/live": ("requests",),
}


def rows(text: str) -> list[dict[str, str]]:
    assert text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


@pytest.mark.parametrize("path", LINKS)
def test_each_table_of_a_page_leads_to_its_file(shared: Site, path: str) -> None:
    with shared.signed_in() as client:
        links = re.findall(r'class="export" href="([^"]+)"', client.get(path).text)
        told = {re.sub(r"/export/(.*)\.csv.*", r"\1", link) for link in links}
        assert set(LINKS[path]) <= told
        for link in links:
            answer = client.get(link.replace("&amp;", "&"))
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/csv; charset=utf-8"
            assert re.fullmatch(r'attachment; filename="[a-z-]+\.csv"', answer.headers["content-disposition"])
            assert rows(answer.text)


def test_a_request_has_files_of_its_units_limits_and_properties(shared: Site) -> None:
    with shared.signed_in() as client:
        (row, *_) = (row for row in stored(shared.ledger) if row["limits"] and row["units"] and row["resource_id"])
        request_id = row["request_id"]
        units = rows(client.get(f"/export/request-units.csv?request={request_id}").text)
        assert [unit["unit"] for unit in units] == ["text"]
        assert sum(Decimal(unit["cost"]) for unit in units) == total_cost(row)
        found = rows(client.get(f"/export/request-limits.csv?request={request_id}").text)
        assert {one["limit_id"]: one["state"] for one in found} == row["limits"]
        found = rows(client.get(f"/export/request-properties.csv?request={request_id}").text)
        assert {one["name"]: one["value"] for one in found} == row["properties"]


def test_a_file_has_every_request_of_the_period_with_its_exact_cost(shared: Site) -> None:
    with shared.signed_in() as client:
        told = rows(client.get("/export/requests.csv?period=90d").text)
    wanted = {row["request_id"]: total_cost(row) for row in stored(shared.ledger)}
    assert {row["request_id"]: Decimal(row["cost"]) for row in told} == wanted
    assert len(told) == len(wanted)
    assert {row["time"][-1] for row in told} == {"Z"}


def test_a_file_is_filtered_as_its_page_is(shared: Site) -> None:
    with shared.signed_in() as client:
        told = rows(client.get("/export/requests.csv?period=90d&user=alice&status=failed").text)
        assert told
        assert {(row["user"], row["status"]) for row in told} == {("alice", "failed")}
        users = rows(client.get("/export/users.csv?period=90d&use_case=support-chat").text)
        of_case = [row for row in stored(shared.ledger) if row["use_case_name"] == "support-chat"]
        assert sum(int(row["requests"]) for row in users) == len(of_case)
        assert sum(Decimal(row["cost"]) for row in users) == sum(total_cost(row) for row in of_case)


def test_long_lists_are_read_in_pieces_with_none_left_out(shared: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payi_middleware.service.dashboard.pages.requests._AT_ONCE", 7)
    monkeypatch.setattr("payi_middleware.service.dashboard.pages.use_cases._AT_ONCE", 2)
    with shared.signed_in() as client:
        told = [row["request_id"] for row in rows(client.get("/export/requests.csv?period=90d").text)]
        assert len(told) == len(set(told)) == len(stored(shared.ledger))
        instances = rows(client.get("/export/instances.csv?period=90d&use_case=support-chat").text)
        assert len(instances) == len({row["use_case_id"] for row in instances}) == 6


def test_names_that_would_be_formulas_are_made_harmless(shared: Site) -> None:
    with shared.signed_in() as client:
        users = {row["user"] for row in rows(client.get("/export/users.csv?period=90d").text)}
    assert "'=1+2" in users
    assert "=1+2" not in users


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])  # noqa: RUF001
def test_what_begins_a_formula_is_quoted(text: str) -> None:
    assert safe(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "alice@example.com", "'=1", "1-2"])
def test_what_does_not_is_left_alone(text: str) -> None:
    assert safe(text) == text


def test_numbers_stay_numbers_and_odd_texts_survive() -> None:
    columns = (Column("name", "Name"), Column("cost", "Cost", Cell.MONEY), Column("trend", "Trend", Cell.CHANGE))
    odd = 'a "b", c\r\nd'
    told = b"".join(
        lines(
            columns,
            [
                [{"name": Name(odd), "cost": Decimal("0.0000001"), "trend": -0.5}],
                [{"name": "half a pair \ud800", "cost": None, "trend": None}],
            ],
        )
    ).decode()
    first, second = rows(told)
    assert first == {"name": odd, "cost": "0.0000001", "trend": "-0.5"}
    assert second == {"name": r"half a pair \ud800", "cost": "", "trend": ""}


@pytest.mark.parametrize("path", ["/export/none.csv", "/export/users", "/export/users.csv?period=1y"])
def test_a_file_that_there_is_not_is_an_error_and_no_file(shared: Site, path: str) -> None:
    with shared.signed_in() as client:
        answer = client.get(path)
        assert answer.status_code in (400, 404)
        assert "text/html" in answer.headers["content-type"]


def test_every_file_can_be_had_without_rows(shared: Site) -> None:
    with shared.signed_in(shared.service.key()) as client:
        for name in EXPORTS:
            if not name.startswith("request-"):
                assert client.get(f"/export/{name}.csv").status_code == 200, name
