"""Every page on both databases, with what the API has made: KPIs, scores, resets, prices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import own
from payi_middleware.service.prices.own import NewResource, Pair
from tests.dashboard.conftest import Site
from tests.dashboard.test_dashboard_csv import rows
from tests.dashboard.test_dashboard_sums import stored
from tests.dashboard.world import fill
from tests.service_api.serving import served

API = "/api/v1"
CASE = f"{API}/use_cases/definitions/support-chat"
INSTANCE = f"{API}/use_cases/instances/support-chat/case%203%2F%CE%B2"
PAGES = (
    "/",
    "/?period=24h",
    "/?period=90d",
    "/?user=alice",
    "/?category=system.openai",
    "/?category=system.openai&resource=gpt-4o&status=ok",
    "/?no=user&use_case=support-chat",
    "/?limit=team",
    "/panel/users?use_case=support-chat&step=answer",
    *(f"/spend/{path}" for path in ("users", "accounts", "use-cases", "steps", "models", "categories")),
    "/spend/users?period=90d",
    "/table/users?period=90d&sort=latency",
    "/requests",
    "/requests?sort=dearest",
    "/requests?sort=slowest&period=24h",
    "/requests?status=blocked&period=90d",
    "/requests?limit=team&user=alice",
    "/limits",
    "/limits/team",
    "/limits/trial%2F1",
    "/use-cases",
    "/use-cases/support-chat?period=90d",
    "/use-cases/support-chat/case%203%2F%CE%B2?period=90d",
    "/unknown",
    "/live",
    "/live/rows",
    "/suggest/user?user=a",
    "/suggest/resource?resource=gpt",
)


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    with served(database) as service:
        fill(service.ledger)
        site = Site(service, service.key("default"))
        with site.signed_in() as signed_in:
            signed_in.headers["xProxy-api-key"] = site.key
            yield signed_in


def texts(page: str) -> str:
    """Return what is shown of a page."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_every_page_answers(client: httpx.Client) -> None:
    assert {path: client.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)


def test_kpis_are_shown_with_the_mean_of_their_scores_and_how_many_have_reached_the_goal(client: httpx.Client) -> None:
    for name, kind, goal in (("solved", "boolean", 1), ("liked", "likert5", 4)):
        body = {"name": name, "description": f"Was it {name}?", "goal": goal, "kpi_type": kind}
        assert client.post(f"{CASE}/kpis", json=body).is_success
    for number, (solved, liked) in enumerate([(True, 5), (False, 2), (True, 3)], 3):
        instance = INSTANCE.replace("case%203", f"case%20{number}")
        assert client.put(f"{instance}/kpis/solved", json={"score": solved}).is_success
        assert client.put(f"{instance}/kpis/liked", json={"score": liked}).is_success
    page = texts(client.get("/use-cases/support-chat?period=90d").text)
    assert "liked Was it liked? likert5 4 3.333 3 33.3%" in page
    assert "solved Was it solved? boolean 1 0.667 3 66.7%" in page
    one = texts(client.get("/use-cases/support-chat/case%203%2F%CE%B2?period=90d").text)
    assert "liked likert5 4 5 " in one
    told = client.get("/export/kpis.csv?use_case=support-chat").text
    assert "liked,Was it liked?,likert5,4,1,3.33" in told
    told = client.get("/export/scores.csv?use_case=support-chat&instance=case%203%2F%CE%B2").text
    assert "solved,boolean,1,1," in told


@pytest.fixture
def versions(client: httpx.Client) -> httpx.Client:
    """A client of a use case at version 2, with a KPI that only an instance of version 1 has a score of."""
    body = {"name": "liked", "description": "Was it liked?", "goal": 4, "kpi_type": "likert5"}
    assert client.post(f"{CASE}/kpis", json=body).is_success
    assert client.put(f"{INSTANCE}/kpis/liked", json={"score": 5}).is_success
    assert client.post(f"{CASE}/increment_version").is_success
    return client


def test_the_mean_of_a_kpi_is_that_of_one_version_and_the_newest_comes_first(versions: httpx.Client) -> None:
    new = versions.post(f"{API}/use_cases/instances/support-chat").json()["use_case_id"]
    late = INSTANCE.replace("case%203", "case%204")
    for instance, score in ((f"{API}/use_cases/instances/support-chat/{new}", 2), (late, 4)):
        assert versions.put(f"{instance}/kpis/liked", json={"score": score}).is_success
    page = texts(versions.get("/use-cases/support-chat").text)
    assert "Goal Version Mean score" in page
    assert "likert5 4 2 2 1 0.0% liked Was it liked? likert5 4 1 4.5 2 100.0%" in page
    told = versions.get("/export/kpis.csv?use_case=support-chat").text.splitlines()
    assert [line.split(",")[4:7] for line in told] == [
        ["type_version", "mean", "scored"],
        ["2", "2.0", "1"],
        ["1", "4.5", "2"],
    ]
    (header, *instances) = versions.get("/export/instances.csv?use_case=support-chat").text.splitlines()
    assert header.endswith(",kpi:liked,limit_id")
    assert len(instances) == 7


def test_a_mean_of_another_version_than_the_newest_says_so(versions: httpx.Client) -> None:
    page = texts(versions.get("/use-cases/support-chat").text)
    assert "Goal Version Mean score" in page
    assert "likert5 4 1 5 1 100.0%" in page


def test_versions_are_not_told_where_all_scores_are_of_the_newest(client: httpx.Client) -> None:
    body = {"name": "liked", "description": "Was it liked?", "goal": 4, "kpi_type": "likert5"}
    assert client.post(f"{CASE}/kpis", json=body).is_success
    assert "Goal Mean score" in texts(client.get("/use-cases/support-chat").text)
    assert client.put(f"{INSTANCE}/kpis/liked", json={"score": 5}).is_success
    assert "Goal Mean score" in texts(client.get("/use-cases/support-chat").text)


def test_a_limit_that_was_reset_shows_what_it_had_been_charged_with(client: httpx.Client) -> None:
    before = client.get(f"{API}/limits/team").json()["limit"]["totals"]
    assert client.post(f"{API}/limits/team/reset").is_success
    page = texts(client.get("/limits/team").text)
    assert "$0 of $100.00" in page
    history = client.get("/export/limit-history.csv?limit=team").text.splitlines()
    assert len(history) == 2
    assert float(history[1].split(",")[2]) == pytest.approx(before["cost"]["total"]["base"])
    assert f",{before['requests']['total']}," in history[1]


def test_a_deleted_limit_still_tells_what_it_was_charged_with(client: httpx.Client) -> None:
    assert client.delete(f"{API}/limits/team").is_success
    page = client.get("/limits/team")
    assert page.status_code == 200
    assert "This limit was deleted" in page.text


def test_a_request_is_split_into_what_each_unit_costs_by_one_s_own_prices_too(client: httpx.Client) -> None:
    price = {"units": {"text": {"input_price": 0.25, "output_price": 2}, "pages": {"input_price": 1}}}
    assert client.post(f"{API}/categories/in-house/resources/parrot", json=price).is_success
    item = {
        "category": "in-house",
        "resource": "parrot",
        "units": {"text": {"input": 4, "output": 1}, "pages": {"input": 2}, "songs": {"input": 3}},
    }
    request_id = client.post(f"{API}/ingest", json=item).json()["xproxy_result"]["request_id"]
    page = texts(client.get(f"/requests/{request_id}").text)
    assert "pages 2 0 $2.00" in page
    assert "text 4 1 $1.00 $2.00 $3.00" in page
    told = client.get(f"/export/request-units.csv?request={request_id}").text
    assert "songs,3,0,,,,no price known" in told


PARROT = {"category": "in-house", "resource": "parrot", "units": {"text": {"input": 4, "output": 1}}}
CHANGED = "its price was changed or deleted since"


def ingest(client: httpx.Client, **item: Any) -> dict[str, Any]:
    answer = client.post(f"{API}/ingest", json=item)
    assert answer.is_success, answer.text
    return dict(answer.json()["xproxy_result"])


def price_parrot(client: httpx.Client, usd: float, since: str) -> None:
    price = {"units": {"text": {"input_price": usd, "output_price": 2}}, "start_timestamp": since}
    assert client.post(f"{API}/categories/in-house/resources/parrot", json=price).is_success


@pytest.mark.parametrize(
    "item",
    [
        {"category": "groq", "resource": "whisper-large-v3-turbo", "units": {"audio_seconds": {"input": 3}}},
        {
            "category": "system.google.vertex",
            "resource": "google.gemini-2.5-pro",
            "units": {"text": {"input": 300_000, "output": 7}, "text_cache_read": {"input": 50}},
            "properties": {"system.batch.answers": "300"},
        },
        {
            "category": "system.google.vertex",
            "resource": "google.gemini-2.5-pro",
            "units": {"text": {"input": 300_000}},
            "properties": {"system.batch.answers": None},
        },
        {"category": "perplexity", "resource": "sonar", "units": {"text": {"input": 10, "output": 1}}},
    ],
    ids=["minimum", "batch", "no-batch", "fee"],
)
def test_what_the_units_of_a_request_cost_adds_up_to_what_was_charged(
    client: httpx.Client, item: dict[str, Any]
) -> None:
    result = ingest(client, **item)
    told = rows(client.get(f"/export/request-units.csv?request={result['request_id']}").text)
    assert {row["unit"] for row in told} >= item["units"].keys()
    assert {row["note"] for row in told} == {""}
    assert sum(Decimal(row["cost"]) for row in told) == Decimal(str(result["cost"]["total"]["base"])) > 0


def test_a_request_is_split_by_the_price_that_it_was_charged_by_though_another_holds_for_its_time_since(
    client: httpx.Client,
) -> None:
    price_parrot(client, 0.25, "2026-01-01T00:00:00Z")
    request_id = ingest(client, **PARROT)["request_id"]
    price_parrot(client, 0.75, "2026-01-02T00:00:00Z")
    assert ingest(client, **PARROT)["cost"]["input"]["base"] == 3
    assert "text 4 1 $1.00 $2.00 $3.00" in texts(client.get(f"/requests/{request_id}").text)


def test_a_request_whose_price_was_deleted_says_so_in_place_of_what_its_units_cost(client: httpx.Client) -> None:
    price_parrot(client, 0.25, "2026-01-01T00:00:00Z")
    request_id = ingest(client, **{**PARROT, "units": {"text": {"input": 4}, "songs": {"input": 3}}})["request_id"]
    assert client.delete(f"{API}/categories/in-house/resources/parrot").is_success
    page = texts(client.get(f"/requests/{request_id}").text)
    nothing = " ".join(["\N{EN DASH}"] * 3)
    assert f"songs 3 0 {nothing} no price known text 4 0 {nothing} {CHANGED}" in page
    assert f"text,4,0,,,,{CHANGED}" in client.get(f"/export/request-units.csv?request={request_id}").text


def test_a_request_that_another_process_has_priced_anew_is_split_too(client: httpx.Client, database: str) -> None:
    ingest(client, **PARROT)
    units = {"text": (Decimal("0.25"), Decimal(2))}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with Ledger(database) as other:
        other.write(own.create, NewResource(pair=Pair("in-house", "parrot"), units=units, start=start), start)
        request_id = other.ingest(PARROT)["request_id"]
    assert "text 4 1 $1.00 $2.00 $3.00" in texts(client.get(f"/requests/{request_id}").text)


def test_a_page_shows_prompts_and_answers_to_nobody(client: httpx.Client) -> None:
    item = {"category": "system.openai", "units": {}, "provider_request_json": '{"prompt": "a secret of mine"}'}
    request_id = client.post(f"{API}/ingest", json=item).json()["xproxy_result"]["request_id"]
    assert "a secret of mine" not in client.get(f"/requests/{request_id}").text


def test_an_empty_application_is_told_what_to_do_next(shared: Site) -> None:
    with shared.signed_in(shared.service.key()) as newcomer:
        assert "PAYI_BASE_URL" in newcomer.get("/").text
        assert "POST /api/v1/limits" in newcomer.get("/limits").text
        assert "track_context" in newcomer.get("/use-cases").text
        assert "Nothing has come in yet" in newcomer.get("/live").text
    assert stored(shared.ledger)
