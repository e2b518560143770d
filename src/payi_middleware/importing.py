"""Act on a module when the app imports it, as importing it ourselves would cost apps that never do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from threading import get_ident
from types import ModuleType
from typing import Any

from .log import warn

Undo = Callable[[], None]


def loaded(name: str) -> ModuleType | None:
    """Return a module if it is imported; one that another thread is importing just now is waited for."""
    if name not in sys.modules:
        return None
    try:
        return import_module(name)
    except Exception:  # noqa: BLE001 - that import has failed, or the module is none
        return None


def when_imported(name: str, act: Callable[[ModuleType], Undo]) -> Undo:
    """Run `act` with a module as soon as it is imported: at once, if it is already.

    Args:
        name: the module's full name.
        act: what to do; it returns how to undo that. What it raises is logged, as the app's import must not fail.

    Returns:
        How to undo it all.
    """
    undo: list[Undo] = []

    def run(module: ModuleType) -> None:
        try:
            undo.append(act(module))
        except Exception as error:  # noqa: BLE001 - fail open: the app gets its module
            warn(f"import {name}", "%s could not be instrumented: %s", name, error)

    module = loaded(name)
    if module is not None:
        run(module)
    else:
        finder = _Finder(name, run)
        sys.meta_path.insert(0, finder)
        undo.append(finder.remove)

    def undo_all() -> None:
        while undo:
            undo.pop()()

    return undo_all


class _Finder(MetaPathFinder):
    """Find one module as everybody else does, and run a function after it has been loaded."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._then = then
        self._looking: set[int] = set()  # the threads that ask the others, some of whom ask us in turn

    def remove(self) -> None:
        """Find nothing any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's spec with a loader that runs the function, or None for any other module."""
        thread = get_ident()
        if fullname != self._name or thread in self._looking:
            return None
        self._looking.add(thread)
        try:
            finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]  # some are of older times
            found = (finder.find_spec(fullname, path, target) for finder in finders)
            spec = next((spec for spec in found if spec is not None), None)
        finally:
            self._looking.discard(thread)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec, self)
        return spec

    def loaded(self, module: ModuleType) -> None:
        """Run the function, once."""
        if self in sys.meta_path:
            self.remove()
            self._then(module)


class _Loader(Loader):
    """Load a module by its own loader, and give that back to it."""

    def __init__(self, spec: ModuleSpec, finder: _Finder) -> None:
        self._spec = spec
        self._inner: Any = spec.loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module to be, if the loader makes one."""
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        module.__loader__ = self._spec.loader = self._inner
        self._inner.exec_module(module)
        self._finder.loaded(module)
