"""What the embedded ledger's file may say now and not later is no reason to give a report up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from payi_middleware.embedded import EmbeddedSink
from payi_middleware.exceptions import IngestConnectionError
from payi_middleware.report import Report

ITEM = {"category": "system.openai", "provider_response_id": "chatcmpl-1", "resource": "gpt-4o-mini", "units": {}}


@pytest.mark.parametrize("error", [OSError("busy"), OperationalError("INSERT", {}, sqlite3.OperationalError("locked"))])
@pytest.mark.parametrize(
    "ask",
    [
        EmbeddedSink.open,
        lambda sink: sink.send(Report(ITEM)),
        lambda sink: sink.send_many([Report(ITEM).encoded()]),
        lambda sink: sink.result("system.openai", "chatcmpl-1"),
    ],
)
def test_a_file_that_cannot_be_used_at_present_is_tried_again(
    ask: Callable[[EmbeddedSink], Any], error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_: EmbeddedSink) -> Any:
        raise error

    monkeypatch.setattr(EmbeddedSink, "_opened", opened)
    with pytest.raises(IngestConnectionError):
        ask(EmbeddedSink(tmp_path / "payi.db"))
