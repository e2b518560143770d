"""What goes along to the provider, and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger
from tests.transport.bedrock import Bedrock, Reply, whole

from .serving import KEY, headers, service

CHAT = "/api/v1/proxy/openai/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "a secret of the caller"}]}
TOLD = {
    "id": "c1",
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a secret of the model"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1},
}


def ask(ledger: Ledger, scripted: Bedrock, sent: dict[str, str], config: ServiceConfig | None = None) -> httpx.Response:
    if not scripted.replies:
        scripted.replies = [whole(TOLD)]
    chosen = config or ServiceConfig(allowed_hosts=("127.0.0.1",))
    with service(ledger, chosen) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        return client.post(CHAT, json=ASKED, headers={**headers(scripted.url), **sent})


def test_an_sdks_headers_pass(sqlite: Ledger, scripted: Bedrock) -> None:
    sent = {
        "authorization": "Bearer sk-1",
        "openai-organization": "org-1",
        "openai-beta": "assistants=v2",
        "x-stainless-lang": "python",
        "anthropic-version": "2023-06-01",
        "user-agent": "OpenAI/Python 3.57.0",
        "idempotency-key": "k-1",
        "accept": "application/json",
    }
    ask(sqlite, scripted, sent)

    came = scripted.asked[0][1]
    assert {name: came.get(name) for name in sent} == sent
    assert came["host"] == scripted.url.removeprefix("http://")
    assert came["content-type"] == "application/json"
    assert came["accept-encoding"] == "identity"


def test_what_is_ours_or_the_connections_or_the_networks_does_not_pass(sqlite: Ledger, scripted: Bedrock) -> None:
    sent = {
        "connection": "keep-alive, x-of-this-hop",
        "x-of-this-hop": "1",
        "keep-alive": "timeout=5",
        "proxy-authorization": "Basic abc",
        "te": "trailers",
        "cookie": "session=1",
        "x-forwarded-for": "10.1.2.3",
        "x-forwarded-proto": "https",
        "forwarded": "for=10.1.2.3",
        "x-real-ip": "10.1.2.3",
        "via": "1.1 inner",
        "baggage": "payi.user_id=alice",
        "xProxy-User-ID": "alice",
        "xProxy-Account-Name": "acme",
    }
    ask(sqlite, scripted, sent)

    came = scripted.asked[0][1]
    assert {name.lower() for name in sent} & came.keys() <= {"connection"}
    assert came.get("connection", "keep-alive") == "keep-alive"
    assert not [name for name in came if name.startswith("xproxy")]
    assert KEY not in str(came)
    assert [(record.user_id, record.account_name) for record in sqlite.requests()] == [("alice", "acme")]


def test_a_header_is_forwarded_under_its_own_name(sqlite: Ledger, scripted: Bedrock) -> None:
    sent = {"xProxy-Forward-BatchMode": "True", "xProxy-Forward-User-Agent": "mine", "user-agent": "theirs"}
    ask(sqlite, scripted, sent)

    came = scripted.asked[0][1]
    assert (came["batchmode"], came["user-agent"]) == ("True", "mine")


@pytest.mark.parametrize("name", ["", "Host", "Content-Length", "Transfer-Encoding", "Connection", "xProxy-api-key"])
def test_a_header_that_steers_the_connection_is_not_forwarded(sqlite: Ledger, scripted: Bedrock, name: str) -> None:
    answer = ask(sqlite, scripted, {f"xProxy-Forward-{name}": "evil.example"})

    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (400, "request_processing_error")
    assert scripted.asked == []


def test_the_providers_headers_pass_back_and_those_of_its_site_do_not(sqlite: Ledger, scripted: Bedrock) -> None:
    told = {
        "x-request-id": "req-1",
        "openai-processing-ms": "12",
        "x-ratelimit-remaining-requests": "9",
        "retry-after": "3",
        "set-cookie": "__cf_bm=abc; Domain=.openai.com",
        "strict-transport-security": "max-age=31536000",
        "alt-svc": 'h3=":443"',
        "etag": '"abc"',
        "keep-alive": "timeout=9",
        "connection": "x-of-this-hop",
        "x-of-this-hop": "1",
    }
    scripted.replies = [whole(TOLD, headers=told)]
    answer = ask(sqlite, scripted, {})

    passed = ["x-request-id", "openai-processing-ms", "x-ratelimit-remaining-requests", "retry-after"]
    assert {name: answer.headers[name] for name in passed} == {name: told[name] for name in passed}
    assert not (told.keys() - set(passed)) & set(answer.headers)
    assert len(answer.headers.get_list("date")) == len(answer.headers.get_list("server")) == 1
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["x-payi-request-id"] == answer.json()["xproxy_result"]["request_id"]


def test_one_callers_cookies_are_not_kept_for_another(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [whole(TOLD, headers={"set-cookie": "a=1"})]
    with service(sqlite) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        for _ in range(2):
            client.post(CHAT, json=ASKED, headers=headers(scripted.url))

    assert [("cookie" in came) for _, came, _ in scripted.asked] == [False, False]


def test_properties_come_as_base64_of_json(sqlite: Ledger, scripted: Bedrock) -> None:
    sent = {
        "xProxy-Request-Properties": base64.b64encode(
            json.dumps({"route": "/chat", "dropped": None}).encode()
        ).decode(),
        "xProxy-UseCase-Properties": base64.b64encode('{"tier": "göld"}'.encode()).decode(),
        "xProxy-UseCase-Name": "support",
        "xProxy-Request-Tags": "a,b",
        "xProxy-Resource-Scope": "datazone.eu",
    }
    result = ask(sqlite, scripted, sent).json()["xproxy_result"]

    (record,) = sqlite.requests()
    assert record.properties == {"route": "/chat"}
    assert record.use_case_properties == {"tier": "göld"}
    assert (record.request_tags, record.scope) == (["a", "b"], "datazone.eu")
    assert result["use_case_id"] == record.use_case_id


def test_the_older_names_of_headers_are_understood(sqlite: Ledger, scripted: Bedrock) -> None:
    sent = {"xProxy-Experience-Name": "support", "xProxy-Experience-ID": "7", "xProxy-RouteAs-Resource": "gpt-4o"}
    ask(sqlite, scripted, sent)

    (record,) = sqlite.requests()
    assert (record.use_case_name, record.use_case_id, record.resource) == ("support", "7", "gpt-4o")


@pytest.mark.parametrize(
    ("said", "by_default", "kept"),
    [(None, False, False), (None, True, True), ("True", True, False), ("False", False, True), ("False", True, True)],
)
def test_prompts_are_kept_where_that_is_asked_for(
    sqlite: Ledger, scripted: Bedrock, said: str | None, by_default: bool, kept: bool
) -> None:
    config = ServiceConfig(allowed_hosts=("127.0.0.1",), log_content=by_default)
    ask(sqlite, scripted, {} if said is None else {"xProxy-Logging-Disable": said}, config)

    (record,) = sqlite.requests()
    assert ("a secret of the caller" in str(record)) is kept
    assert ("a secret of the model" in str(record)) is kept
    assert record.exchange["provider_uri"] == f"{scripted.url}/v1/chat/completions"


def test_the_chunks_of_a_stream_are_kept_one_by_one(sqlite: Ledger, scripted: Bedrock) -> None:
    pieces = [b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n', b"data: [DONE]\n\n"]
    scripted.replies = [Reply(pieces, content_type="text/event-stream")]
    ask(sqlite, scripted, {"xProxy-Logging-Disable": "False"})

    (record,) = sqlite.requests()
    told: list[Any] = record.exchange["provider_response_json"]
    assert told == ['{"id":"c1","choices":[{"index":0,"delta":{"content":"Hi"}}]}', "[DONE]"]
