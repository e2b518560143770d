"""Who may see and change what, and what is answered where there is nothing: sections 1, 4 and D21 of the contract."""

from __future__ import annotations

import re
from typing import Any

import httpx
import payi
import pytest

from payi_middleware.service.api.routing import ANY
from payi_middleware.service.app import ROUTES
from payi_middleware.service.config import ServiceConfig
from tests.service_api.asking import CALL, refused
from tests.service_api.serving import Http, Served, official_sdk, served

CLOSED = [route for route in ROUTES if not route.open and route.method != ANY]
TAKING = [route for route in CLOSED if route.body or route.told.body]
ADDRESSES = {
    "limit_id": "a",
    "use_case_name": "chat",
    "use_case_id": "a",
    "kpi_name": "good",
    "category": "mine",
    "resource": "model",
    "provider_response_id": "r",
    "request_id": "req",
    "resource_id": "version",
}
BODIES: dict[str, Any] = {
    "LimitCreate": {"limit_name": "new", "max": 1},
    "DefinitionCreate": {"name": "new", "description": "d"},
    "ResourceCreate": {"units": {"text": {"input_price": 1}}},
    "PropertiesRequest": {"properties": {"k": "v"}},
    "LimitUpdate": {"max": 7},
    "DefinitionUpdate": {"description": "changed"},
    "LimitConfig": {"max": 7},
    "KpiCreate": {"name": "new", "description": "d", "goal": 1, "kpi_type": "number"},
    "KpiUpdate": {"goal": 2},
    "ScoreUpdate": {"score": 2},
    "LeaseAsked": {"holder": "another"},
}


def fill(http: Http) -> dict[str, str]:
    """Make one of everything, and return what everything is called."""
    http.post("/limits", json={"limit_name": "a", "limit_id": "a", "max": 5})
    http.post("/use_cases/definitions", json={"name": "chat", "description": "d"})
    kpi = {"name": "good", "description": "d", "goal": 1, "kpi_type": "number"}
    http.post("/use_cases/definitions/chat/kpis", json=kpi)
    made = http.post("/categories/mine/resources/model", json={"units": {"text": {"input_price": 0.1}}}).json()
    call = {**CALL, "category": "mine", "resource": "model", "provider_response_id": "r"}
    headers = {"xProxy-UseCase-Name": "chat", "xProxy-UseCase-ID": "a", "xProxy-Limit-IDs": "a"}
    booked = http.post("/ingest", json=call, headers=headers).json()
    http.put("/use_cases/instances/chat/a/kpis/good", json={"score": 1})
    return {**ADDRESSES, "request_id": booked["request_id"], "resource_id": made["resource_id"]}


def everything(http: Http, names: dict[str, str]) -> list[str]:
    """Return all that a key sees."""
    paths = [route.path for route in CLOSED if route.method == "GET"]
    texts = [http.get(path.removeprefix("/api/v1").format(**names)).text for path in sorted(paths)]
    return [re.sub(r'"request_id":"req_[^"]*"', "", text) for text in texts]


def ask(http: httpx.Client, route: Any, names: dict[str, str]) -> httpx.Response:
    body = BODIES[route.body.__name__] if route.body is not None else None
    return http.request(route.method, route.path.removeprefix("/api/v1").format(**names), json=body)


def test_another_applications_key_finds_changes_and_deletes_nothing(http: Http, other: Http) -> None:
    names = fill(http)
    before = everything(http, names)
    asked = [route for route in CLOSED if "{" in route.path and route.path != CREATE_RESOURCE]
    assert len(asked) > 25
    for route in asked:
        assert ask(other, route, names).status_code == 404, route
    assert everything(http, names) == before


CREATE_RESOURCE = "/api/v1/categories/{category}/resources/{resource}"


def test_another_applications_key_lists_nothing(http: Http, other: Http) -> None:
    fill(http)
    for path in ("/limits", "/use_cases/definitions"):
        assert len(http.get(path).json()["items"]) == 1
        assert other.get(path).json() == {"items": [], "cursor": None}
    assert "mine" not in {item["category"] for item in other.get("/categories", params={"limit": 1000}).json()["items"]}


def test_another_application_may_use_the_same_names_and_is_charged_apart(http: Http, other: Http) -> None:
    mine, others = fill(http), fill(other)
    assert mine["request_id"] != others["request_id"]
    assert "duplicate_request" not in other.get("/requests/provider/mine/r/result").json()["xproxy_result"]
    for client in (http, other):
        assert client.get("/limits/a").json()["limit"]["totals"]["requests"]["total"] == 1


def test_what_another_application_of_the_same_names_changes_and_deletes_is_its_own(http: Http, other: Http) -> None:
    mine, others = fill(http), fill(other)
    before = everything(http, mine)
    changing = [route for route in CLOSED if route.method != "GET" and "{" in route.path]
    inner_first = sorted(changing, key=lambda route: (route.method == "DELETE", -len(route.path)))
    done = [ask(other, route, others).is_success for route in inner_first]
    assert done.count(True) > 20
    assert everything(http, mine) == before
    assert [client.get("/limits/a").status_code for client in (http, other)] == [200, 404]


def test_another_applications_limit_cannot_be_charged(http: Http, other: Http) -> None:
    fill(http)
    answer = other.post("/ingest", json=CALL, headers={"xProxy-Limit-IDs": "a"})
    assert refused(answer) == (400, "invalid_limit_ids")
    assert http.get("/limits/a").json()["limit"]["totals"]["requests"]["total"] == 1


def test_a_cursor_of_another_application_leads_nowhere_but_in_ones_own_list(http: Http, other: Http) -> None:
    for number in range(3):
        http.post("/limits", json={"limit_name": str(number), "max": 1})
    cursor = http.get("/limits", params={"limit": 1}).json()["cursor"]
    assert other.get("/limits", params={"cursor": cursor}).json()["items"] == []


def test_two_keys_of_one_application_see_the_same(service: Served) -> None:
    with Http(service, service.key("shared")) as first, Http(service, service.key("shared")) as second:
        names = fill(first)
        assert everything(second, names) == everything(first, names)
        assert ask(second, CLOSED[0], names).status_code != 404


@pytest.mark.parametrize("key", ["", "wrong", "payi_000000000000_wrong", "payi__", "é", "x" * 5_000])
def test_a_wrong_key_opens_nothing(service: Served, key: str) -> None:
    headers = [(b"xProxy-api-key", key.encode("latin-1"))]
    with httpx.Client(base_url=f"{service.url}/api/v1", headers=headers, trust_env=False) as client:
        for route in CLOSED:
            assert refused(ask(client, route, ADDRESSES)) == (401, "invalid_api_key")
        assert refused(client.get("/nothing")) == (401, "invalid_api_key")
        assert refused(client.post("/proxy/openai/v1/chat/completions")) == (401, "invalid_api_key")


def test_a_key_is_no_bearer_token_and_comes_in_no_query(service: Served, key: str) -> None:
    with httpx.Client(base_url=f"{service.url}/api/v1", trust_env=False) as client:
        assert client.get("/limits", headers={"authorization": f"Bearer {key}"}).status_code == 401
        assert client.get("/limits", params={"xProxy-api-key": key}).status_code == 401
        assert client.get("/limits", headers={"XPROXY-API-KEY": key}).status_code == 200


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_sdk_raises_what_each_status_stands_for(service: Served, key: str, kind: str) -> None:
    with official_sdk(service, key, kind) as sdk:
        with pytest.raises(payi.NotFoundError) as nothing:
            sdk.limits.retrieve("nothing")
        with pytest.raises(payi.BadRequestError) as wrong:
            sdk.limits.create(limit_name="a", max=-1)
        assert nothing.value.body["xproxy_error"]["code"] == "limit_not_found"  # type: ignore[index]
        assert wrong.value.body["xproxy_error"]["code"] == "invalid_max_limit"  # type: ignore[index]
    with official_sdk(service, "wrong", kind) as sdk, pytest.raises(payi.AuthenticationError):
        sdk.limits.list()


@pytest.mark.parametrize(
    "path", ["/nothing", "/limits/", "/limits//reset", "/limits/a/b", "/requests/provider/c//result", "//limits"]
)
def test_a_path_that_is_none_is_not_found(http: Http, path: str) -> None:
    assert refused(http.get(path)) == (404, "request_processing_error")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/limits/a", {"GET", "HEAD", "PUT", "DELETE"}),
        ("GET", "/ingest", {"POST"}),
        ("DELETE", "/limits", {"GET", "HEAD", "POST"}),
        ("TRACE", "/limits", {"GET", "HEAD", "POST"}),
        ("POST", "/requests/a/result", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_is_none_is_refused_with_those_that_there_are(
    http: Http, method: str, path: str, allowed: set[str]
) -> None:
    answer = http.request(method, path)
    assert refused(answer) == (405, "request_processing_error")
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "route",
    [route for route in CLOSED if route.body or route.told.body],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_a_body_above_the_limit_is_refused(small: Http, route: Any) -> None:
    path = route.path.removeprefix("/api/v1").format(**ADDRESSES)
    body = b" " * 2_001
    assert refused(small.request(route.method, path, content=body)) == (413, "request_processing_error")
    assert refused(small.request(route.method, path, content=iter([body]))) == (413, "request_processing_error")
    assert small.request(route.method, path, content=b" " * 2_000).status_code != 413


@pytest.fixture(scope="module")
def small_service(database: str) -> Any:
    with served(database, ServiceConfig(max_body=2_000)) as running:
        yield running


@pytest.fixture
def small(small_service: Served) -> Any:
    with Http(small_service, small_service.key()) as client:
        yield client


def test_a_body_that_is_not_utf8_or_too_deep_is_no_json(http: Http) -> None:
    assert refused(http.post("/limits", content=b'{"limit_name": "\xff"}')) == (400, "invalid_json")
    deep = b"[" * 100_000 + b"]" * 100_000
    assert refused(http.post("/limits", content=deep))[0] == 400


def test_no_error_repeats_what_was_sent(http: Http) -> None:
    secret = "my-secret-prompt"
    for body in ({"limit_name": "a", "max": 1, "properties": {secret: 7}}, {"limit_name": "a", "max": secret}):
        answer = http.post("/limits", json=body)
        assert answer.status_code == 400
        assert secret not in answer.text
    assert secret not in http.post("/ingest", json={**CALL, "properties": {secret: [secret]}}).text


def test_head_is_answered_as_get_without_a_body(service: Served, key: str) -> None:
    for path in ("/healthz", "/api/v1/limits"):
        with httpx.Client(base_url=service.url, headers={"xProxy-api-key": key}, trust_env=False) as client:
            got, headed = client.get(path), client.head(path)
        assert (headed.status_code, headed.content) == (200, b"")
        assert headed.headers["content-length"] == got.headers["content-length"]
