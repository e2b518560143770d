"""Provider calls made with requests, metered by `instrument()`."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth

import payi_middleware.requests
from payi_middleware import Settings, instrument, result_of, track_context, uninstrument
from payi_middleware.demo.provider import Provider
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.requests import patch_adapter
from tests.transport.calling import CHAT, COMPLETION, KEY, STREAMED, delivered, only_report, reports, stand_in
from tests.transport.serving import serve, unused_port

HEADERS = {"authorization": f"Bearer {KEY}"}
PATH = "/v1/chat/completions"


@pytest.fixture(name="session")
def _session(settings: Settings) -> Iterator[requests.Session]:
    """A session that is older than the instrumentation."""
    with requests.Session() as session:
        session.headers.update(HEADERS)
        instrument(settings)
        yield session


def chat_url(provider: Provider) -> str:
    return f"{provider.openai_url}/chat/completions"


def prepared(url: str, **options: Any) -> requests.PreparedRequest:
    return requests.Request("POST", url, **{"json": CHAT, **options}).prepare()


def test_a_call_is_metered(session: requests.Session, provider: Provider, ledger_path: Path) -> None:
    answer = session.post(chat_url(provider), json=CHAT).json()
    report = only_report(ledger_path)
    assert (report.category, report.resource) == ("system.openai", CHAT["model"])
    assert report.provider_response_id == answer["id"]
    assert (report.input_tokens, report.http_status_code) == (answer["usage"]["prompt_tokens"], 200)
    assert report.exchange["provider_uri"] == chat_url(provider)
    assert report.cost > 0
    assert "system.stream" not in report.properties
    assert provider.requests[0].body == CHAT


def test_a_call_without_a_session_is_metered(settings: Settings, provider: Provider, ledger_path: Path) -> None:
    instrument(settings)
    requests.post(chat_url(provider), json=STREAMED)
    assert only_report(ledger_path).output_tokens > 0


@pytest.mark.parametrize(
    "options",
    [
        {"json": CHAT},
        {"data": json.dumps(CHAT)},
        {"data": json.dumps(CHAT).encode()},
        {"data": bytearray(json.dumps(CHAT).encode())},
    ],
)
def test_a_body_in_memory_is_read_and_arrives_unchanged(
    session: requests.Session, provider: Provider, ledger_path: Path, options: dict[str, Any]
) -> None:
    headers = {**stand_in(status=500), "content-type": "application/json"}
    with session.post(chat_url(provider), headers=headers, **options) as response:
        assert response.status_code == 500
    report = only_report(ledger_path)
    assert (report.resource, report.http_status_code, report.failed) == (CHAT["model"], 500, True)
    sent = options.get("data") or json.dumps(options["json"])
    assert provider.requests[0].body == json.loads(sent)


def test_an_upload_that_is_read_while_it_is_sent_is_metered(
    session: requests.Session, provider: Provider, ledger_path: Path
) -> None:
    upload = iter([json.dumps(CHAT).encode()])
    answer = session.post(chat_url(provider), data=upload, headers={"content-type": "application/json"}).json()
    assert only_report(ledger_path).provider_response_id == answer["id"]


async def _transcribe(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    body = json.dumps({"text": "Oslo", "usage": {"type": "duration", "seconds": 60}}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def test_a_forms_fields_are_read(session: requests.Session, ledger_path: Path) -> None:
    with serve(_transcribe) as url:
        form: dict[str, Any] = {"data": {"model": "whisper-1"}, "files": {"file": ("a.wav", b"sound")}}
        assert session.post(f"{url}/v1/audio/transcriptions", **form).json()["text"] == "Oslo"
    assert only_report(ledger_path).resource == "whisper-1"


def test_other_calls_pass_untouched(session: requests.Session, provider: Provider, ledger_path: Path) -> None:
    with session.get(f"{provider.openai_url}/models", headers={"xProxy-User-ID": "alice"}) as response:
        assert type(response.raw) is urllib3.HTTPResponse
        assert response.request.headers["xproxy-user-id"] == "alice"
    assert "xproxy-user-id" in provider.requests[0].headers
    assert reports(ledger_path) == []
    with pytest.raises(LookupError):
        result_of(response)


def test_the_response_is_what_it_is_without_us(session: requests.Session, provider: Provider) -> None:
    response = session.post(chat_url(provider), json=CHAT)
    assert isinstance(response.raw, urllib3.HTTPResponse)
    for copied in (pickle.loads(pickle.dumps(response)), copy.deepcopy(response)):
        assert (copied.content, copied.status_code) == (response.content, 200)
        assert not hasattr(copied, "extensions")


@pytest.mark.parametrize("in_session", [True, False])
def test_headers_that_annotate_a_call_never_reach_the_provider(
    session: requests.Session, provider: Provider, ledger_path: Path, in_session: bool
) -> None:
    own: dict[str, str | bytes] = {"xProxy-User-ID": "alice", "XPROXY-REQUEST-TAGS": b"a, b"}
    once: dict[str, str | bytes | None] = {"x-once": "1"}
    session.headers["x-always"] = "1"
    if in_session:
        session.headers.update(own)
    else:
        session.headers["xproxy-user-id"] = "session"
        once.update(own)
    response = session.post(chat_url(provider), json=CHAT, headers=once)
    report = only_report(ledger_path)
    assert (report.user_id, report.request_tags) == ("alice", ["a", "b"])
    sent = provider.requests[0].headers
    assert not [name for name in sent if name.startswith("xproxy-")]
    assert (sent["x-always"], sent["x-once"], sent["content-type"]) == ("1", "1", "application/json")
    assert response.request.headers["xproxy-user-id"] == "alice"


def test_the_apps_own_request_keeps_its_headers(session: requests.Session, provider: Provider) -> None:
    request = prepared(chat_url(provider), headers={"xProxy-User-ID": "alice", "x-after": "1"})
    before = list(request.headers.items())
    assert session.send(request).request is request
    assert list(request.headers.items()) == before
    assert not [name for name in provider.requests[0].headers if name.startswith("xproxy-")]


def test_the_apps_own_request_keeps_its_headers_when_the_call_fails(session: requests.Session) -> None:
    with unused_port() as port:
        request = prepared(f"http://127.0.0.1:{port}{PATH}", headers={"xProxy-User-ID": "alice"})
        with pytest.raises(requests.ConnectionError) as raised:
            session.send(request)
    assert raised.value.request is request
    assert request.headers["xproxy-user-id"] == "alice"


@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_status_is_reported(
    session: requests.Session, provider: Provider, ledger_path: Path, streamed: bool
) -> None:
    with (
        session.post(chat_url(provider), json=CHAT, headers=stand_in(status=429), stream=streamed) as response,
        pytest.raises(requests.HTTPError),
    ):
        response.raise_for_status()
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed, report.resource) == (429, True, CHAT["model"])


def test_a_call_that_never_connects_is_reported_and_raises_as_without_us(
    session: requests.Session, ledger_path: Path
) -> None:
    with unused_port() as port, pytest.raises(requests.ConnectionError) as raised:
        session.post(f"http://127.0.0.1:{port}{PATH}", json=CHAT)
    assert isinstance(raised.value.args[0].reason, urllib3.exceptions.NewConnectionError)
    report = only_report(ledger_path)
    assert (report.failed, report.http_status_code) == (True, 299)
    assert report.properties["system.failure"] == "ConnectionError"


def test_what_requests_refuses_to_send_is_no_call(session: requests.Session, ledger_path: Path) -> None:
    url = f"https://api.openai.com{PATH}"
    with pytest.raises(ValueError, match="timeout"):
        session.post(url, json=CHAT, timeout=(1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(requests.exceptions.InvalidProxyURL):
        session.post(url, json=CHAT, proxies={"https": "http:///"})
    assert reports(ledger_path) == []


async def _redirect(scope: Any, receive: Any, send: Any) -> None:
    moved = scope["path"].startswith("/old")
    headers = [(b"location", PATH.encode())] if moved else [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 307 if moved else 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if moved else json.dumps(COMPLETION).encode()})


def test_a_redirect_is_one_call(session: requests.Session, ledger_path: Path) -> None:
    with serve(_redirect) as url:
        headers = {"xProxy-User-ID": "alice"}
        assert session.post(f"{url}/old{PATH}", json=CHAT, headers=headers).json() == COMPLETION
        assert session.post(f"{url}/old{PATH}", json=CHAT, allow_redirects=False).status_code == 307
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.user_id) == ("chatcmpl-1", "alice")


async def _challenge(scope: Any, receive: Any, send: Any) -> None:
    known = any(name == b"authorization" for name, _ in scope["headers"])
    challenge = (b"www-authenticate", b'Digest realm="r", nonce="n", qop="auth"')
    headers = [(b"content-type", b"application/json"), *([] if known else [challenge])]
    await send({"type": "http.response.start", "status": 200 if known else 401, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(COMPLETION if known else {"error": "who?"}).encode()})


def test_each_attempt_is_reported_and_the_response_leads_to_the_last(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with serve(_challenge) as url:
        response = requests.post(url + PATH, json=CHAT, auth=HTTPDigestAuth("u", "p"))
    first, last = reports(ledger_path)
    assert (first.http_status_code, last.http_status_code) == (401, 200)
    assert result_of(response).request_id == last.request_id


class Stubborn(HTTPAdapter):
    """Tries twice, and looks like many an adapter of an app's own."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        super().send(*args, **kwargs).close()
        return super().send(*args, **kwargs)


def test_adapters_of_the_apps_own_are_covered(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    with requests.Session() as session:
        session.mount("http://", Stubborn())
        instrument(settings)
        answer = session.post(chat_url(provider), json=CHAT).json()
    assert [report.provider_response_id for report in reports(ledger_path)][1] == answer["id"]
    assert delivered() == 2


def test_the_result_is_found_by_the_response(session: requests.Session, provider: Provider) -> None:
    assert result_of(session.post(chat_url(provider), json=CHAT), timeout=10).cost is not None


@pytest.mark.parametrize("streamed", [True, False])
def test_inline_the_result_is_in_when_the_body_has_been_read(
    session: requests.Session, provider: Provider, streamed: bool
) -> None:
    with track_context(report="inline"):
        response = session.post(chat_url(provider), json=STREAMED if streamed else CHAT, stream=streamed)
        assert response.content
        assert result_of(response, timeout=0).cost is not None


def test_overlapping_calls_are_each_attributed_to_their_own_user(
    session: requests.Session, provider: Provider, ledger_path: Path
) -> None:
    session.mount("http://", HTTPAdapter(pool_maxsize=10))

    def ask(number: int) -> str:
        with track_context(user_id=f"user{number}"):
            text = session.post(
                chat_url(provider), json=STREAMED if number % 2 else CHAT, headers=stand_in(latency=0.05)
            ).text
            return str(json.loads(text.removeprefix("data: ").partition("\n")[0])["id"])

    with ThreadPoolExecutor(10) as threads:
        ids = list(threads.map(ask, range(50)))
    found = {report.provider_response_id: report.user_id for report in reports(ledger_path)}
    assert found == {each: f"user{number}" for number, each in enumerate(ids)}


def test_one_request_that_two_threads_send_at_once_stays_as_it_was(
    session: requests.Session, provider: Provider, ledger_path: Path
) -> None:
    request = prepared(chat_url(provider), headers={"xProxy-User-ID": "alice", **stand_in(latency=0.05)})
    before = (list(request.headers.items()), request.body)
    with ThreadPoolExecutor(2) as threads:
        assert [response.request for response in threads.map(session.send, [request] * 2)] == [request] * 2
    assert (list(request.headers.items()), request.body) == before
    assert [report.user_id for report in reports(ledger_path)] == ["alice"] * 2


def test_uninstrument_takes_it_back(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    seam = HTTPAdapter.send
    instrument(settings)
    assert HTTPAdapter.send is not seam
    uninstrument()
    assert HTTPAdapter.send is seam
    with requests.Session() as session:
        assert session.post(chat_url(provider), json=CHAT).ok
    assert reports(ledger_path) == []


def test_who_patched_after_us_keeps_their_patch_and_ours_does_nothing_any_more(
    provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = HTTPAdapter.send
    begun: list[object] = []
    instrument(settings)
    ours: Callable[..., Any] = HTTPAdapter.send

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ours(self, *args, **kwargs)

    try:
        monkeypatch.setattr(HTTPAdapter, "send", theirs)
        uninstrument()
        assert HTTPAdapter.send is theirs
        monkeypatch.setattr(payi_middleware.requests, "begin", lambda *call: begun.append(call))
        assert requests.post(chat_url(provider), json=CHAT).ok
    finally:
        HTTPAdapter.send = original  # type: ignore[method-assign]
    assert begun == []


def test_requests_is_patched_when_the_app_imports_it_and_not_imported_for_that(tmp_path: Path) -> None:
    program = """
import sys, payi_middleware
payi_middleware.instrument(payi_middleware.Settings(ledger=sys.argv[1]))
assert "requests" not in sys.modules and "urllib3" not in sys.modules
import requests
assert requests.adapters.HTTPAdapter.send.__wrapped__.__module__ == "requests.adapters"
payi_middleware.uninstrument()
assert not hasattr(requests.adapters.HTTPAdapter.send, "__wrapped__")
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "payi.db")], check=True, timeout=60)


def test_a_version_without_the_seam_is_told_apart() -> None:
    with pytest.raises(ConfigurationError, match="HTTPAdapter"):
        patch_adapter(type(sys)("requests.adapters"))


def test_a_call_that_cannot_be_recorded_goes_on(
    session: requests.Session, provider: Provider, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("ours")

    monkeypatch.setattr(payi_middleware.requests, "begin", broken)
    assert session.post(chat_url(provider), json=CHAT).ok
    assert reports(ledger_path) == []


class Bare:
    """A body that is none of urllib3's, as an adapter of the app's own may give; it has no room for a watch."""

    __slots__ = ("sent",)

    def __init__(self, sent: bytes) -> None:
        self.sent = sent

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.sent


class Baring(HTTPAdapter):
    def build_response(self, req: Any, resp: Any) -> Any:
        with closing(resp):
            response = super().build_response(req, resp)
            response.raw = Bare(resp.data)
            return response


def test_a_body_that_cannot_be_watched_reaches_the_app(
    session: requests.Session, provider: Provider, ledger_path: Path
) -> None:
    session.mount("http://", Baring())
    with track_context(report="inline"):
        response = session.post(chat_url(provider), json=CHAT)
    assert response.json()["object"] == "chat.completion"
    assert result_of(response, timeout=0).request_id
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed, report.units) == (200, False, {})


def test_what_sends_on_a_call_that_is_recorded_already_is_not_recorded_again(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    """A transport of httpx's that runs on requests; only its shape is here, as nobody has published one."""
    import anyio
    import httpx2

    class OnRequests(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            def send() -> Any:
                headers = {"content-type": request.headers["content-type"]}
                return requests.post(str(request.url), data=request.content, headers=headers)

            answer = await anyio.to_thread.run_sync(send)
            return httpx2.Response(answer.status_code, content=answer.content)

    async def ask() -> None:
        async with httpx2.AsyncClient(transport=OnRequests()) as client:
            await client.post(chat_url(provider), json=CHAT)

    instrument(settings)
    anyio.run(ask)
    assert only_report(ledger_path).http_status_code == 200
    assert delivered() == 1
