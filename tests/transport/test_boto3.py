"""Bedrock calls by boto3, against a local server that speaks Bedrock's wire."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.endpoint
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    EventStreamError,
    IncompleteReadError,
    ResponseStreamingError,
)
from urllib3.exceptions import ProtocolError

from payi_middleware import Settings, instrument, result_of, track_context, uninstrument
from payi_middleware.botocore import patch_endpoint
from payi_middleware.exceptions import ConfigurationError
from tests.providers.aws_frames import exception
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
    client,
    serving,
    whole,
)
from tests.transport.calling import only_report, reports
from tests.transport.serving import paced, unused_port

PROFILE = "arn:aws:bedrock:us-east-1:012345678901:inference-profile/us.amazon.nova-lite-v1:0"
COUNTED = {"text": {"input": 7, "output": 3}, "text_cache_read": {"input": 20}}


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Bedrock]:
    with serving() as bedrock:
        yield bedrock


@pytest.fixture
def bedrock(server: Bedrock) -> Bedrock:
    server.asked.clear()
    server.replies[:] = [whole(CONVERSED)]
    return server


def sides(units: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Leave out the sides that count nothing."""
    return {unit: {side: count for side, count in counts.items() if count} for unit, counts in units.items()}


def test_a_call_is_reported(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with track_context(user_id="ada", use_case_name="capitals"):
        answer = client(bedrock.url).converse(modelId=MODEL, messages=MESSAGES)
    assert answer["output"] == CONVERSED["output"]
    report = only_report(ledger_path)
    assert (report.category, report.resource, report.http_status_code) == ("system.aws.bedrock", MODEL, 200)
    assert (report.user_id, report.use_case_name) == ("ada", "capitals")
    assert sides(report.units) == COUNTED
    assert not report.failed
    assert report.end_to_end_latency_ms is not None
    assert report.exchange["provider_uri"] == f"{bedrock.url}/model/{MODEL.replace(':', '%3A')}/converse"
    assert "system.stream" not in report.properties


def test_a_client_made_before_is_covered_and_after_it_is_not(
    bedrock: Bedrock, settings: Settings, ledger_path: Path
) -> None:
    older = client(bedrock.url)
    send, make_request = botocore.endpoint.Endpoint._send, botocore.endpoint.Endpoint.make_request
    instrument(settings)
    older.converse(modelId=MODEL, messages=MESSAGES)
    uninstrument()
    answer = older.converse(modelId=MODEL, messages=MESSAGES)
    assert type(answer) is dict
    assert (botocore.endpoint.Endpoint._send, botocore.endpoint.Endpoint.make_request) == (send, make_request)
    only_report(ledger_path)


def test_the_name_of_a_profile_is_the_resource(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    client(bedrock.url).converse(modelId=PROFILE, messages=MESSAGES)
    assert only_report(ledger_path).resource == PROFILE


def test_the_request_is_sent_as_it_is_without_us(bedrock: Bedrock, settings: Settings) -> None:
    caller = client(bedrock.url)
    caller.converse(modelId=MODEL, messages=MESSAGES)
    instrument(settings)
    caller.converse(modelId=MODEL, messages=MESSAGES)
    (path, before, body), (metered_path, after, metered_body) = bedrock.asked
    assert (metered_path, metered_body) == (path, body)
    assert list(after) == list(before)


def test_a_stream_is_reported_with_its_times(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    bedrock.replies[:] = [Reply(CONVERSATION)]
    instrument(settings)
    answer = client(bedrock.url).converse_stream(modelId=MODEL, messages=MESSAGES)
    events = list(answer["stream"])
    assert "".join(event["contentBlockDelta"]["delta"]["text"] for event in events[1:4]) == "Oslo."
    report = only_report(ledger_path)
    assert sides(report.units) == COUNTED
    assert report.time_to_first_token_ms is not None
    assert report.time_to_first_completion_token_ms is not None
    assert "system.stream" not in report.properties


def test_each_event_arrives_before_the_next_one_is_sent(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with paced("application/vnd.amazon.eventstream") as server:
        events = iter(client(server.url).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
        for sent in CONVERSATION:
            server.send(sent)
            assert len(next(events)) == 1
        server.send(None)
        assert list(events) == []
    assert sides(only_report(ledger_path).units) == COUNTED


def closed(stream: Any) -> None:
    stream.close()


def left(stream: Any) -> None:
    """Do nothing: the stream is forgotten."""


@pytest.mark.filterwarnings("ignore:unclosed")  # of a stream that is forgotten boto3 leaves the socket open
@pytest.mark.parametrize("leave", [closed, left])
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "untouched"])
def test_a_stream_that_is_left_is_reported_once(
    bedrock: Bedrock, settings: Settings, ledger_path: Path, leave: Callable[[Any], None], begun: bool
) -> None:
    bedrock.replies[:] = [Reply(CONVERSATION)]
    instrument(settings)

    def read_some() -> None:
        stream = client(bedrock.url).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
        if begun:
            assert next(iter(stream)) == {"messageStart": {"role": "assistant"}}
        leave(stream)

    read_some()
    gc.collect()
    assert only_report(ledger_path).http_status_code == 200


def test_a_stream_left_before_its_end_says_so(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with paced("application/vnd.amazon.eventstream") as server:
        server.send(CONVERSATION[0])
        stream = client(server.url).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
        next(iter(stream))
        stream.close()
        report = only_report(ledger_path)
    assert report.properties["system.stream"] == "ended before the provider's last event"
    assert report.properties["system.usage.missing"] == "stream ended before usage"


def read_whole(body: Any) -> bytes:
    return bytes(body.read())


def read_pieces(body: Any) -> bytes:
    return b"".join(body.iter_chunks(7))


def read_exactly(body: Any) -> bytes:
    return bytes(body.read(len(json.dumps(MESSAGE))))


def read_lines(body: Any) -> bytes:
    return b"".join(body.readlines())


def read_into(body: Any) -> bytes:
    room = bytearray(4096)
    return bytes(room[: body.readinto(room)])


def read_raw(body: Any) -> bytes:
    with body as raw:
        return b"".join(raw)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with its length"])
@pytest.mark.parametrize("read", [read_whole, read_pieces, read_exactly, read_lines, read_into, read_raw])
def test_the_body_of_invoke_is_reported_however_it_is_read(
    bedrock: Bedrock, settings: Settings, ledger_path: Path, read: Callable[[Any], bytes], chunked: bool
) -> None:
    raw = json.dumps(MESSAGE).encode()
    bedrock.replies[:] = [Reply([raw[:20], raw[20:]], content_type="application/json", chunked=chunked)]
    instrument(settings)
    answer = client(bedrock.url).invoke_model(modelId=CLAUDE, body=b'{"messages":[]}')
    assert read(answer["body"]) == raw
    del answer
    gc.collect()
    report = only_report(ledger_path)
    assert (report.resource, report.provider_response_id) == (CLAUDE, "msg_bdrk_1")
    assert sides(report.units) == {"text": {"input": 7, "output": 3}}
    if not chunked or read in (read_whole, read_pieces, read_lines, read_raw):
        assert "system.stream" not in report.properties


def test_a_body_that_is_never_read_is_reported_with_the_counts_of_its_headers(
    bedrock: Bedrock, settings: Settings, ledger_path: Path
) -> None:
    counts = {"x-amzn-bedrock-input-token-count": "7", "x-amzn-bedrock-output-token-count": "3"}
    bedrock.replies[:] = [whole({"generations": []}, headers=counts)]
    instrument(settings)
    client(bedrock.url).invoke_model(modelId=CLAUDE, body=b"{}")["body"].close()
    assert sides(only_report(ledger_path).units) == {"text": {"input": 7, "output": 3}}


def test_a_stream_of_invoke_is_reported(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    bedrock.replies[:] = [Reply(MESSAGE_CHUNKS)]
    instrument(settings)
    answer = client(bedrock.url).invoke_model_with_response_stream(modelId=CLAUDE, body=b"{}")
    assert len(list(answer["body"])) == len(MESSAGE_CHUNKS)
    report = only_report(ledger_path)
    assert report.provider_response_id == "msg_bdrk_1"
    assert sides(report.units) == {"text": {"input": 7, "output": 3}}


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_a_refusal_is_raised_as_ever_and_reported(
    bedrock: Bedrock, settings: Settings, ledger_path: Path, operation: str
) -> None:
    named = {"x-amzn-errortype": "ValidationException:http://internal.amazon.com/"}
    bedrock.replies[:] = [whole({"message": "The provided model identifier is invalid."}, 400, named)]
    instrument(settings)
    with pytest.raises(ClientError, match="model identifier") as raised:
        getattr(client(bedrock.url), operation)(modelId=MODEL, messages=MESSAGES)
    assert type(raised.value.response) is dict
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed, report.units) == (400, True, {})
    assert report.properties["system.failure"] == "ValidationException"


def test_a_connection_that_fails_is_reported(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with unused_port() as port, pytest.raises(EndpointConnectionError):
        client(f"http://127.0.0.1:{port}").converse(modelId=MODEL, messages=MESSAGES)
    report = only_report(ledger_path)
    assert (report.http_status_code, report.properties["system.failure"]) == (299, "EndpointConnectionError")


def test_each_attempt_is_reported_and_the_answer_has_the_result_of_the_last(
    bedrock: Bedrock, settings: Settings, ledger_path: Path
) -> None:
    throttled = whole({"message": "Wait"}, 429, {"x-amzn-errortype": "ThrottlingException"})
    bedrock.replies[:] = [throttled, whole(CONVERSED)]
    instrument(settings)
    answer = client(bedrock.url, attempts=2).converse(modelId=MODEL, messages=MESSAGES)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    first, last = reports(ledger_path)
    assert (first.http_status_code, first.properties["system.failure"]) == (429, "ThrottlingException")
    assert (last.http_status_code, sides(last.units)) == (200, COUNTED)
    assert result_of(answer).request_id == last.request_id


def test_an_exception_inside_a_stream_is_raised_as_ever_and_reported(
    bedrock: Bedrock, settings: Settings, ledger_path: Path
) -> None:
    bedrock.replies[:] = [Reply([*CONVERSATION[:2], exception("throttlingException", "Too many tokens")])]
    instrument(settings)
    stream = client(bedrock.url).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    with pytest.raises(EventStreamError, match="Too many tokens"):
        list(stream)
    report = only_report(ledger_path)
    assert (report.http_status_code, report.properties["system.failure"]) == (299, "throttlingException")


@pytest.mark.filterwarnings("ignore:unclosed")
def test_a_body_that_is_cut_off_between_two_reads_is_not_taken_for_whole(
    bedrock: Bedrock, settings: Settings, ledger_path: Path
) -> None:
    raw = json.dumps(MESSAGE).encode()
    bedrock.replies[:] = [Reply([raw], content_type="application/json", chunked=False, cut=True)]
    instrument(settings)
    body = client(bedrock.url).invoke_model(modelId=CLAUDE, body=b"{}")["body"]
    assert body.read(len(raw)) == raw
    with pytest.raises(IncompleteReadError):
        body.read(1)
    assert only_report(ledger_path).properties["system.stream"] == "ended before the provider's last event"


@pytest.mark.filterwarnings("ignore:unclosed")
@pytest.mark.parametrize("operation", ["converse_stream", "invoke_model"])
def test_a_connection_that_is_cut_off_is_reported(
    bedrock: Bedrock, settings: Settings, ledger_path: Path, operation: str
) -> None:
    bedrock.replies[:] = [Reply(CONVERSATION[:2], cut=True, chunked=operation == "converse_stream")]
    instrument(settings)
    if operation == "converse_stream":
        answer = client(bedrock.url).converse_stream(modelId=MODEL, messages=MESSAGES)
        with pytest.raises(ProtocolError):
            list(answer["stream"])
    else:
        answer = client(bedrock.url).invoke_model(modelId=MODEL, body=b"{}")
        with pytest.raises(ResponseStreamingError):
            answer["body"].read()
    report = only_report(ledger_path)
    assert (report.http_status_code, report.properties["system.failure"]) == (299, "ProtocolError")


def test_a_guardrail_is_reported_with_its_units_and_properties(
    bedrock: Bedrock, settings: Settings, ledger_path: Path
) -> None:
    trace = {"guardrail": {"inputAssessment": {"g1": {"invocationMetrics": {"usage": {"topicPolicyUnits": 2}}}}}}
    bedrock.replies[:] = [whole({**CONVERSED, "stopReason": "guardrail_intervened", "trace": trace}), whole(MESSAGE)]
    instrument(settings)
    caller = client(bedrock.url)
    config = {"guardrailIdentifier": "g1", "guardrailVersion": "1", "trace": "enabled"}
    caller.converse(modelId=MODEL, messages=MESSAGES, guardrailConfig=config)
    caller.invoke_model(modelId=CLAUDE, body=b"{}", guardrailIdentifier="g2", guardrailVersion="DRAFT")["body"].read()
    conversed, invoked = reports(ledger_path)
    name = "system.aws.bedrock.guardrail"
    assert conversed.units["guardrail_topic"]["input"] == 2
    told = {key: conversed.properties[f"{name}.{key}"] for key in ("id", "version", "action")}
    assert told == {"id": "g1", "version": "1", "action": "guardrail_intervened"}
    assert (invoked.properties[f"{name}.id"], invoked.properties[f"{name}.version"]) == ("g2", "DRAFT")


def test_the_result_is_under_a_key_once_it_is_in_and_never_before(settings: Settings) -> None:
    instrument(settings)
    with paced("application/vnd.amazon.eventstream") as server:
        server.send(CONVERSATION[0])
        answer = client(server.url).converse_stream(modelId=MODEL, messages=MESSAGES)
        assert "xproxy_result" not in answer
        assert answer.get("xproxy_result", 7) == 7
        with pytest.raises(KeyError):
            answer["xproxy_result"]
        for sent in (*CONVERSATION[1:], None):
            server.send(sent)
        for _ in answer["stream"]:
            pass
    result = result_of(answer)
    assert "xproxy_result" in answer
    assert answer["xproxy_result"] is answer.get("xproxy_result") is result


def test_an_answer_is_the_dict_that_it_is_without_us(bedrock: Bedrock, settings: Settings) -> None:
    caller = client(bedrock.url)
    bare = caller.converse(modelId=MODEL, messages=MESSAGES)
    instrument(settings)
    answer = caller.converse(modelId=MODEL, messages=MESSAGES)
    items = iter(answer.items())
    next(items)
    result_of(answer)
    assert [key for key, _ in items] == list(bare)[1:]  # its result has come in while we went through it
    for one in (bare, answer):
        del one["ResponseMetadata"]["HTTPHeaders"]["date"]
    assert answer == bare
    assert list(answer) == list(bare)
    assert answer.get("no such key") is None
    assert json.dumps(answer) == json.dumps(bare)
    for copied in (pickle.loads(pickle.dumps(answer)), copy.copy(answer), copy.deepcopy(answer), answer.copy()):
        assert type(copied) is dict
        assert copied == bare


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_an_inline_result_is_there_when_the_answer_is(bedrock: Bedrock, settings: Settings, streams: bool) -> None:
    bedrock.replies[:] = [Reply(CONVERSATION) if streams else whole(CONVERSED)]
    instrument(settings)
    with track_context(report="inline"):
        caller = client(bedrock.url)
        if streams:
            answer = caller.converse_stream(modelId=MODEL, messages=MESSAGES)
            list(answer["stream"])
        else:
            answer = caller.converse(modelId=MODEL, messages=MESSAGES)
    assert answer["xproxy_result"].cost.total.base > 0


def test_other_services_are_left_alone(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    bedrock.replies[:] = [whole({"TableNames": []})]
    instrument(settings)
    answer = client(bedrock.url, service="dynamodb").list_tables()
    assert type(answer) is dict
    assert reports(ledger_path) == []


def test_what_is_no_inference_is_left_alone(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    bedrock.replies[:] = [whole({"inputTokens": 11})]
    instrument(settings)
    answer = client(bedrock.url).count_tokens(modelId=MODEL, input={"converse": {"messages": MESSAGES}})
    assert answer["inputTokens"] == 11
    assert type(answer) is dict
    assert reports(ledger_path) == []


def test_a_call_of_an_endpoint_of_sagemakers_is_reported(
    bedrock: Bedrock, settings: Settings, ledger_path: Path
) -> None:
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    bedrock.replies[:] = [whole({"choices": [], **usage})]
    host = bedrock.url.removeprefix("http://")
    instrument(settings.model_copy(update={"providers": {host: ("sagemaker", None)}}))
    answer = client(bedrock.url, service="sagemaker-runtime").invoke_endpoint(
        EndpointName="my-llama", ContentType="application/json", Body=b"{}"
    )
    answer["Body"].read()
    report = only_report(ledger_path)
    assert (report.category, report.resource) == ("aws.sagemaker", "my-llama")
    assert report.units["text"] == {"input": 7, "output": 3}


def test_botocore_is_patched_when_the_app_imports_it_and_not_imported_for_that(tmp_path: Path) -> None:
    program = """
import sys, payi_middleware
payi_middleware.instrument(payi_middleware.Settings(ledger=sys.argv[1]))
assert "botocore" not in sys.modules
import boto3
from botocore.endpoint import Endpoint
boto3.client("bedrock-runtime", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
assert Endpoint._send.__wrapped__.__module__ == "botocore.endpoint"
payi_middleware.uninstrument()
assert not hasattr(Endpoint._send, "__wrapped__")
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "payi.db")], check=True, timeout=60)


def test_a_version_without_the_seam_is_told_apart() -> None:
    module = type(sys)("botocore.endpoint")
    with pytest.raises(ConfigurationError, match="make_request"):
        patch_endpoint(module)


def test_who_patched_after_us_keeps_their_patch_and_ours_does_nothing_any_more(
    bedrock: Bedrock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = botocore.endpoint.Endpoint
    original = endpoint._send
    recorded: list[object] = []
    instrument(settings)
    ours = endpoint._send

    def theirs(self: Any, request: Any) -> Any:
        return ours(self, request)

    try:
        endpoint._send = theirs
        uninstrument()
        assert endpoint._send is theirs
        monkeypatch.setattr("payi_middleware.botocore.begin", lambda *begun: recorded.append(begun))
        client(bedrock.url).converse(modelId=MODEL, messages=MESSAGES)
    finally:
        endpoint._send = original
    assert recorded == []


def test_a_call_that_cannot_be_recorded_goes_on(
    bedrock: Bedrock, settings: Settings, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("ours")

    instrument(settings)
    monkeypatch.setattr("payi_middleware.botocore.begin", broken)
    assert client(bedrock.url).converse(modelId=MODEL, messages=MESSAGES)["output"] == CONVERSED["output"]
    assert reports(ledger_path) == []


class Raw:
    """A body that is none of urllib3's, as a session of the app's own may give; it has no room for a watch."""

    __slots__ = ("sent",)

    def __init__(self, sent: bytes) -> None:
        self.sent = sent

    def stream(self) -> Iterator[bytes]:
        yield self.sent


def test_a_body_that_cannot_be_watched_reaches_the_app(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    caller = client("http://127.0.0.1:9")
    headers = {"content-type": "application/vnd.amazon.eventstream"}
    caller._endpoint.http_session.send = lambda asked: AWSResponse(asked.url, 200, headers, Raw(b"".join(CONVERSATION)))
    assert len(list(caller.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])) == len(CONVERSATION)
    assert only_report(ledger_path).units == {}


def test_an_interrupted_read_is_reported(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    """A read of urllib3's is interrupted by hand, as a signal cannot be aimed at one."""
    bedrock.replies[:] = [whole(MESSAGE)]
    instrument(settings)
    body = client(bedrock.url).invoke_model(modelId=CLAUDE, body=b"{}")["body"]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    body._raw_stream._fp.read = interrupted
    with pytest.raises(KeyboardInterrupt):
        body.read()
    assert only_report(ledger_path).properties["system.stream"] == "ended before the provider's last event"


def test_an_endpoint_that_answers_with_a_coroutine_is_left_alone(settings: Settings) -> None:
    """aiobotocore's inherits from botocore's; it pins a version of botocore, so that only its shape is here."""

    class Endpoint:
        _endpoint_prefix = "bedrock-runtime"

        def _send(self, request: object) -> object:
            return request

        def make_request(self, *_: object) -> object:
            return self._later()

        async def _later(self) -> str:
            return "answer"

    module: Any = type(sys)("endpoint")
    module.Endpoint = Endpoint
    undo = patch_endpoint(module)
    coroutine: Any = Endpoint().make_request("operation", {})
    with pytest.raises(StopIteration, match="answer"):
        coroutine.send(None)
    undo()


def test_a_redirect_is_no_answer(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    bedrock.replies[:] = [whole({"message": "elsewhere"}, 307)]
    instrument(settings)
    with pytest.raises(ClientError):
        client(bedrock.url).converse(modelId=MODEL, messages=MESSAGES)
    assert reports(ledger_path) == []
