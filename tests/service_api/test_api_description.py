"""The description at `/openapi.json`: it is complete, valid, and what the service keeps to."""

from __future__ import annotations

import os
import re
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from payi_middleware.service.api.routing import ANY
from payi_middleware.service.app import DESCRIPTION, ROUTES
from tests.service_api.asking import CALL
from tests.service_api.serving import Http, Served

DOCUMENT = DESCRIPTION.document()
OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
CONTRACT = """
POST /limits | GET /limits | GET /limits/{} | PUT /limits/{} | DELETE /limits/{} | POST /limits/{}/reset
PUT /limits/{}/properties | POST /ingest | POST /ingest/bulk | GET /categories | DELETE /categories/{}
GET /categories/{}/resources | POST /categories/{}/resources/{} | GET /categories/{}/resources/{}
DELETE /categories/{}/resources/{} | GET /categories/{}/resources/{}/{} | DELETE /categories/{}/resources/{}/{}
POST /use_cases/definitions | GET /use_cases/definitions | GET /use_cases/definitions/{}
PUT /use_cases/definitions/{} | DELETE /use_cases/definitions/{} | POST /use_cases/definitions/{}/increment_version
POST /use_cases/definitions/{}/limit_config | DELETE /use_cases/definitions/{}/limit_config
POST /use_cases/definitions/{}/kpis | GET /use_cases/definitions/{}/kpis | GET /use_cases/definitions/{}/kpis/{}
PUT /use_cases/definitions/{}/kpis/{} | DELETE /use_cases/definitions/{}/kpis/{} | POST /use_cases/instances/{}
GET /use_cases/instances/{}/{} | DELETE /use_cases/instances/{}/{} | PUT /use_cases/instances/{}/{}/properties
GET /use_cases/instances/{}/{}/kpis | PUT /use_cases/instances/{}/{}/kpis/{} | GET /requests/{}/result
PUT /requests/{}/properties | GET /requests/provider/{}/{}/result | PUT /requests/provider/{}/{}/properties
"""


def _anonymous(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def test_each_of_the_contracts_forty_endpoints_is_described() -> None:
    wanted = [endpoint.strip() for line in CONTRACT.split("\n") for endpoint in line.split("|") if endpoint.strip()]
    assert len(wanted) == 40
    described = {f"{method.upper()} {_anonymous(path)}" for method, path, _ in OPERATIONS}
    assert {endpoint.replace(" /", " /api/v1/") for endpoint in wanted} <= described


def test_each_route_of_the_api_is_described() -> None:
    described = {(method.upper(), path) for method, path, _ in OPERATIONS}
    for route in ROUTES:
        if route.path.startswith("/api/") and route.method != ANY:
            assert (route.method, route.path) in described
    proxied = {path for _, path, _ in OPERATIONS if path.startswith("/api/v1/proxy/")}
    families = ("openai/v1", "azure.openai", "anthropic", "azure.anthropic", "aws.bedrock")
    assert proxied == {f"/api/v1/proxy/{family}/{{path}}" for family in families}


def test_the_description_is_valid() -> None:
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    references = set(re.findall(r"'#/components/schemas/([^']+)'", str(DOCUMENT)))
    assert references == set(DOCUMENT["components"]["schemas"])


def test_each_operation_says_in_words_what_it_does() -> None:
    assert all(operation["summary"] for _, _, operation in OPERATIONS)


def test_anybody_may_read_the_description(service: Served) -> None:
    response = httpx.get(f"{service.url}/openapi.json", trust_env=False)
    assert response.json() == DOCUMENT
    assert response.headers["content-type"] == "application/json"


# --- what the service does with whatever the description allows -------------------------------------------------------

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
KNOWN = {
    "limit_id": "a",
    "use_case_name": "chat",
    "use_case_id": "a",
    "kpi_name": "good",
    "category": "mine",
    "resource": "model",
    "provider_response_id": "r",
}
"""What is there, so that not all that is asked for is not found."""


@pytest.fixture
def filled(service: Served, key: str) -> str:
    with Http(service, key) as http:
        http.post("/limits", json={"limit_name": "a", "limit_id": "a", "max": 5})
        http.post("/use_cases/definitions", json={"name": "chat", "description": "d", "limit_config": {"max": 1}})
        kpi = {"name": "good", "description": "d", "goal": 1, "kpi_type": "number"}
        http.post("/use_cases/definitions/chat/kpis", json=kpi)
        http.post("/categories/mine/resources/model", json={"units": {"text": {"input_price": 0.1}}})
        call = {**CALL, "category": "mine", "resource": "model", "provider_response_id": "r"}
        headers = {"xProxy-UseCase-Name": "chat", "xProxy-UseCase-ID": "a", "xProxy-Limit-IDs": "a"}
        http.post("/ingest", json=call, headers=headers)
        http.put("/use_cases/instances/chat/a/kpis/good", json={"score": 1})
    return key


@pytest.mark.parametrize(
    ("method", "path"),
    [(method.upper(), path) for method, path, _ in OPERATIONS if "/proxy/" not in path],
)
def test_an_endpoint_answers_anything_with_what_is_described(
    service: Served, filled: str, method: str, path: str
) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=service.url)
    operation = schema[path][method]

    @settings(
        max_examples=int(os.environ.get("EXAMPLES", "20")),
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), known=st.booleans())
    def ask(case: Case[Any], known: bool) -> None:
        if known:
            case.path_parameters.update({name: KNOWN[name] for name in case.path_parameters if name in KNOWN})
        case.call_and_validate(checks=CHECKS, headers={"xProxy-api-key": filled})

    ask()
