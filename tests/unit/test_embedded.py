"""The embedded ledger as a sink: it takes reports as they are, and what its file may say now loses none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from payi_middleware.embedded import EmbeddedSink
from payi_middleware.exceptions import IngestConnectionError
from payi_middleware.report import Report
from payi_middleware.results import XproxyResult

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


def test_reports_are_booked_alike_as_json_and_as_they_are_and_are_not_changed(tmp_path: Path) -> None:
    items = [
        {**ITEM, "provider_response_id": name, "units": {"text": {"input": 3, "output": 4}}, "properties": {"a": "é"}}
        for name in ("first", "second")
    ]
    sink = EmbeddedSink(tmp_path / "payi.db")
    before = deepcopy(items[1])

    first, second = sink.send_many([Report(items[0]).encoded(), items[1]])

    assert isinstance(first, XproxyResult)
    assert isinstance(second, XproxyResult)
    assert first.cost is not None
    assert first.cost == second.cost
    assert items[1] == before
    stored = [sink._opened().requests()[number] for number in (0, 1)]
    assert stored[0].properties == stored[1].properties == {"a": "é"}
    sink.close()
