"""Requests and answers of other forms than one JSON object: errors of gateways, media, files, compressed ones."""

from __future__ import annotations

import gzip
import json
import re

import httpx
import openai
import pytest
from payi.lib.helpers import payi_openai_url

from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger
from tests.transport.bedrock import Bedrock, Reply, whole

from .serving import headers, service, without
from .test_proxy_failures import ANSWER, TOLD, post
from .upstreams import SSE, Line, chunked, wire
from .wires import ASKED, CHAT


def test_a_page_of_a_gateway_is_passed_on_as_it_is(sqlite: Ledger, scripted: Bedrock) -> None:
    page = b"<html>Bad gateway</html>"
    scripted.replies = [Reply([page], 502, "text/html", chunked=False)]
    with service(sqlite) as url:
        answer = post(url, scripted.url)

    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (502, page, "text/html")
    assert [(record.failed, record.http_status_code) for record in sqlite.requests()] == [(True, 502)]


def test_an_answer_in_an_unknown_encoding_is_passed_on_in_it(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [Reply([b"??"], 200, "application/json", {"content-encoding": "x-unknown"}, chunked=False)]
    with service(sqlite) as url:
        answer = post(url, scripted.url)

    assert (answer.content, answer.headers["content-encoding"]) == (b"??", "x-unknown")
    assert [record.units for record in sqlite.requests()] == [{}]


def test_an_answer_that_cannot_be_stored_is_booked_without_what_cannot(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [whole({**TOLD, "id": "c\0d"}), whole({**TOLD, "usage": {"prompt_tokens": 10**15}})]
    with service(ledger) as url:
        answers = [post(url, scripted.url, user_id="alice") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [record.user_id for record in ledger.requests()] == ["alice", "alice"]
    assert all("xproxy_result" in answer.json() for answer in answers)


def test_a_long_answer_has_its_result_at_its_end(sqlite: Ledger, scripted: Bedrock) -> None:
    body = json.dumps({"data": "x" * 3_000_000, **TOLD}, indent=1).encode() + b"\n"
    scripted.replies = [Reply([body], 200, "application/json", chunked=False)]
    with service(sqlite) as url:
        answer = post(url, scripted.url)

    told, results = without("xproxy_result", answer.content)
    assert told == body
    assert results[0]["request_id"] == sqlite.requests()[0].request_id
    assert answer.json()["xproxy_result"] == results[0]


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("openai/v1/audio/speech", "audio/mpeg", b"\xff\xfb\x90\x00 a voice"),
        ("openai/v1/audio/transcriptions", "text/plain; charset=utf-8", b"Some words."),
        ("openai/v1/embeddings", "application/json", b"[1, 2]"),
        ("openai/v1/embeddings", "application/json", b""),
    ],
)
def test_what_is_no_json_object_is_passed_on_as_it_is(
    sqlite: Ledger, scripted: Bedrock, path: str, content_type: str, body: bytes
) -> None:
    scripted.replies = [Reply([body], 200, content_type, chunked=False)]
    with service(sqlite) as url:
        answer = post(url, scripted.url, path)

    assert (answer.content, answer.headers["content-type"]) == (body, content_type)
    assert int(answer.headers["content-length"]) == len(body)
    assert len(sqlite.requests()) == 1


def test_a_file_of_json_lines_is_passed_on_as_it_is_and_its_calls_are_booked(sqlite: Ledger) -> None:
    """The results of a batch: each line is an object, and none may get a member more."""
    line = {"custom_id": "1", "response": {"status_code": 200, "body": TOLD}}
    lines = json.dumps(line).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(lines)
    with wire(lambda found: found.send(head + lines)) as provider, service(sqlite) as url:
        answer = httpx.get(
            f"{url}/api/v1/proxy/openai/v1/files/file-1/content",
            headers=headers(provider.url),
            trust_env=False,
            timeout=60,
        )

    assert answer.content == lines
    assert [record.units for record in sqlite.requests()] == [{"text": {"input": 1000, "output": 0}}]


@pytest.mark.parametrize("asked", [ASKED, ASKED.replace(b',"stream":true', b"")])
def test_a_compressed_request_is_read(sqlite: Ledger, scripted: Bedrock, asked: bytes) -> None:
    """It is sent on as it came, or uncompressed where the usage of a stream has to be asked for."""
    scripted.replies = [Reply(list(CHAT.events), content_type="text/event-stream")]
    packed = gzip.compress(asked)
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{CHAT.path}",
            content=packed,
            headers={**headers(scripted.url), "content-encoding": "gzip"},
            trust_env=False,
            timeout=60,
        )

    _, came, body = scripted.asked[0]
    if b"stream" in asked:
        assert (came.get("content-encoding"), json.loads(body)["stream_options"]) == (None, {"include_usage": True})
    else:
        assert (came["content-encoding"], body) == ("gzip", packed)
    assert b"xproxy_result" in answer.content
    assert [record.resource for record in sqlite.requests()] == ["m"]


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 400), ("x-unknown", 400)])
def test_a_request_that_cannot_be_read_is_refused(
    sqlite: Ledger, scripted: Bedrock, encoding: str, status: int
) -> None:
    with service(sqlite) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{CHAT.path}",
            content=ASKED,
            headers={**headers(scripted.url), "content-encoding": encoding},
            trust_env=False,
            timeout=60,
        )

    assert answer.status_code == status
    assert scripted.asked == []


def test_a_small_request_that_inflates_is_refused(sqlite: Ledger, scripted: Bedrock) -> None:
    config = ServiceConfig(allowed_hosts=("127.0.0.1",), max_proxied_body=100_000)
    with service(sqlite, config) as url:
        answer = httpx.post(
            f"{url}/api/v1/proxy/{CHAT.path}",
            content=gzip.compress(b" " * 10_000_000),
            headers={**headers(scripted.url), "content-encoding": "gzip"},
            trust_env=False,
            timeout=60,
        )

    assert answer.status_code == 413
    assert scripted.asked == []


def test_a_calls_status_is_counted_when_its_answer_begins(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [whole(TOLD), whole({"error": {"message": "no"}}, 429)]
    with service(sqlite) as url:
        for _ in range(2):
            post(url, scripted.url)
        told = httpx.get(f"{url}/metrics", trust_env=False, timeout=60).text

    counted = [line for line in told.splitlines() if line.startswith("payi_service_requests_total") and "proxy" in line]
    assert sorted(re.findall(r'status="(\d+)"\} (\S+)', "\n".join(counted))) == [("200", "1.0"), ("429", "1.0")]


def test_a_request_too_large_for_an_inference_is_refused(sqlite: Ledger, scripted: Bedrock) -> None:
    config = ServiceConfig(allowed_hosts=("127.0.0.1",), max_proxied_body=1000)
    with service(sqlite, config) as url:
        answer = post(url, scripted.url, content=b"x" * 1001)

    assert answer.status_code == 413
    assert scripted.asked == []


def test_an_upload_passes_at_any_size_and_is_not_booked(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [whole({"id": "file-1", "object": "file", "bytes": 1, "purpose": "batch"})]
    config = ServiceConfig(allowed_hosts=("127.0.0.1",), max_proxied_body=1000, max_body=1000)
    lines = b'{"custom_id":"1"}\n' * 100_000
    with (
        service(sqlite, config) as url,
        openai.OpenAI(
            api_key="k", base_url=payi_openai_url(url), default_headers=headers(scripted.url), max_retries=0
        ) as client,
    ):
        uploaded = client.files.create(file=("batch.jsonl", lines), purpose="batch")

    assert uploaded.id == "file-1"
    assert not hasattr(uploaded, "xproxy_result")
    assert lines in scripted.asked[0][2]
    assert sqlite.requests() == []


def test_a_host_that_does_not_know_the_option_gets_the_request_as_it_came(sqlite: Ledger) -> None:
    """Asking for the usage of a stream must not break it; the host is not asked again."""
    bodies: list[bytes] = []

    def act(line: Line) -> None:
        bodies.append(line.body)
        if b"stream_options" in line.body:
            line.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        else:
            line.send(SSE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            line.send(chunked(b"".join((*CHAT.events[:5], CHAT.events[6]))) + chunked(b""))

    with wire(act) as provider, service(sqlite) as url:
        answers = [post(url, provider.url) for _ in range(2)]

    assert [b"stream_options" in body for body in bodies] == [True, False, False]
    assert bodies[1] == bodies[2] == ASKED
    assert [without("xproxy_result", answer.content)[0] for answer in answers] == [
        b"".join((*CHAT.events[:5], CHAT.events[6]))
    ] * 2
    (record,) = sqlite.requests()  # both answers have the same id
    assert record.properties["system.usage.missing"] == "provider sent no usage"


def test_connections_to_a_provider_are_used_again(sqlite: Ledger) -> None:
    def act(line: Line) -> None:
        line.send(ANSWER)
        for _ in range(2):
            received = b""
            while ASKED[:-1] not in received:
                received += line.connection.recv(65_536)
            line.send(ANSWER)

    with wire(act) as provider, service(sqlite) as url:
        answers = [post(url, provider.url) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(provider.asked) == 1
