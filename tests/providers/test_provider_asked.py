"""What a request body asks for."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Asked, Match, read_request

CHAT = Match("openai.chat", "system.openai", "openai")
HEARD = Match("openai.audio.transcriptions", "system.openai", "openai")
AZURE = Match("openai.chat", "system.azureopenai", "azure", "response", "my-gpt")


def test_model_and_stream_are_read_from_the_body() -> None:
    assert read_request(CHAT, b'{"model": "gpt-4o", "stream": true, "messages": []}') == Asked("gpt-4o", True)
    assert read_request(CHAT, b'{"messages": [], "model": "gpt-4o"}') == Asked("gpt-4o", False)


def test_the_path_names_the_model_that_the_body_lacks() -> None:
    assert read_request(AZURE, b'{"messages": []}') == Asked("my-gpt", False)
    assert read_request(AZURE, b'{"model": "other", "stream": false}') == Asked("other", False)


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"null",
        b"[1]",
        b"\xff\xfe",
        gzip.compress(b"{}", mtime=0),
        b"[" * 100_000,
        b'{"model": 7, "stream": "yes"}',
    ],
)
def test_a_body_that_says_nothing_asks_for_nothing(body: bytes | None) -> None:
    assert read_request(CHAT, body) == Asked(None, False)


def test_a_giant_body_is_searched_at_its_ends() -> None:
    body = b'{"messages":["' + b"x" * (33 * 2**20) + b'"],"model":"gpt-4o","stream": true}'
    assert read_request(CHAT, body) == Asked("gpt-4o", True)


def form(*fields: tuple[str, str, bytes]) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), more.encode(), value)
        for name, more, value in fields
    ]
    return b"".join(parts) + b"--b--\r\n"


@pytest.mark.parametrize("size", [0, 300_000])
def test_a_forms_fields_are_read_before_and_after_its_files(size: int) -> None:
    audio = ("file", '; filename="a.mp3"\r\nContent-Type: audio/mpeg', b"model\xff\x00" * size)
    model, stream = ("model", "", b"whisper-1"), ("stream", "\r\nContent-Type: text/plain", b"True")
    for fields in ((model, stream, audio), (audio, model, stream), (model, audio, stream)):
        assert read_request(HEARD, form(*fields)) == Asked("whisper-1", True)


def test_a_files_content_is_no_field() -> None:
    assert read_request(HEARD, form(("model", '; filename="model"', b"gpt"))) == Asked(None, False)
    assert read_request(HEARD, form(("stream", "", b"false"), ("stream", "", b"true"))) == Asked(None, False)


@given(st.binary(max_size=200))
def test_no_form_makes_it_raise(body: bytes) -> None:
    assert isinstance(read_request(HEARD, b"--" + body), Asked)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    assert isinstance(read_request(CHAT, body), Asked)
