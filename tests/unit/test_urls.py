"""Where requests go to."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import pytest

from payi_middleware import urls
from payi_middleware.urls import target_at, target_of

BOTH = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
CHAT = "https://api.openai.com/v1/chat/completions"
AZURE = "https://me.openai.azure.com/openai/deployments/a%20b/chat/completions"


@pytest.fixture(autouse=True)
def known() -> Callable[[], list[Any]]:
    """Begin with nothing known, and return what tells what is known by then."""
    urls._kinds.clear()
    return lambda: [item for _, targets in urls._kinds.values() for item in targets.items()]


@BOTH
def test_the_parts_of_a_url_are_told_and_its_path_is_decoded(library: Any) -> None:
    assert target_of(library.URL(CHAT)) == target_at("https", "api.openai.com", None, "/v1/chat/completions")
    assert target_of(library.URL(f"{AZURE}?api-version=1#f")) == target_at(
        "https", "me.openai.azure.com", None, "/openai/deployments/a b/chat/completions"
    )
    told = target_of(library.URL("http://key:secret@127.0.0.1:8080/v1/messages?key=secret"))
    assert told is not None
    assert told.uri == "http://127.0.0.1:8080/v1/messages"


@BOTH
def test_what_is_no_inference_has_no_target_and_is_not_kept(library: Any, known: Callable[[], list[Any]]) -> None:
    assert target_of(library.URL("https://example.com/orders/17")) is None
    assert not known()


@BOTH
def test_a_url_that_comes_again_is_not_taken_apart_again(library: Any) -> None:
    assert target_of(library.URL(CHAT)) is target_of(library.URL(CHAT))


@BOTH
@pytest.mark.parametrize("url", [f"{CHAT}?key=secret", CHAT.replace("api", "key:secret@api")])
def test_what_may_be_secret_in_a_url_is_kept_nowhere(library: Any, url: str, known: Callable[[], list[Any]]) -> None:
    assert target_of(library.URL(url)) is target_of(library.URL(CHAT))
    assert len(known()) == 1
    assert "secret" not in repr(known())


def test_what_one_library_shows_of_a_host_is_not_what_the_other_does() -> None:
    url = "https://llm.xn--p1ai/v1/chat/completions"
    for library in (httpx, httpx2, httpx):
        told, target = library.URL(url), target_of(library.URL(url))
        assert target is not None
        assert target.host == told.host


def test_a_host_that_cannot_be_shown_is_no_reason_to_fail_a_call(caplog: pytest.LogCaptureFixture) -> None:
    url = httpx.URL("https://xn--i-7iq.ws/v1/chat/completions")
    with pytest.raises(ValueError, match="not allowed"):
        _ = url.host
    assert target_of(url) is None
    assert "could not be recorded: InvalidCodepoint" in caplog.text


def test_a_library_that_keeps_its_urls_in_another_way_is_asked_each_time(known: Callable[[], list[Any]]) -> None:
    url = httpx.URL(CHAT)
    names = ("raw_path", "raw_host", "scheme", "host", "port", "path")
    references: list[dict[str, Any]] = [{}, {"_uri_reference": ()}]
    for reference in references:
        other = SimpleNamespace(**{name: getattr(url, name) for name in names}, **reference)

        assert target_of(other) == target_of(url)
    assert len(known()) == 1


def test_no_more_urls_are_kept_than_an_app_may_have(known: Callable[[], list[Any]]) -> None:
    for number in range(3_000):
        assert target_of(httpx.URL(f"https://host{number}.example/v1/chat/completions")) is not None
        assert len(known()) <= 1_024
