"""Google's SDK where its sync client runs on requests: on Vertex AI, once there is a client certificate to present."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from payi_middleware import Settings, instrument, result_of, track_context
from tests.providers.gemini_server import UNITS, GeminiServer
from tests.transport.calling import delivered, only_report, reports

genai = pytest.importorskip("google.genai")
x509 = pytest.importorskip("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402 - only where it is installed
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from google.genai import errors, types  # noqa: E402
from google.oauth2.credentials import Credentials  # noqa: E402

MODEL = "gemini-2.5-flash"
QUESTION = "Which city is the capital of Norway?"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[GeminiServer]:
    with GeminiServer().running() as server:
        yield server


@pytest.fixture(name="certificate", scope="module")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a workload's certificate, as the SDK looks for it."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "workload")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    paths = {"cert_path": str(folder / "certificate.pem"), "key_path": str(folder / "key.pem")}
    configuration = folder / "configuration.json"
    configuration.write_text(json.dumps({"cert_configs": {"workload": paths}}), encoding="utf-8")
    return configuration


@pytest.fixture(name="client")
def _client(
    server: GeminiServer, settings: Settings, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", "true")
    monkeypatch.setenv("GOOGLE_API_CERTIFICATE_CONFIG", str(certificate))
    server.ids.clear()
    with genai.Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=Credentials(token="t"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=server.url),
    ) as client:
        instrument(settings)
        yield client
        assert type(client._api_client._authorized_session).__name__ == "AuthorizedSession"


def _generate(client: Any) -> Any:
    return client.models.generate_content(model=MODEL, contents=QUESTION)


def _stream(client: Any) -> Any:
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=QUESTION))
    assert len(chunks) == 3
    return chunks[-1]


def _chat(client: Any) -> Any:
    return client.chats.create(model=MODEL).send_message(QUESTION)


@pytest.mark.parametrize("ask", [_generate, _stream, _chat])
def test_an_answer_is_metered_once_and_leads_to_its_result(
    client: Any, server: GeminiServer, ledger_path: Path, ask: Callable[[Any], Any]
) -> None:
    with track_context(user_id="alice"):
        answer = ask(client)
    assert answer.text == "Oslo"
    result = result_of(answer, timeout=10)
    assert answer.xproxy_result is result
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.user_id, report.units) == (server.ids[-1], "alice", UNITS)
    assert (report.category, report.resource) == ("system.google.vertex", f"google.{MODEL}")
    assert result.request_id == report.request_id
    assert delivered() == 1


@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_is_raised_as_without_us_and_reported(client: Any, ledger_path: Path, streamed: bool) -> None:
    models = client.models
    ask = models.generate_content_stream if streamed else models.generate_content
    with pytest.raises(errors.ClientError) as raised:
        list(ask(model="missing", contents=QUESTION))
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed) == (404, True)


def test_a_stream_that_fails_inside_is_reported(client: Any, ledger_path: Path) -> None:
    with pytest.raises(errors.ServerError):
        list(client.models.generate_content_stream(model="breaks", contents=QUESTION))
    (report,) = reports(ledger_path)
    assert report.failed
