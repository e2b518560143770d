"""Which requests are Bedrock's or SageMaker's, and what they ask for."""

from __future__ import annotations

import json

import pytest

from payi_middleware.providers import maybe_inference, read_request, recognise
from payi_middleware.providers.answer import MISSING
from tests.providers.aws_frames import EVENT_STREAM, frame
from tests.providers.wires import JSON, matched, play

HOST = "https://bedrock-runtime.us-east-1.amazonaws.com"
PROFILE = "arn:aws:bedrock:us-east-1:012345678901:inference-profile/us.anthropic.claude-sonnet-4-v1:0"
SIGNED = {**JSON, "authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request, Signed"}
ENDPOINT = "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/my-llama/invocations"


@pytest.mark.parametrize(
    ("operation", "api", "stream"),
    [
        ("converse", "bedrock.converse", False),
        ("converse-stream", "bedrock.converse_stream", True),
        ("invoke", "bedrock.invoke", False),
        ("invoke-with-response-stream", "bedrock.invoke_stream", True),
    ],
)
def test_the_path_names_the_operation_and_the_model(operation: str, api: str, stream: bool) -> None:
    url = f"{HOST}/model/us.amazon.nova-lite-v1%3A0/{operation}"
    match = matched(url)
    assert match is not None
    assert (match.api, match.category, match.provider) == (api, "system.aws.bedrock", "bedrock")
    asked = read_request(match, b'{"model":"another","version":"2"}')
    assert (asked.model, asked.stream) == ("us.amazon.nova-lite-v1:0", stream)
    assert maybe_inference(f"/model/us.amazon.nova-lite-v1%3A0/{operation}".encode())


@pytest.mark.parametrize(
    "path", [PROFILE.replace(":", "%3A").replace("/", "%2F"), PROFILE.replace("/", "%2F"), PROFILE]
)
def test_the_name_of_a_resource_is_read_whether_its_slash_is_encoded_or_not(path: str) -> None:
    match = matched(f"{HOST}/model/{path}/converse")
    assert match is not None
    assert match.model_from_path == PROFILE


@pytest.mark.parametrize(
    "host",
    [
        "bedrock-runtime.eu-central-1.amazonaws.com",
        "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
        "bedrock-runtime.cn-north-1.amazonaws.com.cn",
        "bedrock-runtime.us-east-1.api.aws",
        "vpce-0a1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
    ],
)
def test_every_host_of_bedrocks_is_known(host: str) -> None:
    match = matched(f"https://{host}/model/my-own/invoke")
    assert match is not None
    assert match.provider == "bedrock"


@pytest.mark.parametrize(
    "url",
    [
        f"{HOST}/model/amazon.nova-lite-v1%3A0/count-tokens",
        f"{HOST}/guardrail/g1/version/1/apply",
        f"{HOST}/async-invoke",
        f"{HOST}/model/converse",
        f"{HOST}/model/a/b/converse",
        f"{HOST}/invoke",
        "https://bedrock-agent-runtime.us-east-1.amazonaws.com/agents/A/agentAliases/B/sessions/s/text",
        "https://bedrock.us-east-1.amazonaws.com/foundation-models",
        "https://app.internal/model/churn/invoke",
        "https://app.internal/chain/invoke",
    ],
)
def test_other_requests_are_nothing(url: str) -> None:
    assert matched(url) is None
    assert matched(url.replace("app.internal", "localhost"), JSON, "GET") is None


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://gateway.internal/aws/model/us.anthropic.claude-sonnet-4-v1:0/invoke", JSON),
        ("http://gateway.internal/model/my-own/invoke", SIGNED),
        ("http://gateway.internal/model/my-own/converse", {"authorization": SIGNED["authorization"]}),
        (
            f"http://gateway.internal/model/{PROFILE.replace('/', '%2F')}/invoke",
            {"content-type": "application/octet-stream"},
        ),
    ],
)
def test_bedrock_behind_another_host_is_told_by_its_models_and_signatures(url: str, headers: dict[str, str]) -> None:
    match = matched(url, headers)
    assert match is not None
    assert match.category == "system.aws.bedrock"


def test_a_host_of_ones_own_can_be_named_bedrock() -> None:
    custom = {"llm.internal": ("bedrock", None)}
    match = recognise("POST", "llm.internal", None, "/model/mine/converse", {}, custom)
    assert match is not None
    assert (match.api, match.category) == ("bedrock.converse", "system.aws.bedrock")
    assert recognise("POST", "llm.internal", None, "/model/mine/count-tokens", {}, custom) is None


def test_the_guardrail_that_a_call_asks_for_is_noted() -> None:
    expected = {"system.aws.bedrock.guardrail.id": "g1", "system.aws.bedrock.guardrail.version": "DRAFT"}
    converse = matched(f"{HOST}/model/amazon.nova-lite-v1%3A0/converse")
    assert converse is not None
    config = {"guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "DRAFT", "trace": "enabled"}}
    assert read_request(converse, json.dumps(config).encode()).notes == expected
    assert read_request(converse, b'{"guardrailConfig":[1]}').notes == {}
    headers = {**JSON, "x-amzn-bedrock-guardrailidentifier": "g1", "x-amzn-bedrock-guardrailversion": "DRAFT"}
    invoke = matched(f"{HOST}/model/amazon.nova-lite-v1%3A0/invoke", headers)
    assert invoke is not None
    assert dict(invoke.notes) == expected


def test_an_endpoint_of_sagemakers_is_named_by_its_path() -> None:
    match = matched(ENDPOINT)
    assert match is not None
    assert (match.api, match.category) == ("sagemaker.invoke", "aws.sagemaker")
    assert read_request(match, b'{"inputs":"Hi","version":"3"}').model == "my-llama"


@pytest.mark.parametrize(
    ("url", "content_type"),
    [
        (ENDPOINT, "text/csv"),
        (ENDPOINT.replace("/invocations", "/async-invocations"), "application/json"),
        ("https://runtime.sagemaker.eu-west-1.amazonaws.com/other/x/invocations", "application/json"),
        ("https://app.internal/endpoints/x/invocations", "application/json"),
    ],
)
def test_other_calls_of_endpoints_are_nothing(url: str, content_type: str) -> None:
    assert matched(url, {"content-type": content_type}) is None


def test_most_models_on_sagemaker_count_nothing() -> None:
    for body in ([{"generated_text": "Oslo."}], {"generated_text": "Oslo."}):
        answer = play(ENDPOINT, body)
        assert answer.usage is None
        assert answer.notes == {MISSING: "provider sent no usage"}


def test_models_on_sagemaker_that_count_as_openais_do_are_read() -> None:
    body = {"id": "c1", "model": "m", "choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    answer = play(ENDPOINT, body)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.response_id) == (4, 2, "c1")
    llama = play(ENDPOINT, {"generation": "x", "prompt_token_count": 3, "generation_token_count": 1})
    assert llama.usage is not None
    assert llama.usage.input_tokens == 3


def test_a_stream_of_sagemakers_is_searched_at_its_end() -> None:
    url = ENDPOINT.replace("/invocations", "/invocations-response-stream")
    sent = b'data: {"choices":[]}\n\ndata: {"usage":{"prompt_tokens":4,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    headers = {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
    parts = b"".join(frame(headers, sent[at : at + 30]) for at in range(0, len(sent), 30))
    answer = play(url, parts, EVENT_STREAM)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 2)
    assert play(url, frame(headers, b"Oslo"), EVENT_STREAM).notes == {MISSING: "provider sent no usage"}
