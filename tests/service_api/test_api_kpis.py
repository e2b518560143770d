"""KPIs and scores, endpoints 26 to 30, 35 and 36 of the contract, over a real socket."""

from __future__ import annotations

import random
from typing import Any

import payi
import pytest
from payi.lib.helpers import increment_kpi_score

from tests.service_api.asking import refused
from tests.service_api.serving import Http, Served

KPIS = "/use_cases/definitions/chat/kpis"
SCORES = "/use_cases/instances/chat/a/kpis"
TYPES: dict[str, tuple[list[Any], list[Any]]] = {
    "boolean": ([0, 1, True, False], [2, -1, 0.5]),
    "number": ([-1e15, 0, 3.25, 1e15], [True, False, 1e16, -1e308]),
    "percentage": ([0, 12.5, 100], [-0.1, 100.1, True]),
    "likert5": ([1, 3.5, 5], [0, 0.9, 5.1, 6]),
    "likert7": ([1, 7], [0, 8]),
    "likert10": ([1, 10], [0, 11]),
}


@pytest.fixture
def chat(http: Http) -> Http:
    """A client that has a use case, chat, and an instance of it, a."""
    http.post("/use_cases/definitions", json={"name": "chat", "description": "d"})
    ingest_into_a(http)
    return http


def ingest_into_a(http: Http) -> None:
    headers = {"xProxy-UseCase-Name": "chat", "xProxy-UseCase-ID": "a"}
    http.post("/ingest", json={"category": "c", "units": {}, "http_status_code": 500}, headers=headers)


def make(http: Http, name: str = "good", **settings: Any) -> dict[str, Any]:
    body = {"name": name, "description": "how good", "goal": 1, "kpi_type": "number", **settings}
    response = http.post(KPIS, json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def kept(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "request_id"}


def test_the_sdk_makes_reads_changes_and_deletes_a_kpi(sdk: Any) -> None:
    sdk.use_cases.definitions.create(name="chat", description="d")
    kpis = sdk.use_cases.definitions.kpis
    made = kpis.create("chat", name="good / bad", description="how good", goal=4.5, kpi_type="likert5")
    assert made.request_id
    assert (made.name, made.description, made.goal, made.kpi_type) == ("good / bad", "how good", 4.5, "likert5")
    assert made.created_timestamp == made.updated_timestamp
    read = kpis.retrieve("good / bad", use_case_name="chat")
    assert (read.name, read.created_timestamp) == (made.name, made.created_timestamp)
    changed = kpis.update("good / bad", use_case_name="chat", description="better", goal=5)
    assert (changed.description, changed.goal, changed.kpi_type) == ("better", 5, "likert5")
    assert changed.updated_timestamp > made.updated_timestamp
    assert kpis.delete("good / bad", use_case_name="chat").name == "good / bad"
    with pytest.raises(payi.NotFoundError):
        kpis.retrieve("good / bad", use_case_name="chat")


def test_the_sdk_lists_kpis_over_pages_and_by_name(sdk: Any) -> None:
    sdk.use_cases.definitions.create(name="chat", description="d")
    kpis = sdk.use_cases.definitions.kpis
    for number in range(5):
        kpis.create("chat", name=f"kpi {number}", description="d", goal=1, kpi_type="boolean")
    names = [kpi.name for kpi in kpis.list("chat", limit=2, sort_ascending=True)]
    assert names == [f"kpi {number}" for number in range(5)]
    assert [kpi.name for kpi in kpis.list("chat", kpi_name="kpi 3")] == ["kpi 3"]
    assert list(kpis.list("chat", kpi_name="kpi")) == []


def test_the_sdk_sets_and_lists_scores(sdk: Any) -> None:
    sdk.use_cases.definitions.create(name="chat", description="d")
    for name, kind in (("happy", "boolean"), ("share", "percentage")):
        sdk.use_cases.definitions.kpis.create("chat", name=name, description="d", goal=1, kpi_type=kind)
    named = {"use_case_name": "chat", "use_case_id": sdk.use_cases.create("chat").use_case_id}
    scores = sdk.use_cases.kpis
    assert list(scores.list(**named)) == []
    assert list(scores.list(**named, kpi_name="happy")) == []
    assert scores.update("happy", **named, score=True) is None
    scores.update("share", **named, score=12.5)
    found = {score.kpi_name: score for score in scores.list(**named, limit=1)}
    assert {name: (score.score, score.kpi_type) for name, score in found.items()} == {
        "happy": (1, "boolean"),
        "share": (12.5, "percentage"),
    }
    scores.update("happy", **named, score=False)
    (happy,) = scores.list(**named, kpi_name="happy")
    assert happy.score == 0
    assert happy.update_timestamp > happy.create_timestamp == found["happy"].create_timestamp


def test_the_longest_names_have_a_score(chat: Http) -> None:
    letters = random.Random(7)
    kpi, instance = ("".join(chr(letters.randrange(0x1F300, 0x1F600)) for _ in range(most)) for most in (128, 512))
    make(chat, kpi)
    chat.post("/ingest/bulk", json=[{"category": "c", "units": {}, "use_case_name": "chat", "use_case_id": instance}])
    path = f"/use_cases/instances/chat/{instance}/kpis"
    assert chat.put(f"{path}/{kpi}", json={"score": 1}).status_code == 204
    assert [score["kpi_name"] for score in chat.get(path).json()["items"]] == [kpi]


def test_the_sdks_helper_counts_up(service: Served, key: str, chat: Http) -> None:
    make(chat, "thanks")
    with payi.Payi(base_url=service.url, api_key=key) as client:
        assert increment_kpi_score(client, "thanks", "chat", "a")
        assert increment_kpi_score(client, "thanks", "chat", "a", 4)
    (score,) = chat.get(SCORES).json()["items"]
    assert score["score"] == 5


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": None}, "required_field_missing"),
        ({"name": ""}, "request_processing_error"),
        ({"name": 7}, "request_processing_error"),
        ({"name": "x" * 129}, "request_processing_error"),
        ({"name": "good"}, "kpi_already_exists"),
        ({"description": None}, "required_field_missing"),
        ({"description": 7}, "request_processing_error"),
        ({"goal": None}, "required_field_missing"),
        ({"goal": "1"}, "invalid_kpi_goal"),
        ({"goal": True}, "invalid_kpi_goal"),
        ({"goal": float("inf")}, "invalid_kpi_goal"),
        ({"goal": -1e308}, "invalid_kpi_goal"),
        ({"goal": 101, "kpi_type": "percentage"}, "invalid_kpi_goal"),
        ({"goal": 0, "kpi_type": "likert7"}, "invalid_kpi_goal"),
        ({"goal": 11, "kpi_type": "likert10"}, "invalid_kpi_goal"),
        ({"goal": 1.1, "kpi_type": "boolean"}, "invalid_kpi_goal"),
        ({"kpi_type": None}, "required_field_missing"),
        ({"kpi_type": "likert6"}, "request_processing_error"),
    ],
)
def test_a_kpi_that_cannot_be_made_is_refused_with_its_code(chat: Http, change: dict[str, Any], code: str) -> None:
    make(chat)
    body = {"name": "new", "description": "d", "goal": 1, "kpi_type": "number", **change}
    assert refused(chat.send_json("POST", KPIS, body)) == (400, code)
    assert [kpi["name"] for kpi in chat.get(KPIS).json()["items"]] == ["good"]


def test_the_same_kpi_may_be_in_two_use_cases(chat: Http) -> None:
    make(chat)
    chat.post("/use_cases/definitions", json={"name": "other", "description": "d"})
    body = {"name": "good", "description": "d", "goal": 3, "kpi_type": "likert5"}
    assert chat.post("/use_cases/definitions/other/kpis", json=body).status_code == 200
    assert chat.get(f"{KPIS}/good").json()["kpi_type"] == "number"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"goal": 6}, "invalid_kpi_goal"),
        ({"goal": "1"}, "invalid_kpi_goal"),
        ({"description": 1}, "request_processing_error"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_and_changes_nothing(chat: Http, body: Any, code: str) -> None:
    before = make(chat, kpi_type="likert5")
    assert refused(chat.put(f"{KPIS}/good", json=body)) == (400, code)
    assert kept(chat.get(f"{KPIS}/good").json()) == kept(before)


def test_name_and_type_cannot_change(chat: Http) -> None:
    before = make(chat)
    assert kept(chat.put(f"{KPIS}/good", json={"name": "bad", "kpi_type": "boolean"}).json()) == kept(before)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{KPIS}/nothing", None),
        ("PUT", f"{KPIS}/nothing", {"goal": 1}),
        ("DELETE", f"{KPIS}/nothing", None),
        ("PUT", f"{SCORES}/nothing", {"score": 1}),
    ],
)
def test_a_kpi_that_is_not_there_is_not_found(chat: Http, method: str, path: str, body: Any) -> None:
    assert refused(chat.request(method, path, json=body)) == (404, "kpi_not_found")


@pytest.mark.parametrize("kpi_type", TYPES)
def test_scores_are_within_the_range_of_their_type(chat: Http, kpi_type: str) -> None:
    good, bad = TYPES[kpi_type]
    make(chat, kpi_type=kpi_type)
    for value in good:
        assert chat.put(f"{SCORES}/good", json={"score": value}).status_code == 204
        (found,) = chat.get(SCORES).json()["items"]
        assert (found["score"], found["kpi_type"]) == (float(value), kpi_type)
        assert not isinstance(found["score"], bool)
    for value in bad:
        assert refused(chat.put(f"{SCORES}/good", json={"score": value})) == (400, "invalid_kpi_score")
    assert chat.get(SCORES).json()["items"] == [found]


@pytest.mark.parametrize("value", ["1", [], {}, float("nan"), float("inf")])
def test_what_is_no_score_is_refused(chat: Http, value: Any) -> None:
    make(chat)
    assert refused(chat.send_json("PUT", f"{SCORES}/good", {"score": value})) == (400, "invalid_kpi_score")
    assert chat.get(SCORES).json()["items"] == []


@pytest.mark.parametrize("body", [{}, {"score": None}, None])
def test_no_score_takes_back_what_was_set(chat: Http, body: Any) -> None:
    make(chat)
    chat.put(f"{SCORES}/good", json={"score": 4})
    assert chat.send_json("PUT", f"{SCORES}/good", body).status_code == 204
    (found,) = chat.get(SCORES).json()["items"]
    assert found["score"] is None


def test_scores_go_with_their_kpi_and_with_their_instance(chat: Http) -> None:
    make(chat)
    chat.put(f"{SCORES}/good", json={"score": 4})
    chat.delete(f"{KPIS}/good")
    make(chat, kpi_type="boolean")
    assert chat.get(SCORES).json()["items"] == []
    chat.put(f"{SCORES}/good", json={"score": True})
    chat.delete("/use_cases/instances/chat/a")
    chat.post(
        "/ingest",
        json={"category": "c", "units": {}},
        headers={"xProxy-UseCase-Name": "chat", "xProxy-UseCase-ID": "a"},
    )
    assert chat.get(SCORES).json()["items"] == []


def test_scores_of_two_instances_are_apart(chat: Http) -> None:
    make(chat)
    other = chat.post("/use_cases/instances/chat").json()["use_case_id"]
    chat.put(f"{SCORES}/good", json={"score": 4})
    chat.put(f"/use_cases/instances/chat/{other}/kpis/good", json={"score": 5})
    assert [found["score"] for found in chat.get(SCORES).json()["items"]] == [4]


@pytest.mark.parametrize("path", [KPIS, SCORES])
@pytest.mark.parametrize("query", [{"cursor": "x"}, {"limit": "-1"}, {"sort_ascending": "2"}])
def test_a_page_that_nobody_can_find_is_a_bad_request(chat: Http, path: str, query: dict[str, str]) -> None:
    assert refused(chat.get(path, params=query)) == (400, "request_processing_error")
