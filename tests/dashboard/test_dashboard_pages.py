"""Every page on both databases, with what the API has made: KPIs, scores, resets, prices."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.dashboard.conftest import Site
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
    assert "liked,Was it liked?,likert5,4,3.33" in told
    told = client.get("/export/scores.csv?use_case=support-chat&instance=case%203%2F%CE%B2").text
    assert "solved,boolean,1,1," in told


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
