"""Which requests are inferences, whose, and in which format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Match, hosts, maybe_inference, recognise
from payi_middleware.providers.rows import ROWS

NOBODY: dict[str, tuple[str, str | None]] = {}
VERSIONED = {"anthropic-version": "2023-06-01"}


def post(
    url: str, headers: dict[str, str] | None = None, custom: dict[str, tuple[str, str | None]] | None = None
) -> Match | None:
    host, _, path = url.partition("/")
    name, _, port = host.partition(":")
    return recognise("POST", name, int(port) if port else None, "/" + path, headers or {}, custom or {})


def kind(url: str, headers: dict[str, str] | None = None) -> tuple[str, str] | None:
    match = post(url, headers)
    return None if match is None else (match.api, match.category)


@pytest.mark.parametrize(
    ("url", "api", "category"),
    [
        ("api.openai.com/v1/chat/completions", "openai.chat", "system.openai"),
        ("api.openai.com/v1/completions", "openai.completions", "system.openai"),
        ("api.openai.com/v1/responses", "openai.responses", "system.openai"),
        ("api.openai.com/v1/responses/compact", "openai.responses", "system.openai"),
        ("api.openai.com/v1/embeddings", "openai.embeddings", "system.openai"),
        ("eu.api.openai.com/v1/responses", "openai.responses", "system.openai"),
        ("api.anthropic.com/v1/messages", "anthropic.messages", "system.anthropic"),
        ("api.anthropic.com/v1/chat/completions", "openai.chat", "system.anthropic"),
        ("x.openai.azure.com/openai/v1/responses", "openai.responses", "system.azureopenai"),
        ("x.services.ai.azure.com/models/chat/completions", "openai.chat", "system.azureopenai"),
        ("x.cognitiveservices.azure.com/openai/deployments/d/embeddings", "openai.embeddings", "system.azureopenai"),
        ("bedrock-runtime.us-west-2.amazonaws.com/openai/v1/chat/completions", "openai.chat", "system.aws.bedrock"),
        ("generativelanguage.googleapis.com/v1beta/openai/chat/completions", "openai.chat", "system.google.vertex"),
        ("x.openai.azure.us/openai/deployments/d/chat/completions", "openai.chat", "system.azureopenai"),
        ("api.portkey.ai/v1/messages", "anthropic.messages", "portkey"),
        ("ark.cn-beijing.volces.com/api/v3/chat/completions", "openai.chat", "volcengine"),
        ("api.jina.ai/v1/rerank", "openai.rerank", "jina"),
        ("api.ai21.com/studio/v1/chat/completions", "openai.chat", "ai21"),
        ("adb-1.2.azuredatabricks.net/serving-endpoints/chat/completions", "openai.chat", "system.databricks.azure"),
        ("x.cloud.databricks.com/serving-endpoints/chat/completions", "openai.chat", "system.databricks.aws"),
        ("api.groq.com/openai/v1/chat/completions", "openai.chat", "groq"),
        ("api.mistral.ai/v1/fim/completions", "openai.completions", "mistral"),
        ("openrouter.ai/api/v1/chat/completions", "openai.chat", "openrouter"),
        ("router.huggingface.co/together/v1/chat/completions", "openai.chat", "huggingface"),
        ("api.writer.com/v1/chat", "openai.chat", "writer"),
        ("api.voyageai.com/v1/embeddings", "voyage.embeddings", "voyage"),
        ("api.openai.com/v1/images/generations", "openai.images", "system.openai"),
        ("api.openai.com/v1/images/edits", "openai.images", "system.openai"),
        ("api.openai.com/v1/images/variations", "openai.images", "system.openai"),
        ("api.openai.com/v1/audio/transcriptions", "openai.audio.transcriptions", "system.openai"),
        ("api.openai.com/v1/audio/translations", "openai.audio.transcriptions", "system.openai"),
        ("api.openai.com/v1/audio/speech", "openai.audio.speech", "system.openai"),
        ("x.openai.azure.com/openai/deployments/d/images/generations", "openai.images", "system.azureopenai"),
        ("api.openai.com/v1/threads/runs", "openai.assistants.run", "system.openai"),
        ("api.openai.com/v1/threads/thread_1/runs", "openai.assistants.run", "system.openai"),
        (
            "api.openai.com/v1/threads/thread_1/runs/run_1/submit_tool_outputs",
            "openai.assistants.run",
            "system.openai",
        ),
        ("openrouter.ai/api/v1/rerank", "openai.rerank", "openrouter"),
        ("gateway.test/openai/images/edits", "openai.images", "system.openai"),
        ("x.snowflakecomputing.com/api/v2/cortex/inference:complete", "openai.chat", "snowflake"),
        ("x.snowflakecomputing.com/api/v2/cortex/inference/complete", "openai.chat", "snowflake"),
        ("adb-1.2.azuredatabricks.net/serving-endpoints/my-llm/invocations", "openai.chat", "system.databricks.azure"),
        ("api.venice.ai/api/v1/image/generate", "openai.images", "venice"),
        ("localhost:8080/v1/rerank", "openai.rerank", "system.openai"),
        ("api.cohere.com/v2/chat", "cohere.v2.chat", "cohere"),
        ("localhost:11434/api/chat", "ollama.chat", "ollama"),
        ("localhost:11434/v1/chat/completions", "openai.chat", "system.openai"),
        ("llm.internal/gateway/openai/responses", "openai.responses", "system.openai"),
    ],
)  # fmt: skip
def test_an_inference_is_recognised_by_host_and_path(url: str, api: str, category: str) -> None:
    assert kind(url) == (api, category)


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com/v1/responses/resp_1",
        "api.openai.com/v1/responses/resp_1/cancel",
        "api.openai.com/v1/responses/input_tokens",
        "api.openai.com/v1/threads/thread_1/messages",
        "api.openai.com/v1/threads/thread_1/runs/run_1",
        "api.openai.com/v1/threads/thread_1/runs/run_1/cancel",
        "api.openai.com/v1/files",
        "api.openai.com/v1/files/file-1/content",
        "api.openai.com/v1/batches",
        "api.openai.com/v1/moderations",
        "api.anthropic.com/v1/messages/count_tokens",
        "api.anthropic.com/v1/messages/batches",
        "api.anthropic.com/v1/messages/batches/b/results",
        "api.payi.test/api/v1/ingest",
        "api.payi.test/api/v1/ingest/bulk",
        "api.payi.test/api/v1/proxy/openai/v1/chat/completions",
        "app.test/api/embeddings",
        "app.test/api/chat",
        "app.test/api/rerank",
        "app.test/v2/content",
        "app.test/images/edits",
        "app.test/image/generate",
        "app.test/audio/speech",
        "app.test/forms:complete",
        "app.test/serving-endpoints/x/invocations",
        "graph.test/threads/0b6e3a52/runs",
        "app.test/threads",
        "app.test/jobs/run_1",
        "forms.test/v1/forms/4711/responses",
        "chat.test/v1/messages",
        "chat.test/channels/7/messages",
        "api.openai.com/",
        "api.openai.com",
    ],
)
def test_what_generates_nothing_is_not_recognised(url: str) -> None:
    assert post(url) is None


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("api.openai.com/v1/responses/resp_1", "openai.responses.retrieve"),
        ("x.openai.azure.com/openai/v1/responses/resp_1", "openai.responses.retrieve"),
        ("api.openai.com/v1/threads/thread_1/runs/run_1", "openai.assistants.run.retrieve"),
        ("api.openai.com/v1/files/file-1/content", "openai.batch_results"),
        ("api.anthropic.com/v1/messages/batches/msgbatch_1/results", "anthropic.batch_results"),
    ],
)
def test_a_get_picks_up_what_was_generated_elsewhere(url: str, api: str) -> None:
    host, _, path = url.partition("/")
    match = recognise("GET", host, None, "/" + path, {})
    assert match is not None
    assert match.api == api
    assert maybe_inference(b"/" + path.encode())


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com/v1/responses/resp_1/input_items",
        "api.openai.com/v1/threads/thread_1/runs",
        "api.openai.com/v1/threads/thread_1/runs/run_1/steps",
        "api.openai.com/v1/threads/thread_1/runs/run_1/steps/step_1",
        "api.openai.com/v1/batches/batch_1",
        "api.openai.com/v1/files/file-1",
        "api.openai.com/v1/containers/c/files/f",
        "api.anthropic.com/v1/messages/batches/msgbatch_1",
        "ci.test/pipelines/runs/run_1",
        "graph.test/threads/0b6e3a52/runs/run_1",
        "app.test/files/7/content",
        "search.test/v1/results",
        "cms.test/pages/content",
    ],
)
def test_a_get_of_anything_else_is_not_recognised(url: str) -> None:
    host, _, path = url.partition("/")
    assert recognise("GET", host, None, "/" + path, {}) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_only_a_post_generates(method: str) -> None:
    assert recognise(method, "api.openai.com", 443, "/v1/responses", {}) is None


def test_an_unknown_host_speaks_anthropic_only_with_its_version_header_or_its_name_in_the_path() -> None:
    assert kind("gateway.test/v1/messages", VERSIONED) == ("anthropic.messages", "system.anthropic")
    assert kind("gateway.test/anthropic/v1/messages") == ("anthropic.messages", "system.anthropic")
    assert kind("gateway.test/v1/messages") is None


def test_an_unknown_host_is_not_recognised_when_it_is_sent_a_form() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert post("survey.test/v1/responses", form) is None
    assert post("survey.test/v1/responses", {"content-type": "application/json"}) is not None


def test_anthropic_on_azure_is_azures() -> None:
    assert kind("x.services.ai.azure.com/anthropic/v1/messages", VERSIONED) == ("anthropic.messages", "system.azure")


def test_an_azure_deployment_is_named_by_the_path_and_its_resource_by_the_answer() -> None:
    match = post("x.openai.azure.com//openai/deployments/my-gpt/chat/completions/?api-version=1")
    assert match == Match("openai.chat", "system.azureopenai", "azure", "response", "my-gpt")


def test_a_databricks_endpoint_is_named_by_the_path() -> None:
    match = post("x.cloud.databricks.com/serving-endpoints/my%2Dllm/invocations")
    assert match is not None
    assert match.model_from_path == "my-llm"


def test_a_custom_host_wins_over_a_known_one() -> None:
    custom: dict[str, tuple[str, str | None]] = {
        "api.groq.com": ("openai", "my.groq"),
        "10.0.0.7:8080": ("anthropic", None),
    }
    match = post("api.groq.com/openai/v1/chat/completions", None, custom)
    assert match == Match("openai.chat", "my.groq", "custom")
    assert post("10.0.0.7:8080/v1/messages", None, custom) == Match("anthropic.messages", "system.anthropic", "custom")
    assert post("10.0.0.7:9090/v1/messages", None, custom) is None
    assert post("10.0.0.7:8080/v1/chat/completions", None, custom) is None


def test_host_names_are_compared_without_case() -> None:
    assert kind("API.OpenAI.com./v1/embeddings") == ("openai.embeddings", "system.openai")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/v1/chat/completions", True),
        (b"/v1/chat/completions/", True),
        (b"/v1/messages?beta=true", True),
        (b"/openai/deployments/d/embeddings?api-version=2024-10-21", True),
        (b"/v1/responses", True),
        (b"/v1/responses/compact", True),
        (b"/v1/customers/7", False),
        (b"/search?q=/completions", False),
        (b"https://api.example.com/", False),
        (b"api.example.com/", False),
        (b"https://abc.us-east-1.aws.endpoints.huggingface.cloud/", True),
        (b"abc.us-east-1.aws.endpoints.huggingface.cloud/", True),
        (b"/", True),  # only the host can tell
        (b"/?a=b", True),
    ],
)
def test_the_fast_check_looks_at_the_last_segment_only(target: bytes, expected: bool) -> None:
    assert maybe_inference(target) is expected


@given(st.text(st.sampled_from("abv1/?:.-"), max_size=40), st.sampled_from(["completions", "messages", "responses"]))
def test_what_is_recognised_always_passes_the_fast_check(start: str, last: str) -> None:
    path = f"/{start}/{last}"
    if recognise("POST", "llm.test", None, path, VERSIONED) is not None:
        assert maybe_inference(path.encode())


def test_every_row_has_its_vendors_page_and_hosts_of_its_own() -> None:
    hosts = [host for row in ROWS for host in row.hosts]
    assert len(hosts) == len(set(hosts))
    assert all(row.source.startswith("https://") and row.hosts and row.category for row in ROWS)


def test_a_request_like_one_before_is_judged_by_its_own_headers_and_settings() -> None:
    path, custom = "/v1/messages", {"llm.internal": ("openai", "mine")}
    for _ in range(3):
        assert recognise("POST", "llm.internal", None, path, {}, NOBODY) is None
        told = recognise("POST", "llm.internal", None, path, VERSIONED, NOBODY)
        assert told is not None
        assert told.api == "anthropic.messages"
        assert recognise("GET", "llm.internal", None, path, VERSIONED, NOBODY) is None
        chat = recognise("POST", "llm.internal", None, "/v1/chat/completions", {}, custom)
        assert chat is not None
        assert chat.category == "mine"
        plain = recognise("POST", "llm.internal", None, "/v1/chat/completions", {}, NOBODY)
        assert plain is not None
        assert plain.category == "system.openai"


def test_what_is_looked_up_of_earlier_requests_is_bounded_and_holds_no_keys() -> None:
    for number in range(2000):
        key = {"authorization": f"Bearer secret-{number}", "user-agent": "x"}
        recognise("POST", f"host-{number}.internal", None, "/model/m/invoke", key, NOBODY)
        recognise("POST", f"host-{number}.internal", None, "/v1/chat/completions", key, NOBODY)
    assert 0 < len(hosts._known) <= hosts._MOST_KNOWN
    assert "secret" not in repr(hosts._known)
