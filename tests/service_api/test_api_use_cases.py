"""Use case definitions and instances, endpoints 18 to 25 and 31 to 34 of the contract, over a real socket."""

from __future__ import annotations

from typing import Any

import payi
import pytest

from payi_middleware.service.store.schema import use_case_instances
from tests.service_api.asking import CALL, COST, refused
from tests.service_api.serving import Http, Served

CONFIG = {"max": 2.5, "limit_type": "block", "threshold": 0.8, "properties": {"team": "a"}}


def define(http: Http, name: str = "chat", **settings: Any) -> dict[str, Any]:
    response = http.post("/use_cases/definitions", json={"name": name, "description": "talks", **settings})
    assert response.status_code == 200, response.text
    return dict(response.json())


def ingest(http: Http, use_case: str, use_case_id: str = "", **headers: str) -> dict[str, Any]:
    told = {"xProxy-UseCase-Name": use_case, "xProxy-UseCase-ID": use_case_id, **headers}
    response = http.post("/ingest", json=CALL, headers=told)
    assert response.status_code == 200, response.text
    return dict(response.json()["xproxy_result"])


def without_request_id(body: dict[str, Any]) -> dict[str, Any]:
    assert body["request_id"].startswith("req_")
    return {name: value for name, value in body.items() if name != "request_id"}


# --- definitions -----------------------------------------------------------------------------------------------------


def test_the_sdk_makes_reads_changes_and_deletes_a_definition(sdk: Any) -> None:
    definitions = sdk.use_cases.definitions
    made = definitions.create(name="chat.v-1_a", description="talks", limit_config=CONFIG, logging_enabled=False)
    assert made.request_id
    assert (made.name, made.description, made.logging_enabled) == ("chat.v-1_a", "talks", False)
    assert made.type_version == 1
    assert made.limit_config.to_dict() == CONFIG
    read = definitions.retrieve("chat.v-1_a")
    assert (read.limit_config, read.type_version) == (made.limit_config, 1)
    changed = definitions.update("chat.v-1_a", description="chats", logging_enabled=True)
    assert (changed.description, changed.logging_enabled, changed.limit_config) == ("chats", True, made.limit_config)
    assert definitions.version.increment("chat.v-1_a").type_version == 2
    assert definitions.delete("chat.v-1_a").name == "chat.v-1_a"
    with pytest.raises(payi.NotFoundError):
        definitions.retrieve("chat.v-1_a")


def test_the_sdk_lists_definitions_over_pages_and_by_name(sdk: Any) -> None:
    for number in range(5):
        sdk.use_cases.definitions.create(name=f"case{number}", description="d")
    names = [definition.name for definition in sdk.use_cases.definitions.list(limit=2, sort_ascending=True)]
    assert names == [f"case{number}" for number in range(5)]
    assert [found.name for found in sdk.use_cases.definitions.list(use_case_name="case3")] == ["case3"]
    assert list(sdk.use_cases.definitions.list(use_case_name="case")) == []


def test_the_sdk_sets_and_takes_away_a_limit_config(sdk: Any) -> None:
    sdk.use_cases.definitions.create(name="chat", description="d")
    config = sdk.use_cases.definitions.limit_config
    assert config.create("chat", max=3).limit_config.to_dict() == {
        "max": 3,
        "limit_type": "allow",
        "threshold": None,
        "properties": None,
    }
    assert config.create("chat", **CONFIG).limit_config.to_dict() == CONFIG
    assert config.delete("chat").limit_config is None
    assert config.delete("chat").limit_config is None


def test_what_is_left_out_has_its_default(http: Http) -> None:
    assert without_request_id(define(http)) == {
        "name": "chat",
        "description": "talks",
        "limit_config": None,
        "logging_enabled": True,
        "type_version": 1,
    }


@pytest.mark.parametrize("name", ["x" * 64, "..", "-", "A.b_C-9"])
def test_a_name_has_up_to_64_letters_digits_and_marks(http: Http, name: str) -> None:
    define(http, name)
    assert http.get_at("/use_cases/definitions/{}", name).json()["name"] == name


BAD_DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "required_field_missing"),
    ({"name": ""}, "invalid_use_case_name"),
    ({"name": "a b"}, "invalid_use_case_name"),
    ({"name": "a/b"}, "invalid_use_case_name"),
    ({"name": "ä"}, "invalid_use_case_name"),
    ({"name": "a\n"}, "invalid_use_case_name"),
    ({"name": "x" * 65}, "invalid_use_case_name"),
    ({"name": 7}, "invalid_use_case_name"),
    ({"name": "taken"}, "use_case_already_exists"),
    ({"description": None}, "required_field_missing"),
    ({"description": ""}, "invalid_use_case_description"),
    ({"description": 7}, "invalid_use_case_description"),
    ({"description": "a\0"}, "invalid_use_case_description"),
    ({"logging_enabled": "yes"}, "request_processing_error"),
    ({"limit_config": 7}, "create_limit_validation_failed"),
    ({"limit_config": {}}, "required_field_missing"),
    ({"limit_config": {"max": 0}}, "invalid_max_limit"),
    ({"limit_config": {"max": 1, "limit_type": "x"}}, "create_limit_validation_failed"),
    ({"limit_config": {"max": 1, "threshold": 1}}, "create_limit_validation_failed"),
    ({"limit_config": {"max": 1, "properties": {"a": 1}}}, "create_limit_validation_failed"),
]


@pytest.mark.parametrize(("change", "code"), BAD_DEFINITIONS)
def test_a_definition_that_cannot_be_made_is_refused_with_its_code(
    http: Http, change: dict[str, Any], code: str
) -> None:
    define(http, "taken")
    body = {"name": "new", "description": "d", **change}
    assert refused(http.send_json("POST", "/use_cases/definitions", body)) == (400, code)
    assert [found["name"] for found in http.get("/use_cases/definitions").json()["items"]] == ["taken"]


def test_a_definition_that_a_request_has_made_exists(http: Http) -> None:
    ingest(http, "chat")
    body = {"name": "chat", "description": "d"}
    assert refused(http.post("/use_cases/definitions", json=body)) == (400, "use_case_already_exists")
    assert http.get("/use_cases/definitions/chat").json()["description"] == ""
    assert http.put("/use_cases/definitions/chat", json=body).json()["description"] == "d"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"description": ""}, "invalid_use_case_description"),
        ({"description": 7}, "invalid_use_case_description"),
        ({"logging_enabled": 1}, "request_processing_error"),
        ([], "request_processing_error"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_and_changes_nothing(http: Http, body: Any, code: str) -> None:
    before = without_request_id(define(http))
    assert refused(http.send_json("PUT", "/use_cases/definitions/chat", body)) == (400, code)
    assert without_request_id(http.get("/use_cases/definitions/chat").json()) == before


def test_a_change_of_nothing_is_none(http: Http) -> None:
    before = without_request_id(define(http))
    assert without_request_id(http.put("/use_cases/definitions/chat", json={}).json()) == before
    assert without_request_id(http.put("/use_cases/definitions/chat", json={"name": "other"}).json()) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "required_field_missing"),
        ({"max": -1}, "invalid_max_limit"),
        ({"max": 1, "threshold": 0.5}, "create_limit_validation_failed"),
        ({"max": 1, "limit_type": "stop"}, "create_limit_validation_failed"),
    ],
)
def test_a_limit_config_that_cannot_be_is_refused_and_changes_nothing(http: Http, body: Any, code: str) -> None:
    define(http, limit_config=CONFIG)
    assert refused(http.send_json("POST", "/use_cases/definitions/chat/limit_config", body)) == (400, code)
    assert http.get("/use_cases/definitions/chat").json()["limit_config"] == CONFIG


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"description": "d"}),
        ("PUT", "", {}),
        ("DELETE", "", None),
        ("POST", "/increment_version", None),
        ("POST", "/limit_config", {"max": 1}),
        ("DELETE", "/limit_config", None),
        ("POST", "/kpis", {"name": "k", "description": "d", "goal": 1, "kpi_type": "number"}),
        ("GET", "/kpis", None),
        ("GET", "/kpis/k", None),
        ("PUT", "/kpis/k", {}),
        ("DELETE", "/kpis/k", None),
    ],
)
def test_a_use_case_that_is_not_there_is_not_found(http: Http, method: str, path: str, body: Any) -> None:
    answer = http.request(method, f"/use_cases/definitions/nothing{path}", json=body)
    assert refused(answer) == (404, "use_case_not_found")


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"limit": "0"}])
def test_a_page_that_nobody_can_find_is_a_bad_request(http: Http, query: dict[str, str]) -> None:
    assert refused(http.get("/use_cases/definitions", params=query)) == (400, "request_processing_error")


# --- instances -------------------------------------------------------------------------------------------------------


def test_the_sdk_makes_reads_annotates_and_deletes_an_instance(sdk: Any) -> None:
    sdk.use_cases.definitions.create(name="chat", description="d", limit_config=CONFIG)
    made = sdk.use_cases.create("chat")
    assert made.use_case_id
    assert (made.use_case_name, made.type_version) == ("chat", 1)
    limit = sdk.limits.retrieve(made.limit_id).limit
    assert (limit.max, limit.limit_type, limit.threshold) == (2.5, "block", 0.8)
    named = {"use_case_name": "chat", "use_case_id": made.use_case_id}
    assert sdk.use_cases.retrieve(made.use_case_id, use_case_name="chat") == made
    assert sdk.use_cases.properties.update(**named, properties={"a": "1", "b": None}) == made
    assert sdk.use_cases.delete(made.use_case_id, use_case_name="chat") == made
    with pytest.raises(payi.NotFoundError):
        sdk.use_cases.retrieve(made.use_case_id, use_case_name="chat")
    assert sdk.limits.retrieve(made.limit_id).limit == limit


def test_an_instance_of_an_unknown_use_case_is_made_by_requests_only(http: Http) -> None:
    assert refused(http.post("/use_cases/instances/chat")) == (404, "use_case_not_found")
    result = ingest(http, "chat", "some id")
    assert (result["use_case_name"], result["use_case_id"]) == ("chat", "some id")
    body = http.get("/use_cases/instances/chat/some%20id").json()
    assert body == {"use_case_id": "some id", "use_case_name": "chat", "limit_id": None, "type_version": 1}
    assert http.get("/use_cases/definitions/chat").json()["type_version"] == 1


def test_a_request_without_an_instance_is_given_one(http: Http) -> None:
    first, second = ingest(http, "chat"), ingest(http, "chat")
    assert first["use_case_id"] != second["use_case_id"]
    assert http.get(f"/use_cases/instances/chat/{first['use_case_id']}").status_code == 200


def test_each_instance_has_a_limit_of_its_own_that_every_request_of_it_is_charged_to(http: Http) -> None:
    define(http, limit_config={"max": 1})
    results = [ingest(http, "chat", name) for name in ("a", "a", "b")]
    (of_a,), (again,), (of_b,) = (result["limits"] for result in results)
    assert of_a == again != of_b
    assert http.get("/use_cases/instances/chat/a").json()["limit_id"] == of_a
    assert http.get(f"/limits/{of_a}").json()["limit"]["totals"]["cost"]["total"]["base"] == float(2 * COST)
    made = http.post("/use_cases/instances/chat").json()
    assert list(ingest(http, "chat", made["use_case_id"])["limits"]) == [made["limit_id"]]


def test_a_limit_that_is_named_and_is_the_instances_own_is_charged_once(http: Http) -> None:
    define(http, limit_config={"max": 1})
    (own,) = ingest(http, "chat", "a")["limits"]
    ingest(http, "chat", "a", **{"xProxy-Limit-IDs": own})
    assert http.get(f"/limits/{own}").json()["limit"]["totals"]["requests"]["total"] == 2


def test_a_limit_config_is_for_instances_made_from_then_on(http: Http) -> None:
    define(http)
    before = http.post("/use_cases/instances/chat").json()
    http.post("/use_cases/definitions/chat/limit_config", json={"max": 1})
    assert before["limit_id"] is None
    assert ingest(http, "chat", before["use_case_id"])["limits"] == {}
    assert http.post("/use_cases/instances/chat").json()["limit_id"]
    http.delete("/use_cases/definitions/chat/limit_config")
    assert http.post("/use_cases/instances/chat").json()["limit_id"] is None


def test_an_instance_belongs_to_the_version_that_it_was_made_under(http: Http) -> None:
    define(http)
    old = http.post("/use_cases/instances/chat").json()
    assert http.post("/use_cases/definitions/chat/increment_version").json()["type_version"] == 2
    new = http.post("/use_cases/instances/chat").json()
    ingest(http, "chat", "x")
    read = [http.get(f"/use_cases/instances/chat/{name}").json() for name in (old["use_case_id"], "x")]
    assert [instance["type_version"] for instance in (*read, new)] == [1, 2, 2]


@pytest.mark.parametrize(("named", "made_under"), [("1", 1), ("2", 2), ("3", 3), ("0", 3), ("4", 3)])
def test_a_request_that_names_a_version_makes_its_instance_under_that_if_there_is_such_a_version(
    http: Http, named: str, made_under: int
) -> None:
    define(http)
    for _ in range(2):
        http.post("/use_cases/definitions/chat/increment_version")
    ingest(http, "chat", "a", **{"xProxy-UseCase-Version": named})
    assert http.get("/use_cases/instances/chat/a").json()["type_version"] == made_under


def test_an_instance_stays_under_its_version_whatever_later_requests_name(http: Http) -> None:
    define(http)
    http.post("/use_cases/definitions/chat/increment_version")
    ingest(http, "chat", "a")
    ingest(http, "chat", "a", **{"xProxy-UseCase-Version": "1"})
    assert http.get("/use_cases/instances/chat/a").json()["type_version"] == 2


@pytest.mark.parametrize("version", [0, 9])
def test_a_version_that_does_not_exist_is_recorded_with_a_warning(
    http: Http, service: Served, key: str, version: int
) -> None:
    define(http)
    (warning,) = ingest(http, "chat", "a", **{"xProxy-UseCase-Version": str(version)})["warnings"]
    assert f"use_case_version {version} does not exist" in warning
    assert service.ledger_of(key).requests()[0].use_case_version == version
    assert "warnings" not in ingest(http, "chat", "a", **{"xProxy-UseCase-Version": "1"})


def test_the_limit_of_a_deleted_instance_stays_readable_and_one_made_anew_has_another(http: Http) -> None:
    define(http, limit_config={"max": 1})
    (limit_id,) = ingest(http, "chat", "a")["limits"]
    http.delete("/use_cases/instances/chat/a")
    assert http.get(f"/limits/{limit_id}").json()["limit"]["totals"]["requests"]["total"] == 1
    (another,) = ingest(http, "chat", "a")["limits"]
    assert another != limit_id


def test_an_instance_whose_limit_was_deleted_goes_on_without(http: Http) -> None:
    define(http, limit_config={"max": 1})
    (limit_id,) = ingest(http, "chat", "a")["limits"]
    http.delete(f"/limits/{limit_id}")
    assert ingest(http, "chat", "a")["limits"] == {}
    assert http.get("/use_cases/instances/chat/a").json()["limit_id"] is None


def test_a_deleted_definition_leaves_its_requests_its_instances_and_their_limits(http: Http) -> None:
    define(http, limit_config={"max": 1})
    result = ingest(http, "chat", "a")
    (limit_id,) = result["limits"]
    assert http.delete("/use_cases/definitions/chat").json()["name"] == "chat"
    assert http.get(f"/requests/{result['request_id']}/result").json() == {"xproxy_result": result}
    assert http.get(f"/limits/{limit_id}").status_code == 200
    assert http.get("/use_cases/instances/chat/a").json()["limit_id"] == limit_id
    assert list(ingest(http, "chat", "a")["limits"]) == [limit_id]
    assert http.get("/use_cases/definitions/chat").json()["limit_config"] is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("PUT", "/properties", {"properties": {}}),
        ("GET", "/kpis", None),
        ("PUT", "/kpis/k", {"score": 1}),
    ],
)
def test_an_instance_that_is_not_there_is_not_found(http: Http, method: str, path: str, body: Any) -> None:
    define(http)
    for use_case in ("chat", "nothing"):
        answer = http.request(method, f"/use_cases/instances/{use_case}/x{path}", json=body)
        assert refused(answer) == (404, "use_case_instance_not_found")


@pytest.mark.parametrize("body", [None, {}, {"properties": [1]}, {"properties": {"a": {}}}])
def test_properties_that_are_none_are_refused(http: Http, body: Any) -> None:
    ingest(http, "chat", "a")
    assert http.send_json("PUT", "/use_cases/instances/chat/a/properties", body).status_code == 400


def test_properties_of_requests_and_those_set_are_merged(http: Http, service: Served, key: str) -> None:
    ingest(http, "chat", "a", **{"xProxy-UseCase-Properties": '{"a": "1", "b": "2"}'})
    http.put("/use_cases/instances/chat/a/properties", json={"properties": {"b": None, "c": "3"}})
    ingest(http, "chat", "a", **{"xProxy-UseCase-Properties": '{"d": "4"}'})
    assert service.properties(key, use_case_instances, use_case_id="a") == {"a": "1", "c": "3", "d": "4"}


def test_prompts_are_not_kept_where_the_definition_says_so(http: Http, service: Served, key: str) -> None:
    define(http, logging_enabled=False)
    called = {"provider_response_function_calls": [{"name": "f", "arguments": "of the answer"}]}
    body = {**CALL, "provider_request_json": "the prompt", **called}
    http.post("/ingest", json=body, headers={"xProxy-UseCase-Name": "chat"})
    http.put("/use_cases/definitions/chat", json={"logging_enabled": True})
    http.post("/ingest", json=body, headers={"xProxy-UseCase-Name": "chat"})
    exchanges = [record.exchange for record in service.ledger_of(key).requests(newest_first=False)]
    assert exchanges == [
        {"provider_response_function_calls": [{"name": "f"}]},
        {"provider_request_json": "the prompt", **called},
    ]
