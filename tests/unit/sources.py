"""The package's source code, as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import payi_middleware

ROOT = Path(payi_middleware.__file__).parent
PACKAGE = "payi_middleware"


@cache
def modules() -> dict[str, Path]:
    """Return every module's file by its dotted name below the package; the package itself is ""."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def tree(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def _names(module: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield what an import statement names, as absolute dotted names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        is_package = modules()[module].name == "__init__.py"
        here = [PACKAGE, *(module.split(".") if module else [])]
        here = here[: len(here) - node.level + (1 if is_package else 0)]
        base = ".".join([*here, base] if base else here)
    yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def imports(module: str) -> frozenset[str]:
    """Return everything that a module imports anywhere in it, also inside functions, as absolute dotted names."""
    nodes = (node for node in ast.walk(tree(module)) if isinstance(node, (ast.Import, ast.ImportFrom)))
    return frozenset(name for node in nodes for name in _names(module, node))


@cache
def ours(module: str) -> frozenset[str]:
    """Return the package's own modules that a module imports."""
    found = set()
    for name in imports(module):
        if name == PACKAGE or name.startswith(PACKAGE + "."):
            inner = name.removeprefix(PACKAGE).lstrip(".")
            while inner not in modules():
                inner = inner.rpartition(".")[0]
            found.add(inner)
    return frozenset(found - {module})


@cache
def foreign(module: str) -> frozenset[str]:
    """Return what a module imports from other packages, as absolute dotted names."""
    return frozenset(name for name in imports(module) if name.partition(".")[0] != PACKAGE)
