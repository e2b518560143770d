"""boto3, redirected after it has signed its requests, as Pay-i's SDK does it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EventStreamError
from payi.lib.helpers import payi_aws_bedrock_url

from payi_middleware.service.ledger import Ledger
from tests.providers.aws_frames import exception
from tests.transport import bedrock
from tests.transport.bedrock import (
    CLAUDE,
    CONVERSATION,
    CONVERSED,
    MESSAGE,
    MESSAGE_CHUNKS,
    MESSAGES,
    MODEL,
    Bedrock,
    Reply,
)

from .serving import headers, service, without

PRICED = "anthropic.claude-3-haiku-20240307-v1:0"
COST = 7 * 0.25e-6 + 3 * 1.25e-6
INVOKED = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": []})


@contextmanager
def redirected(ledger: Ledger, provider: Bedrock, *, decoded: bool = False, **said: str) -> Iterator[Any]:
    """Give a client whose requests are signed for Bedrock and sent to us.

    Args:
        decoded: hand the path on decoded, as Pay-i's SDK does by mistake.
    """
    with service(ledger) as url:

        def redirect(request: Any, **_: Any) -> None:
            signed_for = urlsplit(request.url)
            path = unquote(signed_for.path) if decoded else signed_for.path
            request.url = f"{payi_aws_bedrock_url(url)}{path}"
            for name, value in headers(f"{signed_for.scheme}://{signed_for.netloc}", **said).items():
                request.headers[name] = value

        client = bedrock.client(provider.url)
        client.meta.events.register_last("request-created", redirect, unique_id="redirect")
        try:
            yield client
        finally:
            client.close()


def signature_holds(path: str, came: Mapping[str, str], body: bytes) -> bool:
    """Check the signature of a request as Amazon does: from what has arrived, and the key."""
    algorithm, _, told = came["authorization"].partition(" ")
    signed = dict(part.strip().split("=", 1) for part in told.split(","))
    assert algorithm == "AWS4-HMAC-SHA256"
    request = AWSRequest("POST", f"http://{came['host']}{path}", data=body)
    for name in signed["SignedHeaders"].split(";"):
        if name not in ("host", "x-amz-date"):
            request.headers[name] = came[name]
    request.context["timestamp"] = came["x-amz-date"]
    signer = SigV4Auth(Credentials("AKIAEXAMPLE", "example"), "bedrock", "us-east-1")
    request.headers["X-Amz-Date"] = came["x-amz-date"]
    request.headers["host"] = came["host"]
    string = signer.string_to_sign(request, signer.canonical_request(request))
    return str(signer.signature(string, request)) == signed["Signature"]


def test_a_conversation_is_answered_and_booked(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [bedrock.whole(CONVERSED)]
    with redirected(ledger, scripted, user_id="alice", PriceAs_Resource=PRICED) as client:
        answer = client.converse(modelId=MODEL, messages=MESSAGES)

    assert answer["output"] == CONVERSED["output"]
    assert answer["usage"]["inputTokens"] == 7
    assert signature_holds(*scripted.asked[-1])
    path, came, _ = scripted.asked[-1]
    assert path == "/model/us.amazon.nova-lite-v1%3A0/converse"
    assert not [name for name in came if name.startswith("xproxy")]
    (record,) = ledger.requests()
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-payi-request-id"] == record.request_id
    assert (record.user_id, record.category, record.resource) == ("alice", "system.aws.bedrock", PRICED)
    assert record.units["text"] == {"input": 7, "output": 3}
    assert record.cost > 0


def test_boto3s_request_id_finds_the_result_that_boto3_does_not_show(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [bedrock.whole(CONVERSED)]
    with redirected(sqlite, scripted, PriceAs_Resource=PRICED) as client:
        answer = client.converse(modelId=MODEL, messages=MESSAGES)

    request_id = answer["ResponseMetadata"]["RequestId"]
    found = sqlite.result_by_provider_response_id("system.aws.bedrock", request_id)
    assert found is not None
    assert float(found["xproxy_result"]["cost"]["total"]["base"]) > 0


def test_a_path_that_was_decoded_after_signing_is_put_right(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [bedrock.whole(CONVERSED), bedrock.whole(CONVERSED, headers={"x-amzn-requestid": "another"})]
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    with redirected(sqlite, scripted, decoded=True) as client:
        client.converse(modelId=MODEL, messages=MESSAGES)
        first = signature_holds(*scripted.asked[-1])
        client.converse(modelId=profile, messages=MESSAGES)
        second = signature_holds(*scripted.asked[-1])

    assert (first, second) == (True, True)
    assert [record.resource for record in sqlite.requests()] == [profile, MODEL]


def test_a_streamed_conversation_has_its_result_in_the_message_with_the_usage(
    ledger: Ledger, scripted: Bedrock
) -> None:
    scripted.replies = [Reply(CONVERSATION)]
    with redirected(ledger, scripted, PriceAs_Resource=PRICED) as client:
        events = list(client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])

    assert [next(iter(event)) for event in events] == [
        "messageStart",
        *["contentBlockDelta"] * 3,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 3
    assert signature_holds(*scripted.asked[-1])
    (record,) = ledger.requests()
    assert record.units["text"] == {"input": 7, "output": 3}
    assert record.time_to_first_token_ms is not None


def test_an_invoked_model_has_its_result_in_the_body(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [bedrock.whole(MESSAGE)]
    with redirected(ledger, scripted, PriceAs_Resource=PRICED) as client:
        body = client.invoke_model(modelId=CLAUDE, body=INVOKED)["body"].read()

    told, results = without("xproxy_result", body)
    assert told == json.dumps(MESSAGE).encode()
    assert results[0]["cost"]["total"]["base"] == pytest.approx(COST)
    assert signature_holds(*scripted.asked[-1])


def test_an_invoked_models_stream_has_its_result_in_its_last_chunk(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [Reply(MESSAGE_CHUNKS)]
    with redirected(ledger, scripted, PriceAs_Resource=PRICED) as client:
        stream = client.invoke_model_with_response_stream(modelId=CLAUDE, body=INVOKED)["body"]
        events = [json.loads(event["chunk"]["bytes"]) for event in stream]

    assert [event["type"] for event in events if "xproxy_result" in event] == ["message_stop"]
    assert events[-1]["amazon-bedrock-invocationMetrics"] == bedrock.METRICS
    assert events[-1]["xproxy_result"]["cost"]["total"]["base"] == pytest.approx(COST)
    (record,) = ledger.requests()
    assert record.provider_response_id == "msg_bdrk_1"


def test_a_limit_that_is_reached_is_an_error_with_that_code(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [bedrock.whole(CONVERSED)]
    ledger.create_limit(limit_name="b", limit_id="b", max=COST / 2, limit_type="block")
    with redirected(ledger, scripted, limit_ids="b", PriceAs_Resource=PRICED) as client:
        client.converse(modelId=MODEL, messages=MESSAGES)
        with pytest.raises(ClientError) as raised:
            client.converse_stream(modelId=MODEL, messages=MESSAGES)

    assert raised.value.response["Error"]["Code"] == "limit_reached"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert len(scripted.asked) == 1


def test_amazons_errors_stay_what_they_are(sqlite: Ledger, scripted: Bedrock) -> None:
    refused = {"x-amzn-errortype": "ValidationException:http://internal.amazon.com/coral/"}
    scripted.replies = [bedrock.whole({"message": "The model id is not valid."}, 400, refused)]
    with redirected(sqlite, scripted) as client, pytest.raises(ClientError) as raised:
        client.converse(modelId=MODEL, messages=MESSAGES)

    assert raised.value.response["Error"] == {"Code": "ValidationException", "Message": "The model id is not valid."}
    (record,) = sqlite.requests()
    assert (record.failed, record.http_status_code) == (True, 400)


def test_a_stream_that_ends_in_an_exception_is_one_for_the_caller_too(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [Reply([*CONVERSATION[:3], exception("throttlingException", "Too many tokens.")])]
    with (
        redirected(sqlite, scripted) as client,
        closing(client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]) as stream,
        pytest.raises(EventStreamError, match="Too many tokens"),
    ):
        list(stream)

    (record,) = sqlite.requests()
    assert record.failed
    assert record.properties["system.failure"] == "throttlingException"
