"""`instrument()` meters whatever transport a client picks, and `uninstrument()` leaves no trace."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest

from payi_middleware import ConfigurationError, Settings, instrument, uninstrument
from payi_middleware.demo.provider import Provider, create_app
from payi_middleware.metering import CALL_EXTENSION
from tests.transport.calling import CHAT, COMPLETION, KEY, MESSAGES, delivered, only_report, reports
from tests.transport.serving import paced

URL = "https://llm.example/v1/chat/completions"


def test_a_call_is_reported_for_where_it_goes_whichever_url_the_client_looked_up_last(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    first, second = (f"https://{name}.example/v1/chat/completions" for name in ("first", "second"))
    answers = library.MockTransport(lambda request: library.Response(200, json={**COMPLETION, "id": request.url.host}))
    with library.Client(transport=answers) as client:
        request = client.build_request("POST", first, json=CHAT)
        transport = client._transport_for_url(request.url)
        client.post(second, json=CHAT)
        transport.handle_request(request)
        assert transport.latest == (None, None)  # a URL may have a key in it
    assert {report.provider_response_id: report.exchange["provider_uri"] for report in reports(ledger_path)} == {
        "first.example": first,
        "second.example": second,
    }


def test_clients_made_before_and_after_are_metered(
    library: Any, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    with library.Client() as before:
        instrument(settings)
        with library.Client() as after:
            for client in (before, after):
                assert client.post(f"{provider.openai_url}/chat/completions", json=CHAT).status_code == 200
    assert [report.provider_response_id for report in reports(ledger_path)] == [
        request.response_id for request in provider.requests
    ]


@pytest.mark.anyio
async def test_async_clients_made_before_and_after_are_metered(
    library: Any, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    async with library.AsyncClient() as before:
        instrument(settings)
        async with library.AsyncClient() as after:
            for client in (before, after):
                answer = await client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
                assert answer.status_code == 200
    assert len(reports(ledger_path)) == 2


def _mock(library: Any) -> Any:
    return library.MockTransport(lambda request: library.Response(200, json=COMPLETION))


def _own(library: Any) -> Any:
    class Own(library.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            return library.Response(200, stream=library.ByteStream(json.dumps(COMPLETION).encode()))

    return Own()


def _wsgi(library: Any) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(COMPLETION).encode()]

    return library.WSGITransport(app)


@pytest.mark.parametrize("make", [_mock, _own, _wsgi])
@pytest.mark.parametrize("mounted", [False, True])
def test_every_sync_transport_is_metered(
    library: Any, settings: Settings, ledger_path: Path, make: Callable[[Any], Any], mounted: bool
) -> None:
    instrument(settings)
    inner = make(library)
    options = {"mounts": {"https://llm.example": inner}} if mounted else {"transport": inner}
    with library.Client(**options) as client:
        assert client.post(URL, json=CHAT).json() == COMPLETION
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.input_tokens, report.output_tokens) == ("chatcmpl-1", 7, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("kind", ["asgi", "mock"])
async def test_every_async_transport_is_metered(
    library: Any, settings: Settings, ledger_path: Path, kind: str, mounted: bool
) -> None:
    instrument(settings)
    inner = library.ASGITransport(create_app()) if kind == "asgi" else _mock(library)
    options = {"mounts": {"https://llm.example": inner}} if mounted else {"transport": inner}
    async with library.AsyncClient(**options) as client:
        answer = await client.post(URL, json=CHAT)
    assert answer.json()["id"] == only_report(ledger_path).provider_response_id


def test_calls_through_a_proxy_are_metered_under_the_providers_address(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with paced("application/json") as proxy:
        proxy.send(json.dumps(COMPLETION).encode())
        proxy.send(None)
        with library.Client(proxy=proxy.url) as client:
            assert client.post("http://api.openai.com/v1/chat/completions", json=CHAT).json() == COMPLETION
        assert proxy.asked == [("http://api.openai.com/v1/chat/completions", "api.openai.com")]
    assert only_report(ledger_path).provider_response_id == "chatcmpl-1"


def test_instrumenting_twice_counts_once(
    library: Any, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    instrument(settings)
    with library.Client() as client:
        client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
    only_report(ledger_path)
    assert delivered() == 1


def test_one_library_under_two_names_is_patched_once(provider: Provider, ledger_path: Path) -> None:
    script = f"""
import httpx2
httpx2.alias_httpx()
import httpx
assert httpx.Client is httpx2.Client
original = httpx2.Client._transport_for_url
import payi_middleware as payi
from payi_middleware.service.ledger import Ledger
payi.instrument(payi.Settings(ledger={str(ledger_path)!r}))
assert httpx2.Client._transport_for_url.__wrapped__ is original
client = httpx.Client()
client.post({provider.openai_url + "/chat/completions"!r}, json={CHAT!r})
assert payi.flush(10)
payi.uninstrument()
assert httpx2.Client._transport_for_url is original
print(len(Ledger({str(ledger_path)!r}).requests()))
"""
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (outcome.stdout.strip(), outcome.returncode) == ("1", 0), outcome.stderr


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_library_is_not_imported_by_us_and_is_metered_when_the_app_does(
    name: str, provider: Provider, ledger_path: Path
) -> None:
    script = f"""
import sys
import payi_middleware as payi
from payi_middleware.service.ledger import Ledger
payi.instrument(payi.Settings(ledger={str(ledger_path)!r}))
assert not {{"httpx", "httpx2"}} & sys.modules.keys()
import {name} as library
with library.Client() as client:
    client.post({provider.openai_url + "/chat/completions"!r}, json={CHAT!r})
assert payi.flush(10)
payi.uninstrument()
assert not hasattr(library.Client._transport_for_url, "__wrapped__")
print(len(Ledger({str(ledger_path)!r}).requests()))
"""
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (outcome.stdout.strip(), outcome.returncode) == ("1", 0), outcome.stderr


def test_a_client_with_several_transports_is_given_the_right_one_each_time(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    def answering(name: str) -> Any:
        return library.MockTransport(lambda _: library.Response(200, json={**COMPLETION, "id": name}))

    instrument(settings)
    mounts = {"https://api.openai.com": answering("chatcmpl-a"), "https://llm.example": answering("chatcmpl-b")}
    urls = ["https://api.openai.com/v1/chat/completions", URL]
    with library.Client(mounts=mounts) as client:
        told = [client.post(url, json=CHAT).json()["id"] for url in [*urls, *urls]]
    assert told == ["chatcmpl-a", "chatcmpl-b"] * 2
    assert {report.provider_response_id for report in reports(ledger_path)} == {"chatcmpl-a", "chatcmpl-b"}


def test_a_client_that_made_calls_is_gone_without_the_garbage_collector(library: Any, settings: Settings) -> None:
    instrument(settings)
    client = library.Client(transport=library.MockTransport(lambda _: library.Response(200, json=COMPLETION)))
    client.post(URL, json=CHAT)
    client.close()
    gone = weakref.ref(client)
    gc.disable()
    try:
        del client
        assert gone() is None
    finally:
        gc.enable()


def _seams() -> list[Any]:
    return [vars(client).get("_transport_for_url") for client in _CLIENTS] + [
        vars(openai.Stream).get("xproxy_result"),
        vars(openai.BaseModel).get("xproxy_result"),
    ]


_CLIENTS: tuple[Any, ...] = (httpx.Client, httpx.AsyncClient, httpx2.Client, httpx2.AsyncClient)


def test_uninstrument_restores_exactly_what_was_there(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    before = _seams()
    instrument(settings)
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert all(now is not then for now, then in zip(_seams()[:4], before[:4], strict=True))
        uninstrument()
        assert all(now is then for now, then in zip(_seams(), before, strict=True))
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    only_report(ledger_path)


def test_uninstrument_leaves_a_later_patch_of_somebody_else_alone(
    library: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = library.Client._transport_for_url
    instrument(settings)
    ours = library.Client._transport_for_url
    asked = []

    def theirs(self: Any, url: Any) -> Any:
        asked.append(url)
        return ours(self, url)

    monkeypatch.setattr(library.Client, "_transport_for_url", theirs)
    uninstrument()
    assert library.Client._transport_for_url is theirs
    monkeypatch.undo()
    monkeypatch.setattr(library.Client, "_transport_for_url", original)


def test_a_later_patch_of_somebody_else_still_works_unmetered_after_uninstrument(
    library: Any, provider: Provider, settings: Settings, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = library.Client._transport_for_url
    instrument(settings)
    ours = library.Client._transport_for_url
    monkeypatch.setattr(library.Client, "_transport_for_url", lambda self, url: ours(self, url))
    with library.Client() as client:
        client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
        only_report(ledger_path)
        uninstrument()
        answer = client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
    assert (answer.status_code, CALL_EXTENSION in answer.extensions) == (200, False)
    monkeypatch.undo()
    monkeypatch.setattr(library.Client, "_transport_for_url", original)
    only_report(ledger_path)


@pytest.mark.parametrize("client", _CLIENTS)
def test_a_missing_seam_is_a_configuration_error_that_names_the_library_and_patches_nothing(
    client: type[Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(client, "_transport_for_url")
    before = _seams()
    with pytest.raises(ConfigurationError) as raised:
        instrument(settings)
    assert raised.value.setting == client.__module__.partition(".")[0]
    assert client.__name__ in raised.value.problem
    assert _seams() == before


def test_other_hosts_keep_the_very_transport_object(library: Any, settings: Settings) -> None:
    instrument(settings)
    with library.Client() as client:
        for url in (
            "https://example.org/",
            "https://example.org/a/b?c=/v1/messages",
            "http://api.openai.com/v1/models",
        ):
            assert client._transport_for_url(library.URL(url)) is client._transport


def test_gets_of_inference_paths_are_left_alone(
    library: Any, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with library.Client() as client:
        answer = client.get(f"{provider.openai_url}/responses", headers={"xProxy-User-ID": "alice"})
        assert answer.status_code == 405
        assert CALL_EXTENSION not in answer.extensions
        assert answer.request.headers["xproxy-user-id"] == "alice"
    assert reports(ledger_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://chat.example/api/channels/7/messages",  # somebody's chat
        "https://api.pay-i.com/api/v1/proxy/openai/v1/chat/completions",  # Pay-i's own proxy: it reports by itself
    ],
)
def test_posts_that_only_look_like_inference_keep_their_headers(
    library: Any, settings: Settings, ledger_path: Path, url: str
) -> None:
    instrument(settings)
    seen = []

    def answer(request: Any) -> Any:
        seen.append(dict(request.headers))
        return library.Response(200, json={})

    with library.Client(transport=library.MockTransport(answer)) as client:
        response = client.post(url, json={"a": 1}, headers={"xProxy-api-key": "key", "xProxy-User-ID": "alice"})
    assert CALL_EXTENSION not in response.extensions
    assert (seen[0]["xproxy-api-key"], seen[0]["xproxy-user-id"]) == ("key", "alice")
    assert reports(ledger_path) == []


def test_disabled_settings_patch_nothing(ledger_path: Path) -> None:
    before = _seams()
    instrument(Settings(ledger=ledger_path, enabled=False))
    assert _seams() == before
