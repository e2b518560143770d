"""The providers' own hosts, over TLS: certificates of a test authority, reached through a proxy that leads here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anthropic
import openai
import pytest
import trustme
import uvicorn
from payi.lib import BedrockInstrumentor
from payi.lib.helpers import create_headers, payi_anthropic_url, payi_openai_url
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from payi_middleware.demo.provider import create_app
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger
from tests.transport import bedrock
from tests.transport.bedrock import CONVERSED, MESSAGES, MODEL

from .serving import KEY, cost, headers, service
from .test_proxy_bedrock import signature_holds

BEDROCK = "bedrock-runtime.us-east-1.amazonaws.com"
HELLO: Any = [{"role": "user", "content": "I am user-17"}]


class Egress:
    """An HTTP proxy that takes every CONNECT to one place, and notes where it was to lead."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._run(self._accept)

    def _run(self, work: Any, *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._run(self._lead, self._listener.accept()[0])

    def _lead(self, inner: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += inner.recv(65_536)
        self.asked.append(head.split(b" ")[1].decode())
        outer = socket.create_connection(("127.0.0.1", self._port))
        inner.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        self._run(self._pump, inner, outer)
        self._pump(outer, inner)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with closing(source), suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)


@contextmanager
def providers(authority: trustme.CA, directory: Path, app: ASGIApp | None = None) -> Iterator[Egress]:
    """Serve the stand-in provider, or another app, with certificates for the providers' names."""
    certificate = authority.issue_cert("api.openai.com", "api.anthropic.com", BEDROCK)
    pem = directory / "certificate.pem"
    pem.write_bytes(
        certificate.private_key_pem.bytes() + b"".join(part.bytes() for part in certificate.cert_chain_pems)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app or create_app(), log_level="critical", ssl_certfile=pem, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        egress = Egress(listener.getsockname()[1])
        try:
            yield egress
        finally:
            server.should_exit = True
            thread.join(30)
            egress.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


@pytest.fixture
def egress(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Egress]:
    with providers(authority, tmp_path) as egress:
        monkeypatch.setenv("HTTPS_PROXY", egress.url)
        monkeypatch.setenv("NO_PROXY", "")
        yield egress


def test_openais_calls_go_to_openai(sqlite: Ledger, egress: Egress) -> None:
    with (
        service(sqlite, ServiceConfig()) as url,
        openai.OpenAI(api_key="sk", base_url=payi_openai_url(url), default_headers=headers(), max_retries=0) as client,
    ):
        completion: Any = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
        chunks: list[Any] = list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))

    assert set(egress.asked) == {"api.openai.com:443"}
    assert cost(completion.xproxy_result) == cost(chunks[-1].xproxy_result) > 0
    assert {record.category for record in sqlite.requests()} == {"system.openai"}
    assert {record.exchange["provider_uri"] for record in sqlite.requests()} == {
        "https://api.openai.com/v1/chat/completions"
    }


@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
def test_anthropics_calls_go_to_anthropic(sqlite: Ledger, egress: Egress) -> None:
    with (
        service(sqlite, ServiceConfig()) as url,
        anthropic.Anthropic(
            api_key="sk", base_url=payi_anthropic_url(url), default_headers=headers(), max_retries=0
        ) as client,
    ):
        message: Any = client.messages.create(model="claude-3-haiku-20240307", max_tokens=9, messages=HELLO)

    assert set(egress.asked) == {"api.anthropic.com:443"}
    assert cost(message.xproxy_result) > 0


def test_payis_own_redirection_of_boto3_works(
    sqlite: Ledger, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it but `payi_instrument()`, which would change every SDK in this process: what it says is said here."""
    asked: list[tuple[str, dict[str, str], bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        asked.append((scope["raw_path"].decode(), dict(request.headers), await request.body()))
        await JSONResponse(CONVERSED)(scope, receive, send)

    saying = SimpleNamespace(_create_extra_headers=lambda: create_headers(user_id="alice", limit_ids=["a"]))
    monkeypatch.setattr(BedrockInstrumentor.BedrockInstrumentor, "_instrumentor", saying, raising=False)
    sqlite.create_limit(limit_name="a", limit_id="a", max=1, limit_type="block")
    with providers(authority, tmp_path, app) as egress, service(sqlite, ServiceConfig()) as url:
        monkeypatch.setenv("HTTPS_PROXY", egress.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("PAYI_BASE_URL", url)
        monkeypatch.setenv("PAYI_API_KEY", KEY)
        client = bedrock.client(f"https://{BEDROCK}")
        client.meta.events.register_last("request-created", BedrockInstrumentor._redirect_to_payi)
        answer = client.converse(modelId=MODEL, messages=MESSAGES)
        client.close()

    assert answer["output"] == CONVERSED["output"]
    assert egress.asked == [f"{BEDROCK}:443"]
    assert signature_holds(*asked[0])
    assert asked[0][1]["host"] == BEDROCK
    (record,) = sqlite.requests()
    assert (record.user_id, record.resource, record.limits) == ("alice", MODEL, {"a": "ok"})


def test_a_certificate_of_somebody_elses_is_not_trusted(
    sqlite: Ledger, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        providers(trustme.CA(), tmp_path) as egress,
        service(sqlite, ServiceConfig()) as url,
        openai.OpenAI(api_key="sk", base_url=payi_openai_url(url), default_headers=headers(), max_retries=0) as client,
    ):
        monkeypatch.setenv("HTTPS_PROXY", egress.url)
        monkeypatch.setenv("NO_PROXY", "")
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    assert raised.value.status_code == 502
    assert raised.value.response.json()["xproxy_error"]["code"] == "invalid_provider_ssl_certificate"
    assert [record.failed for record in sqlite.requests()] == [True]
