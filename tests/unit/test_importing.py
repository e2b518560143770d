"""Acting on a module when the app imports it."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from payi_middleware.importing import loaded, when_imported

NAME = "imported_later"


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{NAME}.py").write_text("VALUE = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    yield
    sys.modules.pop(NAME, None)
    assert sys.meta_path == before


class Acting:
    """Count what was done and undone."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.undone = 0

    def __call__(self, module: ModuleType) -> Callable[[], None]:
        self.seen.append(module.VALUE)
        return self.undo

    def undo(self) -> None:
        self.undone += 1


def test_a_module_that_is_there_is_acted_on_at_once() -> None:
    importlib.import_module(NAME)
    act = Acting()
    undo = when_imported(NAME, act)
    assert act.seen == [1]
    undo()
    undo()
    assert act.undone == 1


def test_a_module_that_comes_later_is_acted_on_when_its_code_has_run() -> None:
    act = Acting()
    undo = when_imported(NAME, act)
    assert act.seen == []
    module = importlib.import_module(NAME)
    assert act.seen == [1]
    assert module.__spec__ is not None
    assert type(module.__loader__) is type(module.__spec__.loader) is type(importlib.import_module("json").__loader__)
    importlib.reload(module)
    assert act.seen == [1]
    undo()
    assert act.undone == 1


def test_what_is_undone_before_the_import_does_not_happen() -> None:
    act = Acting()
    when_imported(NAME, act)()
    importlib.import_module(NAME)
    assert (act.seen, act.undone) == ([], 0)


def test_an_action_undone_while_the_module_is_loaded_does_not_happen(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.py").write_text("VALUE = 1\nimport builtins\nbuiltins.undo_now()\n", encoding="utf-8")
    act = Acting()
    undo = when_imported(NAME, act)
    builtins = importlib.import_module("builtins")
    try:
        builtins.__dict__["undo_now"] = undo
        importlib.import_module(NAME)
    finally:
        del builtins.__dict__["undo_now"]
    assert act.seen == []


def test_two_actions_on_one_module_both_happen() -> None:
    first, second = Acting(), Acting()
    undo = [when_imported(NAME, act) for act in (first, second)]
    importlib.import_module(NAME)
    assert (first.seen, second.seen) == ([1], [1])
    for one in undo:
        one()


def test_an_action_that_fails_leaves_the_import_alone_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: ModuleType) -> Callable[[], None]:
        raise LookupError("no seam")

    undo = when_imported(NAME, fail)
    with caplog.at_level(logging.WARNING, "payi_middleware"):
        assert importlib.import_module(NAME).VALUE == 1
    assert "no seam" in caplog.text
    undo()


def test_a_module_that_does_not_exist_is_missed_as_ever() -> None:
    act = Acting()
    undo = when_imported("imported_never", act)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("imported_never")
    assert act.seen == []
    undo()


def test_a_module_whose_code_fails_is_acted_on_when_it_is_imported_again(tmp_path: Path) -> None:
    source = tmp_path / f"{NAME}.py"
    source.write_text("raise RuntimeError('not yet')\n", encoding="utf-8")
    act = Acting()
    undo = when_imported(NAME, act)
    with pytest.raises(RuntimeError, match="not yet"):
        importlib.import_module(NAME)
    assert act.seen == []
    source.write_text("VALUE = 11111\n", encoding="utf-8")
    importlib.invalidate_caches()
    importlib.import_module(NAME)
    assert act.seen == [11111]
    undo()


BEGUN, GO_ON = threading.Event(), threading.Event()
SLOW = """
from tests.unit.test_importing import BEGUN, GO_ON
BEGUN.set()
assert GO_ON.wait(30)
DONE = True
"""


def test_a_module_that_another_thread_is_importing_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW, encoding="utf-8")
    assert loaded("slow_to_import") is None
    seen: list[Any] = []
    importing = threading.Thread(target=importlib.import_module, args=("slow_to_import",))
    waiting = threading.Thread(target=lambda: seen.append(loaded("slow_to_import")))
    importing.start()
    assert BEGUN.wait(30)
    waiting.start()
    GO_ON.set()
    for thread in (importing, waiting):
        thread.join(30)
    assert seen[0].DONE
    del sys.modules["slow_to_import"]
