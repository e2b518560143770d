"""The table of all wire formats holds together."""

from __future__ import annotations

from pathlib import Path

import pytest

from payi_middleware.providers import Match, maybe_inference, open_reader, recognise
from payi_middleware.providers.registry import ALL_ROWS, BY_PARENT, BY_START, BY_WORD, CUSTOM, FORMATS, WIRES
from payi_middleware.settings import WIRE_FAMILIES


def test_an_api_is_read_by_one_wire_only() -> None:
    assert len(FORMATS) == sum(len(wire.formats) for wire in WIRES)
    assert len({wire.name for wire in WIRES}) == len(WIRES)


def test_the_settings_name_exactly_the_wires_that_a_custom_host_may_speak() -> None:
    assert sorted(WIRE_FAMILIES) == sorted(CUSTOM)


ANYTHING = (b"", b"{}", b"[]", b"null", b"[{}]", b"data: {}\n\n", b"{}\n{}\n", b"\0" * 20, b"\xff" * 50, b"<p>", b"x")


@pytest.mark.parametrize("api", sorted(FORMATS))
def test_every_reader_survives_anything(api: str) -> None:
    for raw in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[{}]",
        b"data: {}\n\n",
        b"{}\n{}\n",
        b"\0" * 20,
        b"\xff" * 50,
        b"<p>",
        b"x",
    ):
        for status in (200, 400, 500):
            reader = open_reader(Match(api, "c", "p"), status, {})
            for at in range(0, len(raw), 3):
                reader.feed(raw[at : at + 3])
            answer = reader.finish()
            assert answer.usage is None
            assert "parser" not in str(answer.notes), raw


def test_every_word_that_a_wire_waits_for_passes_the_fast_check() -> None:
    for word in BY_WORD.keys() - {""}:
        assert maybe_inference(f"/v1/{word}".encode())
        assert maybe_inference(f"/v1/models/x:{word}?alt=sse".encode())
    for start, _ in BY_START:
        assert maybe_inference(f"/v1/{start}abc".encode())
    for parent, _ in BY_PARENT:
        assert maybe_inference(f"/v1/{parent}/abc?stream=true".encode())


GENERATES_AT_ROOT = "*.endpoints.huggingface.cloud"


@pytest.mark.parametrize(
    "path", ["", "/", "//", "/x/", "/v1/models", "/v1/models/x", "/api/tags", "/api/show", "/health"]
)
def test_nothing_is_recognised_of_any_host_at_a_path_that_generates_nothing(path: str) -> None:
    for row in ALL_ROWS:
        for host in row.hosts:
            for method in ("GET", "POST"):
                match = recognise(method, host.replace("*", "x"), None, path, {})
                assert match is None or (method, host, path.strip("/")) == ("POST", GENERATES_AT_ROOT, "")


def test_a_custom_host_speaks_its_own_wire_and_openais_chat() -> None:
    custom: dict[str, tuple[str, str | None]] = {"llm.internal": ("ollama", None), "b.internal": ("openai", "mine")}
    assert recognise("POST", "llm.internal", 443, "/api/chat", {}, custom) == Match("ollama.chat", "ollama", "custom")
    chat = recognise("POST", "llm.internal", 443, "/v1/chat/completions", {}, custom)
    assert chat == Match("openai.chat", "ollama", "custom")
    assert recognise("POST", "b.internal", None, "/v1/images/edits", {}, custom) == Match(
        "openai.images", "mine", "custom"
    )
    assert recognise("POST", "b.internal", None, "/api/chat", {}, custom) is None
    assert recognise("GET", "b.internal", None, "/v1/responses/resp_1", {}, custom) is not None
    assert recognise("GET", "b.internal", None, "/v1/models/m", {}, custom) is None


def test_no_wire_reads_another_framing_than_server_sent_events() -> None:
    """The formats see events only: what cuts streams is named in the room's two framing files and the reader."""
    room = Path(__file__).parents[2] / "src" / "payi_middleware" / "providers"
    knowing = {
        file.stem for file in room.glob("*.py") if "AwsEvents" in file.read_text() or "JsonObjects" in file.read_text()
    }
    assert knowing == {"aws_events", "framing", "json_objects", "reader"}
