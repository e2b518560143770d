"""Calls go to known providers and to allowed hosts, and nowhere else: this is no open relay."""

from __future__ import annotations

import httpx
import pytest

from payi_middleware.exceptions import ConfigurationError
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.errors import ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.proxy.families import FAMILIES, Family, family_of
from payi_middleware.service.proxy.targets import Hosts, allowed_host
from tests.transport.bedrock import Bedrock, Reply, whole

from .serving import KEY, service

OPENAI, AZURE, _, AZURE_CLAUDE, BEDROCK = FAMILIES
HOSTS = Hosts(["llm.internal", "10.0.0.7:8080", "[::1]:9000", "127.0.0.1"])
CHAT = "/api/v1/proxy/openai/v1/chat/completions"


def url(uri: str | None, path: str = "chat/completions", family: int = 0, query: str = "") -> str:
    return HOSTS.target(FAMILIES[family], uri, path.split("/"), query).url


def code(uri: str | None, path: str = "chat/completions", family: int = 0) -> str:
    with pytest.raises(ServiceError) as raised:
        url(uri, path, family)
    assert raised.value.status == 400
    return raised.value.code


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("openai/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("anthropic/v1/messages", "https://api.anthropic.com/v1/messages"),
    ],
)
def test_openai_and_anthropic_have_their_own_hosts(path: str, expected: str) -> None:
    found = family_of(path.split("/"))

    assert found is not None
    assert HOSTS.target(found[0], None, found[1], "").url == expected


@pytest.mark.parametrize("family", [AZURE, AZURE_CLAUDE, BEDROCK])
def test_azure_and_bedrock_have_to_be_told_theirs(family: Family) -> None:
    assert code(None, family=FAMILIES.index(family)) == "header_is_missing"
    assert code("", family=FAMILIES.index(family)) == "header_is_missing"


@pytest.mark.parametrize(
    ("uri", "path", "family", "expected"),
    [
        ("https://api.openai.com", "models", 0, "https://api.openai.com/v1/models"),
        ("https://eu.api.openai.com/v1/", "models", 0, "https://eu.api.openai.com/v1/models"),
        ("HTTPS://API.OpenAI.com./v1", "models", 0, "https://api.openai.com/v1/models"),
        ("https://api.openai.com:443/v1", "models", 0, "https://api.openai.com/v1/models"),
        ("https://api.groq.com/openai/v1", "models", 0, "https://api.groq.com/openai/v1/models"),
        ("https://r.openai.azure.com/", "openai/x", 1, "https://r.openai.azure.com/openai/x"),
        ("https://r.services.ai.azure.com", "v1/messages", 3, "https://r.services.ai.azure.com/anthropic/v1/messages"),
        ("https://r.services.ai.azure.com/anthropic", "v1/x", 3, "https://r.services.ai.azure.com/anthropic/v1/x"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "model/a%3Ab/converse", 4, None),
        ("https://vpce-1-x.bedrock-runtime.us-east-1.vpce.amazonaws.com", "model/a/invoke", 4, None),
        ("http://llm.internal:8000", "models", 0, "http://llm.internal:8000/v1/models"),
        ("http://LLM.internal/api", "models", 0, "http://llm.internal/api/models"),
        ("http://10.0.0.7:8080/v1", "models", 0, "http://10.0.0.7:8080/v1/models"),
        ("http://[::1]:9000/v1", "models", 0, "http://[::1]:9000/v1/models"),
    ],
)
def test_known_and_allowed_hosts_are_called(uri: str, path: str, family: int, expected: str | None) -> None:
    assert url(uri, path, family) == (expected or f"{uri}/{path}")


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example",
        "https://me-my.hf.space",
        "https://api.openai.com.evil.example/v1",
        "https://evil-api.openai.com/v1",
        "https://xapi.anthropic.com",
        "https://openai.azure.com",
        "https://openai.azure.com.evil.example",
        "https://localhost/v1",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/v1",
        "https://0x7f000001/v1",
        "https://[::ffff:127.0.0.1]/v1",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com:80/v1",
        "http://10.0.0.7/v1",
        "http://10.0.0.7:8081/v1",
        "http://[::1]:9001/v1",
        "http://llm.internal.evil.example/v1",
        # Names that anybody can register at the provider's own: a bucket, a function, a tunnel.
        "https://bedrock-runtime.my-bucket.s3.amazonaws.com",
        "https://dashscope-x.oss-cn-beijing.aliyuncs.com/v1",
        "https://aiplatform.a.b.rep.googleapis.com",
    ],
)
def test_other_hosts_are_not_called(uri: str) -> None:
    assert code(uri) == "invalid_provider_host"


@pytest.mark.parametrize(
    "uri",
    [
        "http://api.openai.com/v1",
        "api.openai.com/v1",
        "//api.openai.com/v1",
        "https:api.openai.com",
        "https:///v1",
        "ftp://api.openai.com/v1",
        "file:///etc/passwd",
        "https://user@api.openai.com/v1",
        "https://api.openai.com@evil.example/v1",
        "https://api.openai.com:443@evil.example/v1",
        "https://api.openai.com:pass@evil.example",
        "https://api.openai.com%2eevil.example/v1",
        "https://api.openai.com%00.evil.example/v1",
        "https://api.openai.com\\@evil.example/v1",
        "https://evil.example\\.api.openai.com/v1",
        "https://api.openai.com#@evil.example/v1",
        "https://evil.example#.api.openai.com",
        "https://api.openai.com?.evil.example",
        "https://api.openai.com/v1?redirect=x",
        "https://api.openai.com/v1#x",
        "https://api.openai.com/v1 https://evil.example",
        "https://api.openai.com/v1\r\nHost: evil.example",
        "https://api.openai.com/v1\tx",
        "https://api.openai.com..evil.example\n/v1",
        "https://аpi.openai.com/v1",  # noqa: RUF001 - the first letter is Cyrillic
        "https://api。openai。com/v1",
        "https://api.openai.com:99999999/v1",
        "http://llm.internal:65536/v1",
        "http://llm.internal:0/v1",
        f"https://{'a.' * 500}openai.azure.com",
        "https://api.openai.com/v1/%zz",
        "https://api.openai.com/v1/../admin",
        "https://api.openai.com/v1/%2e%2e/admin",
        "https://api.openai.com/./v1",
    ],
)
def test_what_is_no_plain_address_is_refused(uri: str) -> None:
    assert code(uri) in ("invalid_provider_uri", "invalid_provider_host")


@pytest.mark.parametrize("path", ["chat/../../admin", "chat/%2E%2e/x", "./chat/completions", "chat/completions/."])
def test_a_path_with_dots_is_refused(path: str) -> None:
    """A provider would take them out, and the call would be another one than the one that is metered here."""
    assert code("https://api.openai.com/v1", path) == "invalid_provider_uri"


@pytest.mark.parametrize("name", ["", "http://llm.internal", "llm.internal/v1", "a b", "*.internal", "x:99999", "x:0"])
def test_an_allowed_host_that_is_none_is_an_error_at_the_start(name: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed_hosts"):
        allowed_host(name)
    with pytest.raises(ConfigurationError, match="Write host or host:port"):
        Hosts([name])


def test_the_refusal_reaches_the_caller(sqlite: Ledger, scripted: Bedrock) -> None:
    said = {"xProxy-api-key": KEY, "xProxy-Provider-BaseUri": scripted.url}
    with service(sqlite, ServiceConfig()) as address, httpx.Client(base_url=address, trust_env=False) as client:
        answer = client.post(CHAT, json={"model": "m"}, headers=said)
        nowhere = client.post("/api/v1/proxy/nobody/v1/chat/completions", json={}, headers=said)

    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (400, "invalid_provider_host")
    assert scripted.url.removeprefix("http://") not in answer.text
    assert nowhere.status_code == 404
    assert "/api/v1/proxy/azure.openai" in nowhere.json()["message"]
    assert scripted.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_neither_followed_nor_passed_on(sqlite: Ledger, scripted: Bedrock, status: int) -> None:
    """An SDK would follow it, and take the keys along."""
    scripted.replies = [
        Reply([b"gone"], status, "text/plain", {"location": f"{scripted.url}/v1/elsewhere"}, chunked=False)
    ]
    said = {"xProxy-api-key": KEY, "xProxy-Provider-BaseUri": scripted.url}
    with service(sqlite) as address, httpx.Client(base_url=address, trust_env=False) as client:
        answer = client.post(CHAT, json={"model": "m"}, headers=said)

    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (502, "provider_error")
    assert "location" not in answer.headers
    assert len(scripted.asked) == 1
    assert [record.failed for record in sqlite.requests()] == [True]


@pytest.mark.parametrize(
    "path",
    ["/chat//completions", "/chat/completions/", "/chat/completion%73", "/Chat/Completions", "/chat%2Fcompletions"],
)
def test_a_path_spelt_otherwise_is_metered_all_the_same(sqlite: Ledger, scripted: Bedrock, path: str) -> None:
    told = {"id": "c1", "model": "gpt-4o-mini", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    scripted.replies = [whole(told)]
    said = {"xProxy-api-key": KEY, "xProxy-Provider-BaseUri": scripted.url}
    with service(sqlite) as address, httpx.Client(base_url=address, trust_env=False) as client:
        answer = client.post(f"/api/v1/proxy/openai/v1{path}", json={"model": "gpt-4o-mini"}, headers=said)

    assert answer.json()["xproxy_result"]["cost"]["total"]["base"] > 0
    assert scripted.asked[0][0] == f"/v1{path}"
